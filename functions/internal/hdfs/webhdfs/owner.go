package webhdfs

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/almanac-data/almanac/functions/internal/hdfs/remote"
)

// Owned is a file or folder, with whose it is.
type Owned struct {
	remote.Info

	Owner, Group string
	Mode         string // octal, as HDFS writes it: 750, 1777
	HasACL       bool
}

// Owned describes a name.
func (c *Client) Owned(name string) (Owned, error) {
	var answer struct{ FileStatus status }
	if err := c.call(http.MethodGet, name, url.Values{"op": {"GETFILESTATUS"}}, &answer); err != nil {
		return Owned{}, err
	}
	return answer.FileStatus.owned(), nil
}

// ListOwned lists a folder, sorted by name.
func (c *Client) ListOwned(name string) ([]Owned, error) {
	found, err := c.list(name)
	if err != nil {
		return nil, err
	}
	all := make([]Owned, len(found))
	for i, s := range found {
		all[i] = s.owned()
	}
	return all, nil
}

func (s status) owned() Owned {
	return Owned{Info: s.info(), Owner: s.Owner, Group: s.Group, Mode: s.Permission, HasACL: s.ACLBit}
}

// ACL lists the entries of a name's access control list beyond the three of its mode, in HDFS's words.
func (c *Client) ACL(name string) ([]string, error) {
	var answer struct {
		ACL struct{ Entries []string } `json:"AclStatus"`
	}
	err := c.call(http.MethodGet, name, url.Values{"op": {"GETACLSTATUS"}}, &answer)
	return answer.ACL.Entries, err
}

// Own says whose a name is, and who may do what with it.
func (c *Client) Own(name string, o Owned, acl []string) error {
	err := c.call(http.MethodPut, name, url.Values{"op": {"SETOWNER"}, "owner": {o.Owner}, "group": {o.Group}}, nil)
	if err != nil {
		return err
	}
	// The mode goes first: where there is a list its group is the list's mask.
	if err := c.call(http.MethodPut, name, url.Values{"op": {"SETPERMISSION"}, "permission": {o.Mode}}, nil); err != nil || len(acl) == 0 {
		return err
	}
	return c.call(http.MethodPut, name, url.Values{"op": {"SETACL"}, "aclspec": {specOf(o.Mode, acl)}}, nil)
}

// Let adds entries to a name's access control list, or replaces those of the same users.
func (c *Client) Let(name string, entries []string) error {
	return c.call(http.MethodPut, name, url.Values{"op": {"MODIFYACLENTRIES"}, "aclspec": {strings.Join(entries, ",")}}, nil)
}

// specOf is a whole list, with the entries that the mode says.
func specOf(mode string, acl []string) string {
	digits := "000" + mode
	digits = digits[len(digits)-3:]
	rights := func(digit byte) string {
		var s strings.Builder
		for i, letter := range "rwx" {
			if (digit-'0')&(4>>i) == 0 {
				letter = '-'
			}
			s.WriteRune(letter)
		}
		return s.String()
	}
	spec := []string{"user::" + rights(digits[0]), "other::" + rights(digits[2])}
	group, named := false, false
	for _, e := range acl {
		group = group || strings.HasPrefix(e, "group::")
		named = named || !strings.HasPrefix(e, "default:") && !strings.HasPrefix(e, "group::")
	}
	if !group {
		spec = append(spec, "group::"+rights(digits[1]))
	}
	if named {
		spec = append(spec, "mask::"+rights(digits[1]))
	}
	return strings.Join(append(spec, acl...), ",")
}
