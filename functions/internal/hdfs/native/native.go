// Package native speaks to HDFS by the RPC of the NameNode and the transfer protocol of the DataNodes, through colinmarc/hdfs.
//
// A Client is for one worker at a time: the library declares no more. It does not try again, and after an error that is not a
// remote.Error it is of no more use: Close it and make another one.
package native

import (
	"fmt"
	"io/fs"
	"path"
	"sync"
	"time"

	"github.com/colinmarc/hdfs/v2"
	krb "github.com/jcmturner/gokrb5/v8/client"

	"github.com/almanac-data/almanac/functions/internal/hdfs/deadline"
	"github.com/almanac-data/almanac/functions/internal/hdfs/remote"
)

// Config says how to reach the NameNodes and how files are made.
type Config struct {
	NameNodes   []string // host:port; the one that is not in standby is found
	User        string   // without Kerberos
	Kerberos    *krb.Client
	Service     string // of the NameNodes, such as nn/_HOST, with Kerberos
	Protection  string // of data with Kerberos: authentication, integrity or privacy
	Hostnames   bool   // reach DataNodes by their names instead of their addresses
	Replication int
	BlockSize   int64         // bytes
	Modes       remote.Modes  // of what is made
	Timeout     time.Duration // of each connection, read and write
}

// Client is a connection to the NameNode. Close ends it, and everything that was opened by it.
type Client struct {
	cfg    Config
	client *hdfs.Client
	dialer *deadline.Dialer
	once   sync.Once
}

// Dial connects to the NameNode that answers.
func Dial(cfg Config) (*Client, error) {
	d := &deadline.Dialer{Timeout: cfg.Timeout}
	c, err := hdfs.NewClient(hdfs.ClientOptions{
		Addresses:                    cfg.NameNodes,
		User:                         cfg.User,
		UseDatanodeHostname:          cfg.Hostnames,
		NamenodeDialFunc:             d.Dial,
		DatanodeDialFunc:             d.DialBuffered,
		KerberosClient:               cfg.Kerberos,
		KerberosServicePrincipleName: cfg.Service,
		DataTransferProtection:       cfg.Protection,
	})
	if err != nil {
		d.Close()
		return nil, &remote.UnsentError{Err: fmt.Errorf("connect to NameNode: %w", err)}
	}
	return &Client{cfg: cfg, client: c, dialer: d}, nil
}

// Close ends the connections, also under a call that waits for an answer.
func (c *Client) Close() {
	c.once.Do(func() {
		c.dialer.Close()
		_ = c.client.Close() // what it could say is that the connection is closed
	})
}

// Stat describes a name.
func (c *Client) Stat(name string) (remote.Info, error) {
	info, err := c.client.Stat(name)
	if err != nil {
		return remote.Info{}, translate(err)
	}
	return describe(info), nil
}

// List lists a folder, sorted by name.
func (c *Client) List(name string) ([]remote.Info, error) {
	found, err := c.client.ReadDir(name)
	if err != nil {
		return nil, translate(err)
	}
	infos := make([]remote.Info, len(found))
	for i, f := range found {
		infos[i] = describe(f)
	}
	return infos, nil
}

// Mkdirs makes a folder and those above it. That it is there already is no error.
func (c *Client) Mkdirs(name string) error {
	return translate(c.client.MkdirAll(name, c.cfg.Modes.Folder))
}

// Replace renames a file over whatever file has the name.
func (c *Client) Replace(old, name string) error { return translate(c.client.Rename(old, name)) }

// Delete deletes a file or a folder; a folder that is not empty only if all is set.
func (c *Client) Delete(name string, all bool) error {
	if !all {
		return translate(c.client.Remove(name))
	}
	if _, err := c.Stat(name); err != nil { // the library hides that there is nothing
		return err
	}
	return translate(c.client.RemoveAll(name))
}

func describe(i fs.FileInfo) remote.Info {
	info := remote.Info{Path: path.Base(i.Name()), Bytes: i.Size(), Folder: i.IsDir(), Perm: i.Mode().Perm(), Modified: i.ModTime()}
	if status, ok := i.Sys().(*hdfs.FileStatus); ok {
		info.ID = status.GetFileId()
	}
	return info
}
