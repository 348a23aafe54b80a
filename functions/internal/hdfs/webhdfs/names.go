package webhdfs

import (
	"io/fs"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/almanac-data/almanac/functions/internal/hdfs/remote"
)

// Stat describes a name.
func (c *Client) Stat(name string) (remote.Info, error) {
	var answer struct{ FileStatus status }
	if err := c.call(http.MethodGet, name, url.Values{"op": {"GETFILESTATUS"}}, &answer); err != nil {
		return remote.Info{}, err
	}
	info := answer.FileStatus.info()
	info.Path = name[strings.LastIndexByte(name, '/')+1:]
	return info, nil
}

// List lists a folder, sorted by name. A large one takes several requests (HDFS-10784), and what is renamed meanwhile may stand in
// it twice or not at all, as with RPC.
func (c *Client) List(name string) ([]remote.Info, error) {
	found, err := c.list(name)
	if err != nil {
		return nil, err
	}
	infos := make([]remote.Info, len(found))
	for i, s := range found {
		infos[i] = s.info()
	}
	return infos, nil
}

func (c *Client) list(name string) ([]status, error) {
	var all []status
	query := url.Values{"op": {"LISTSTATUS_BATCH"}}
	for {
		var answer struct {
			DirectoryListing struct {
				PartialListing struct {
					FileStatuses struct{ FileStatus []status }
				}
				RemainingEntries int
			}
		}
		if err := c.call(http.MethodGet, name, query, &answer); err != nil {
			return nil, err
		}
		list := answer.DirectoryListing
		all = append(all, list.PartialListing.FileStatuses.FileStatus...)
		if list.RemainingEntries == 0 || len(all) == 0 {
			break
		}
		query.Set("startAfter", all[len(all)-1].PathSuffix)
	}
	if len(all) == 1 && all[0].PathSuffix == "" { // a file lists itself
		return nil, remote.NewError("ParentNotDirectoryException", name)
	}
	slices.SortFunc(all, func(a, b status) int { return strings.Compare(a.PathSuffix, b.PathSuffix) })
	return all, nil
}

// Mkdirs makes a folder and those above it. That it is there already is no error.
func (c *Client) Mkdirs(name string) error {
	var done struct{ Boolean bool }
	err := c.call(http.MethodPut, name, url.Values{"op": {"MKDIRS"}, "permission": {octal(c.cfg.Modes.Folder)}}, &done)
	if err == nil && !done.Boolean {
		err = remote.NewError("FileAlreadyExistsException", name)
	}
	return err
}

func octal(mode fs.FileMode) string { return strconv.FormatUint(uint64(mode), 8) }

// Replace renames a file over whatever file has the name.
func (c *Client) Replace(old, name string) error { return c.rename(old, name, "OVERWRITE") }

// RenameNew renames a file or folder to a name that must be free, in a folder that must be there: of several at once exactly one wins.
//
// The option NONE makes it rename2 without overwriting. Without any option it would be the old rename, which moves what is renamed
// INTO a folder that has the name, and says that all went well.
func (c *Client) RenameNew(old, name string) error { return c.rename(old, name, "NONE") }

func (c *Client) rename(old, name, options string) error {
	return c.call(http.MethodPut, old, url.Values{"op": {"RENAME"}, "destination": {name}, "renameoptions": {options}}, nil)
}

// Delete deletes a file or a folder; a folder that is not empty only if all is set.
func (c *Client) Delete(name string, all bool) error {
	var done struct{ Boolean bool }
	err := c.call(http.MethodDelete, name, url.Values{"op": {"DELETE"}, "recursive": {strconv.FormatBool(all)}}, &done)
	if err == nil && !done.Boolean {
		err = remote.NewError("FileNotFoundException", name)
	}
	return err
}

// status is a FileStatus of WebHDFS.
type status struct {
	PathSuffix       string
	Type             string // FILE, DIRECTORY or SYMLINK
	Length           int64
	Permission       string // octal
	ModificationTime int64  // ms
	FileID           uint64
	Owner, Group     string
	ACLBit           bool `json:"aclBit"`
}

func (s status) info() remote.Info {
	perm, _ := strconv.ParseUint(s.Permission, 8, 32)
	return remote.Info{
		Path: s.PathSuffix, Bytes: s.Length, Folder: s.Type == "DIRECTORY", Perm: fs.FileMode(perm).Perm(),
		Modified: time.UnixMilli(s.ModificationTime), ID: s.FileID,
	}
}
