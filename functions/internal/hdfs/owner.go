package hdfs

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/almanac-data/almanac/functions/internal/hdfs/webhdfs"
)

// Owned is a file or folder, with whose it is and who may do what with it.
type Owned struct {
	webhdfs.Owned

	ACL []string // entries beyond the three of the mode
}

// Owned describes a name.
func (f *FS) Owned(name string) (Owned, error) {
	var o Owned
	err := f.asked("stat", name, func() (err error) {
		if o.Owned, err = f.web.Owned(f.at(name)); err == nil && o.HasACL {
			o.ACL, err = f.web.ACL(f.at(name))
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
			if all[i] = (Owned{Owned: o}); err == nil && o.HasACL {
				all[i].ACL, err = f.web.ACL(f.at(name) + "/" + o.Path)
			}
		}
		return err
	})
	return all, err
}

// Own says whose a name is, and who may do what with it, as o has it. That takes a superuser.
func (f *FS) Own(name string, o Owned) error {
	return f.asked("chown", name, func() error { return f.web.Own(f.at(name), o.Owned, o.ACL) })
}

// Grant says which users of HDFS may do what in a folder.
type Grant struct {
	Folder string
	Pass   []string // may go to what lies in it, and no more
	Read   []string // may read what is in it, and what will be
	Write  []string // may also make and delete there
}

// Grant makes a folder, if it is missing, and lets users do in it what the grant says; its owner may do all with what they make there, and what others may
// stays. It says whether that changed anything.
// It takes who owns the folder, and what lies in it if that is not let to them yet; killed in between it goes on when it is called again.
func (f *FS) Grant(g Grant) (changed bool, err error) {
	if err := f.asked("mkdir", g.Folder, func() error { return f.web.Mkdirs(f.at(g.Folder)) }); err != nil {
		return false, err
	}
	top, err := f.Owned(g.Folder)
	if err != nil {
		return false, err
	}
	g = g.of(top)
	if top.lets(g.entries(top, true)) {
		return false, nil
	}
	// What is made meanwhile inherits; that who has these rights on the folder itself comes last says that all below has them.
	if err := f.let(g.Folder, g.inherited()); err != nil {
		return true, err
	}
	for more := len(g.inherited()) > 0; more; {
		if more, err = f.grantBelow(g, g.Folder); err != nil {
			return true, err
		}
	}
	return true, f.let(g.Folder, g.entries(top, true))
}

// Lacks says whether Grant would change anything.
func (f *FS) Lacks(g Grant) (bool, error) {
	top, err := f.Owned(g.Folder)
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	return err == nil && !top.lets(g.of(top).entries(top, true)), err
}

// grantBelow grants what lies in a folder, and says whether something was not granted yet.
func (f *FS) grantBelow(g Grant, folder string) (changed bool, err error) {
	found, err := f.ListOwned(folder)
	if errors.Is(err, fs.ErrNotExist) { // renamed or deleted meanwhile, it or something in it
		return true, nil
	}
	for _, o := range found {
		if err != nil {
			break
		}
		name := path.Join(folder, o.Path)
		below := false
		if want := g.entries(o, false); !o.lets(want) {
			changed, err = true, f.let(name, want)
		}
		if o.Folder && err == nil {
			below, err = f.grantBelow(g, name)
		}
		if errors.Is(err, fs.ErrNotExist) {
			changed, err = true, nil
		}
		changed = changed || below
	}
	return changed, err
}

func (f *FS) let(name string, entries []string) error {
	if len(entries) == 0 {
		return nil
	}
	err := f.asked("setfacl", name, func() error { return f.web.Let(f.at(name), entries) })
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("%w; or let HDFS's superuser do it: hdfs dfs -setfacl -m %s %s", err, strings.Join(entries, ","), f.at(name))
	}
	return err
}

// of is the grant with the owner of the folder, who is only another user to what lies in it.
func (g Grant) of(top Owned) Grant {
	if len(g.Read)+len(g.Write) > 0 {
		g.Write = append(slices.Clone(g.Write), top.Owner)
	}
	return g
}

// inherited are the entries by which what is made in the folder gets its own.
func (g Grant) inherited() []string {
	var all []string
	for _, user := range g.Read {
		all = append(all, "default:user:"+user+":r-x")
	}
	for _, user := range g.Write {
		all = append(all, "default:user:"+user+":rwx")
	}
	return all
}

// entries are those of the folder itself, or of what lies in it.
func (g Grant) entries(o Owned, itself bool) []string {
	var all []string
	execute := "-"
	if o.Folder {
		all, execute = g.inherited(), "x"
	}
	for _, user := range g.Pass {
		if itself {
			all = append(all, "user:"+user+":--x")
		}
	}
	for _, user := range g.Read {
		all = append(all, "user:"+user+":r-"+execute)
	}
	for _, user := range g.Write {
		all = append(all, "user:"+user+":rw"+execute)
	}
	return all
}

// lets says whether it has the entries, and whether its mask lets them count.
func (o Owned) lets(entries []string) bool {
	var mask byte
	if n := len(o.Mode); n > 1 {
		mask = o.Mode[n-2] - '0'
	}
	for _, e := range entries {
		if !slices.Contains(o.ACL, e) {
			return false
		}
		if !strings.HasPrefix(e, "default:") && rightsOf(e)&^mask != 0 {
			return false
		}
	}
	return true
}

// rightsOf is the octal digit of an entry.
func rightsOf(entry string) (digit byte) {
	for i, letter := range entry[len(entry)-3:] {
		if letter != '-' {
			digit |= 4 >> i
		}
	}
	return digit
}

// asked asks WebHDFS for what can be done twice without harm.
func (f *FS) asked(op, name string, do func() error) error {
	return f.session.Try(op, f.URI(name), func(bool) error { return do() })
}
