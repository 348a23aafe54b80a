package hdfs_test

import (
	"errors"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
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
	if _, err := base.Grant(hdfs.Grant{Folder: ".", Pass: []string{"g-store", "g-collect", "g-calendar", "g-other"}}, false); err != nil {
		t.Fatal(err)
	}
	return c
}

var granted = []hdfs.Grant{
	{Folder: ".", Pass: []string{"g-collect", "g-other", "g-store"}, Write: []string{"g-calendar"}},
	{Folder: "rows", Read: []string{"g-collect"}, Write: []string{"g-store"}},
	{Folder: "keys", Write: []string{"g-collect"}, Closed: true},
}

func grantAll(t *testing.T, f *hdfs.FS) (changed int) {
	t.Helper()
	for _, g := range granted {
		before, err := f.Lacks(g)
		if err != nil {
			t.Fatal(err)
		}
		did, err := f.Grant(g, false)
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

// matrix holds what each may do in each folder. Before each, made has it as it was.
func (c cast) matrix(t *testing.T, made func(folder string)) {
	t.Helper()
	for _, tt := range []struct {
		user, folder string
		want         []string
	}{
		{"g-collect", "rows", reads}, {"g-other", "rows", nil}, {"g-store", "rows", all}, {"g-calendar", "rows", all}, {c.cfg.User, "rows", all},
		{"g-store", "keys", nil}, {"g-other", "keys", nil}, {"g-collect", "keys", all}, {"g-calendar", "keys", all}, {c.cfg.User, "keys", all},
	} {
		made(tt.folder)
		if diff := cmp.Diff(tt.want, c.what(t, tt.user, tt.folder)); diff != "" {
			t.Errorf("%s in %s (-want +got):\n%s", tt.user, tt.folder, diff)
		}
	}
}

var whose = map[string]string{"rows": "g-store", "keys": "g-collect"}

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
		c.matrix(t, func(folder string) { fill(t, c.as(t, whose[folder]), folder) })
		for _, g := range granted {
			if changed, err := owner.Grant(g, true); changed || err != nil {
				t.Errorf("Grant of all in %s after others had written there = %v, %v, want nothing to be done", g.Folder, changed, err)
			}
		}
	})
}

// before has folders that their owner made before others were let in, and by a umask that shuts them out.
func (c cast) before(t *testing.T) (again func(folder string)) {
	t.Helper()
	owner := openAt(t, c.dir, c.cfg)
	again = func(folder string) {
		if err := owner.RemoveAll(folder); err != nil {
			t.Fatal(err)
		}
		fill(t, owner, folder)
	}
	again("rows")
	again("keys")
	return again
}

func TestAGrantReachesWhatIsThereAlready(t *testing.T) {
	c := actors(t, config(t))
	again := c.before(t)
	c.matrix(t, func(folder string) {
		again(folder)
		grantAll(t, c.as(t, c.cfg.User))
	})
}

// TestAGrantOfAllMendsWhatWasMadeByAnotherUmask has the owner go on as before in folders that others were let into, as long as functions of before work.
func TestAGrantOfAllMendsWhatWasMadeByAnotherUmask(t *testing.T) {
	c := actors(t, config(t))
	owner := c.as(t, c.cfg.User)
	grantAll(t, owner)
	fill(t, openAt(t, c.dir, c.cfg), "rows")
	if got := c.what(t, "g-store", "rows"); slices.Contains(got, "write") {
		t.Fatalf("g-store may %v in a folder that was made by the umask 027: the test has lost its point", got)
	}
	if n := grantAll(t, owner); n != 0 {
		t.Errorf("%d grants changed something that the folders themselves have", n)
	}
	if changed, err := owner.Grant(granted[1], true); !changed || err != nil {
		t.Errorf("Grant of all = %v, %v", changed, err)
	}
	if diff := cmp.Diff(all, c.what(t, "g-store", "rows")); diff != "" {
		t.Errorf("g-store after a grant of all (-want +got):\n%s", diff)
	}
}

