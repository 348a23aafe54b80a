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

// Grant says which users of HDFS may do what in a folder.
type Grant struct {
	Folder string
	Pass   []string // may go to what lies in it, and no more
	Read   []string // may read what is in it, and what will be
	Write  []string // may also make and delete there
	Closed bool     // the folder's group may do nothing there; else it may read
}

// Grant makes a folder, if it is missing, and lets users do in it what the grant says; its owner may do all with what they make there, its group may
// read at most or do nothing, and what users may whom it does not name stays. It says whether that changed anything.
//
// What lies in the folder is gone through where something was to be changed in the folder itself for those who read or write, or if all is set. It takes who
// owns what is to be changed: what others own and lacks rights is told in the error, and the rest is done. Killed in between it goes on when it is
// called again.
func (f *FS) Grant(g Grant, all bool) (changed bool, err error) {
	if err := f.asked("mkdir", g.Folder, func() error { return f.web.Mkdirs(f.at(g.Folder)) }); err != nil {
		return false, err
	}
	top, err := f.Owned(g.Folder)
	if err != nil {
		return false, err
	}
	w := &walk{fs: f, grant: g.of(top)}
	inherits := len(w.grant.Write) > 0 && w.grant.lacks(top, false) != nil
	if inherits || all && len(w.grant.Write) > 0 {
		// What is made meanwhile inherits. What the folder itself lets comes last, and says that all below is done.
		if w.changed = inherits; inherits {
			err = f.let(g.Folder, w.grant.defaults(top))
		}
		if err == nil {
			err = w.below(g.Folder)
		}
	}
	if lacks := w.grant.lacks(top, true); lacks != nil && err == nil {
		w.changed, err = true, f.let(g.Folder, lacks)
	}
	if err == nil && len(w.refused) > 0 {
		err = fmt.Errorf("%s and %d more names in %s are others' and lack rights that only HDFS's superuser can add: hdfs dfs -setfacl -R -m %s %s: %w",
			w.refused[0], len(w.refused)-1, g.Folder, strings.Join(w.grant.entries(top, false), ","), f.at(g.Folder), fs.ErrPermission)
	}
	return w.changed, err
}

// Lacks says whether Grant would change anything in the folder itself.
func (f *FS) Lacks(g Grant) (bool, error) {
	top, err := f.Owned(g.Folder)
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	return err == nil && g.of(top).lacks(top, true) != nil, err
}

// walk grants what lies in a folder.
type walk struct {
	fs      *FS
	grant   Grant
	changed bool
	refused []string // names of others that lack rights
}

// below goes through a folder. What is gone by the time that it is looked at was renamed or deleted by somebody.
func (w *walk) below(folder string) error {
	var found []webhdfs.Owned
	err := w.fs.asked("readdir", folder, func() (err error) {
		found, err = w.fs.web.ListOwned(w.fs.at(folder))
		return err
	})
	for _, e := range found {
		name := path.Join(folder, e.Path)
		if err = w.passed(name, w.one(name, e)); err == nil && e.Folder {
			err = w.below(name)
		}
		if err != nil {
			return err
		}
	}
	return w.passed(folder, err)
}

func (w *walk) one(name string, found webhdfs.Owned) error {
	var o Owned
	err := w.fs.asked("getfacl", name, func() (err error) {
		o, err = w.fs.listed(name, found)
		return err
	})
	if err != nil {
		return err
	}
	lacks := w.grant.lacks(o, false)
	if lacks == nil {
		return nil
	}
	err = w.fs.let(name, lacks)
	w.changed = w.changed || err == nil
	return err
}

// passed keeps a walk going over what is another's, or gone.
func (w *walk) passed(name string, err error) error {
	switch {
	case errors.Is(err, fs.ErrPermission):
		w.refused = append(w.refused, name)
		return nil
	case errors.Is(err, fs.ErrNotExist):
		return nil
	}
	return err
}

func (f *FS) let(name string, entries []string) error {
	return f.asked("setfacl", name, func() error { return f.web.Let(f.at(name), entries) })
}

// of is the grant with the owner of the folder, who is only another user to what lies in it.
func (g Grant) of(top Owned) Grant {
	if len(g.Read)+len(g.Write) > 0 {
		g.Write = append(slices.Clone(g.Write), top.Owner)
	}
	return g
}

// defaults are the entries of a folder by which what is made in it gets its own.
func (g Grant) defaults(top Owned) (all []string) {
	for _, e := range g.entries(top, false) {
		if strings.HasPrefix(e, "default:") {
			all = append(all, e)
		}
	}
	if len(g.narrowed(top)) > 0 {
		all = append(all, "default:group::"+g.group())
	}
	return all
}

// entries are those of the folder itself, or of what lies in it.
func (g Grant) entries(o Owned, itself bool) (all []string) {
	add := func(users []string, rights string, inherited bool) {
		for _, user := range users {
			switch {
			case o.Folder && inherited:
				all = append(all, "user:"+user+":"+rights, "default:user:"+user+":"+rights)
			case o.Folder:
				all = append(all, "user:"+user+":"+rights)
			default:
				all = append(all, "user:"+user+":"+rights[:2]+"-")
			}
		}
	}
	if itself {
		add(g.Pass, "--x", false)
	}
	add(g.Read, "r-x", true)
	add(g.Write, "rwx", true)
	return all
}

// lacks are the entries that are to be set so that the grant holds: nil if it does. With one that lacks all are set, which makes the mask anew.
func (g Grant) lacks(o Owned, itself bool) []string {
	want := g.entries(o, itself)
	narrow := g.narrowed(o)
	if len(want) == 0 || o.lets(want) && len(narrow) == 0 {
		return nil
	}
	return append(want, narrow...)
}

// group is what the folder's group may at most.
func (g Grant) group() string {
	if g.Closed {
		return "---"
	}
	return "r-x"
}

// narrowed lets the group do what it may at most. Where it has no entry the mode says what it may.
func (g Grant) narrowed(o Owned) (all []string) {
	most := rightsOf(g.group())
	entry := false
	for _, e := range o.ACL {
		entry = entry || strings.HasPrefix(e, "group::")
		if (strings.HasPrefix(e, "group::") || strings.HasPrefix(e, "default:group::")) && rightsOf(e)&^most != 0 {
			all = append(all, e[:len(e)-3]+g.group())
		}
	}
	if !entry && o.mask()&^most != 0 {
		all = append(all, "group::"+g.group())
	}
	return all
}

// mask is what of others' entries counts: the group's digit of the mode, which is the group's own where there are none.
func (o Owned) mask() byte {
	if n := len(o.Mode); n > 1 {
		return o.Mode[n-2] - '0'
	}
	return 0
}

// lets says whether it has the entries, and whether its mask lets them count. A file that inherited them may have them as a folder has.
func (o Owned) lets(entries []string) bool {
	for _, e := range entries {
		has := slices.Contains(o.ACL, e) || !o.Folder && slices.Contains(o.ACL, e[:len(e)-1]+"x")
		if !has || !strings.HasPrefix(e, "default:") && rightsOf(e)&^o.mask() != 0 {
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
