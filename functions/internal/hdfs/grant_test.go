package hdfs_test

import (
	"errors"
	"io/fs"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/almanac-data/almanac/functions/internal/hdfs"
	"github.com/almanac-data/almanac/functions/internal/lake/fsys"
)

// cast is the folder of one owner on the real cluster, as several users see it.
type cast struct {
	cfg hdfs.Config
	dir string
}

func (c cast) as(t *testing.T, user string) *hdfs.FS {
	t.Helper()
	cfg := c.cfg
	cfg.User, cfg.Umask = user, "007"
	return openAt(t, c.dir, cfg)
}

// actors makes a folder that its owner alone may enter, in one that all may pass.
func actors(t *testing.T, cfg hdfs.Config) cast {
	t.Helper()
	if cfg.Keytab != "" {
		t.Skip("needs a cluster that believes whatever user a client names")
	}
	c := cast{cfg: cfg, dir: folder(t, cfg)}
	base := openAt(t, "/tmp/almanac-test", cfg)
	if _, err := base.Grant(hdfs.Grant{Folder: ".", Pass: []string{"g-store", "g-collect", "g-calendar", "g-other"}}); err != nil {
		t.Fatal(err)
	}
	return c
}

var granted = []hdfs.Grant{
	{Folder: ".", Pass: []string{"g-collect", "g-other", "g-store"}, Write: []string{"g-calendar"}},
	{Folder: "rows", Read: []string{"g-collect"}, Write: []string{"g-store"}},
	{Folder: "keys", Write: []string{"g-collect"}},
}

func grantAll(t *testing.T, f *hdfs.FS) (changed int) {
	t.Helper()
	for _, g := range granted {
		before, err := f.Lacks(g)
		if err != nil {
			t.Fatal(err)
		}
		did, err := f.Grant(g)
		if err != nil {
			t.Fatal(err)
		}
		if did != before {
			t.Errorf("Grant of %s = %v, and Lacks said %v", g.Folder, did, before)
		}
		if did {
			changed++
		}
	}
	return changed
}

// what tries each thing that one could do to a file of another, and names those that were done.
func (c cast) what(t *testing.T, user, folder string) (done []string) {
	t.Helper()
	f := c.as(t, user)
	for _, try := range []struct {
		name string
		do   func() error
	}{
		{"list", func() error { _, err := f.ReadDir(folder); return err }},
		{"read", func() error { _, err := fsys.ReadFile(f, folder+"/w/a"); return err }},
		{"write", func() error { return fsys.WriteFile(f, folder+"/w/"+user, []byte(user)) }},
		{"make folders", func() error { return f.MkdirAll(folder + "/" + user + "/x") }},
		{"replace", func() error {
			if err := fsys.WriteFile(f, folder+"/w/.tmp-"+user, []byte("a")); err != nil {
				return err
			}
			return f.Rename(folder+"/w/.tmp-"+user, folder+"/w/a")
		}},
		{"take away", func() error {
			if err := f.RenameNew(folder+"/w/a", folder+"/w/b"); err != nil {
				return err
			}
			return f.RenameNew(folder+"/w/b", folder+"/w/a")
		}},
		{"delete", func() error { return f.RemoveAll(folder + "/deep") }},
	} {
		switch err := try.do(); {
		case err == nil:
			done = append(done, try.name)
		case !errors.Is(err, fs.ErrPermission):
			t.Errorf("%s: %s in %s = %v, want a refusal for want of rights", user, try.name, folder, err)
		}
	}
	return done
}

var (
	all   = []string{"list", "read", "write", "make folders", "replace", "take away", "delete"}
	reads = []string{"list", "read"}
)

// fill makes what a writer makes.
func fill(t *testing.T, f *hdfs.FS, folder string) {
	t.Helper()
	for _, name := range []string{"/w/a", "/deep/er/and/deeper"} {
		if err := fsys.WriteFile(f, folder+name, []byte(name)); err != nil {
			t.Fatal(err)
		}
	}
}

// TestEachWritesWhatIsItsOwn tries on a real cluster what users can do in each other's folders.
func TestEachWritesWhatIsItsOwn(t *testing.T) {
	both(t, func(t *testing.T, cfg hdfs.Config) {
		c := actors(t, cfg)
		owner := c.as(t, cfg.User)
		if n := grantAll(t, owner); n != len(granted) {
			t.Errorf("%d grants changed something, want %d", n, len(granted))
		}
		if n := grantAll(t, owner); n != 0 {
			t.Errorf("%d grants changed something that were granted", n)
		}
		c.matrix(t, true)
		if n := grantAll(t, owner); n != 0 {
			t.Errorf("%d grants changed something after others had written", n)
		}
	})
}

// TestAGrantReachesWhatIsThereAlready has folders that their owner made before others were let in, and by a umask that shuts them out.
func TestAGrantReachesWhatIsThereAlready(t *testing.T) {
	c := actors(t, config(t))
	before := openAt(t, c.dir, c.cfg)
	fill(t, before, "rows")
	fill(t, before, "keys")
	if n := grantAll(t, c.as(t, c.cfg.User)); n != len(granted) {
		t.Errorf("%d grants changed something, want %d", n, len(granted))
	}
	c.matrix(t, false)
}

// matrix holds what each may do in each folder. Writers make what lies there, if it is not there.
func (c cast) matrix(t *testing.T, made bool) {
	t.Helper()
	for _, tt := range []struct {
		user, folder string
		want         []string
	}{
		{"g-collect", "rows", reads}, {"g-other", "rows", nil}, {"g-store", "rows", all}, {"g-calendar", "rows", all},
		{"g-store", "keys", nil}, {"g-other", "keys", nil}, {"g-collect", "keys", all}, {"g-calendar", "keys", all},
		{c.cfg.User, "rows", all}, {c.cfg.User, "keys", all},
	} {
		writer := map[string]string{"rows": "g-store", "keys": "g-collect"}[tt.folder]
		if made {
			fill(t, c.as(t, writer), tt.folder)
		}
		if diff := cmp.Diff(tt.want, c.what(t, tt.user, tt.folder)); diff != "" {
			t.Errorf("%s in %s, which is %s's (-want +got):\n%s", tt.user, tt.folder, writer, diff)
		}
		if !made { // once something was deleted or replaced, it is the writer's
			made = len(tt.want) == len(all)
		}
	}
}