// TestAGrantTellsWhatOnlyTheSuperuserCanAdd has something that another user made and shut: the rest is done all the same.
func TestAGrantTellsWhatOnlyTheSuperuserCanAdd(t *testing.T) {
	c := actors(t, config(t))
	owner := c.as(t, c.cfg.User)
	grantAll(t, owner)
	cfg := c.cfg
	cfg.User = "g-store"
	fill(t, openAt(t, c.dir, cfg), "rows/hers")
	if err := openAt(t, c.dir, c.cfg).MkdirAll("rows/mine"); err != nil {
		t.Fatal(err)
	}
	_, err := owner.Grant(granted[1], true)
	if !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), "-setfacl -R -m ") || !strings.Contains(err.Error(), "rows/hers") {
		t.Errorf("Grant of all = %v, want it to tell what the superuser is to do", err)
	}
	hers := c.as(t, "g-store")
	if err := hers.MkdirAll("rows/mine/x"); err != nil {
		t.Errorf("what could be granted was not: %v", err)
	}
	if err := hers.RemoveAll("rows/hers"); err != nil {
		t.Error(err)
	}
}

// TestTheGroupMayReadAtMost has folders that were made for their group to write in, of which one is to be closed to it.
func TestTheGroupMayReadAtMost(t *testing.T) {
	c := actors(t, config(t))
	owner := c.as(t, c.cfg.User)
	fill(t, owner, "rows")
	fill(t, owner, "keys")
	grantAll(t, owner)
	fill(t, c.as(t, "g-store"), "rows/new")
	fill(t, c.as(t, "g-collect"), "keys/new")
	c.groupHolds(t, owner)
	ask := c.cfg.Web[0] + "/webhdfs/v1" + c.dir + "/rows?op=MODIFYACLENTRIES&aclspec=group::rwx,default:group::rwx&user.name=" + c.cfg.User
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, ask, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil || resp.StatusCode != http.StatusOK || resp.Body.Close() != nil {
		t.Fatalf("PUT = %v, %v", resp, err)
	}
	if n := grantAll(t, owner); n != 1 {
		t.Errorf("%d grants changed something after a group was let write, want 1", n)
	}
	c.groupHolds(t, owner)
}

// groupHolds looks what the group may in what TestTheGroupMayReadAtMost made.
func (c cast) groupHolds(t *testing.T, owner *hdfs.FS) {
	t.Helper()
	for _, name := range []string{".", "rows", "rows/w", "rows/w/a", "rows/new/w", "rows/new/w/a", "keys", "keys/w", "keys/w/a", "keys/new/w", "keys/new/w/a"} {
		more := "w"
		if strings.HasPrefix(name, "keys") {
			more = "rwx"
		}
		o, err := owner.Owned(name)
		if err != nil {
			t.Fatal(err)
		}
		group := 0
		for _, e := range o.ACL {
			if strings.Contains(e, "group::") {
				group++
			}
			if _, rights, ours := strings.Cut(e, "group::"); ours && strings.ContainsAny(rights, more) {
				t.Errorf("of %s the group may %s", name, e)
			}
		}
		if group == 0 {
			t.Errorf("%s has no entry of the group: %v", name, o.ACL)
		}
	}
}

// TestAGrantGoesOnWhereItWasKilled has each request fail in turn that changes an access control list, as if the program had ended there.
func TestAGrantGoesOnWhereItWasKilled(t *testing.T) {
	cfg := config(t)
	to, err := url.Parse(cfg.Web[0])
	if err != nil {
		t.Fatal(err)
	}
	for n := int32(1); ; n++ {
		c := actors(t, cfg)
		c.before(t)
		var asked atomic.Int32
		forward := httputil.NewSingleHostReverseProxy(to)
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Query().Get("op") == "MODIFYACLENTRIES" && asked.Add(1) >= n {
				w.WriteHeader(http.StatusBadRequest)
				_, _ = io.WriteString(w, `{"RemoteException":{"exception":"IllegalArgumentException","javaClassName":"java.lang.IllegalArgumentException","message":"killed"}}`)
				return
			}
			forward.ServeHTTP(w, r)
		}))
		broken := c
		broken.cfg.Web = []string{server.URL}
		killed := false
		for _, g := range granted {
			_, err := broken.as(t, cfg.User).Grant(g, false)
			killed = killed || err != nil
		}
		server.Close()
		grantAll(t, c.as(t, cfg.User))
		for folder, user := range whose {
			if diff := cmp.Diff(all, c.what(t, user, folder)); diff != "" {
				t.Errorf("killed at change %d: %s in %s (-want +got):\n%s", n, user, folder, diff)
			}
		}
		if !killed {
			if n < 20 {
				t.Errorf("only %d changes were made, want those of two trees", n-1)
			}
			return
		}
	}
}
