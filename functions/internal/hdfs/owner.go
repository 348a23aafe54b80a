package hdfs

import (
	"path"

	"github.com/almanac-data/almanac/functions/internal/hdfs/webhdfs"
)

// Owned is a file or folder, with whose it is and who may do what with it.
type Owned struct {
	webhdfs.Owned

	ACL []string // entries beyond the three of the mode
}

// Owned describes a name.
func (f *FS) Owned(name string) (o Owned, err error) {
	err = f.asked("stat", name, func() error {
		found, err := f.web.Owned(f.at(name))
		if err == nil {
			o, err = f.listed(name, found)
		}
		return err
	})
	return o, err
}

// ListOwned lists a folder, sorted by name.
func (f *FS) ListOwned(name string) ([]Owned, error) {
	var all []Owned
	err := f.asked("readdir", name, func() error {
		found, err := f.web.ListOwned(f.at(name))
		all = make([]Owned, len(found))
		for i, o := range found {
			if err == nil {
				all[i], err = f.listed(path.Join(name, o.Path), o)
			}
		}
		return err
	})
	return all, err
}

// listed adds the access control list, if there is one.
func (f *FS) listed(name string, o webhdfs.Owned) (Owned, error) {
	if !o.HasACL {
		return Owned{Owned: o}, nil
	}
	acl, err := f.web.ACL(f.at(name))
	return Owned{o, acl}, err
}

// Own says whose a name is, and who may do what with it, as o has it. That takes a superuser.
func (f *FS) Own(name string, o Owned) error {
	return f.asked("chown", name, func() error { return f.web.Own(f.at(name), o.Owned, o.ACL) })
}

// asked asks WebHDFS for what can be done twice without harm.
func (f *FS) asked(op, name string, do func() error) error {
	return f.session.Try(op, f.URI(name), func(bool) error { return do() })
}
