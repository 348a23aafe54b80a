package webhdfs_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/almanac-data/almanac/functions/internal/hdfs/remote"
	"github.com/almanac-data/almanac/functions/internal/hdfs/webhdfs"
)

// nameNode is a NameNode that answers as it is told, and a DataNode with one file.
type nameNode struct {
	*httptest.Server

	answer func(w http.ResponseWriter, r *http.Request)
	mu     sync.Mutex
	asked  []string
	file   []byte
}

func newNameNode(tb testing.TB, answer func(w http.ResponseWriter, r *http.Request)) *nameNode {
	tb.Helper()
	n := &nameNode{answer: answer}
	n.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n.mu.Lock()
		n.asked = append(n.asked, r.Method+" "+r.URL.Path+"?"+r.URL.Query().Encode())
		n.mu.Unlock()
		if name, ok := strings.CutPrefix(r.URL.Path, "/data"); ok {
			n.data(w, r, name)
			return
		}
		n.answer(w, r)
	}))
	tb.Cleanup(n.Close)
	return n
}

func (n *nameNode) data(w http.ResponseWriter, r *http.Request, _ string) {
	if r.Method == http.MethodPut {
		n.file, _ = io.ReadAll(r.Body)
		w.WriteHeader(http.StatusCreated)
		return
	}
	var off, length int
	_, _ = fmt.Sscan(r.URL.Query().Get("offset"), &off)
	_, _ = fmt.Sscan(r.URL.Query().Get("length"), &length)
	_, _ = w.Write(n.file[off : off+length])
}

func newClient(tb testing.TB, urls ...string) *webhdfs.Client {
	tb.Helper()
	c := webhdfs.New(webhdfs.Config{URLs: urls, User: "almanac", Replication: 2, BlockSize: 1 << 20, Modes: remote.Modes{Folder: 0o770, File: 0o660},
		Timeout: 2 * time.Second})
	tb.Cleanup(c.Close)
	return c
}

func throw(w http.ResponseWriter, status int, class, message string) {
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, `{"RemoteException":{"exception":%q,"javaClassName":%q,"message":%q}}`, class[strings.LastIndex(class, ".")+1:], class, message)
}

func TestVerbs(t *testing.T) {
	n := newNameNode(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Query().Get("op") {
		case "GETFILESTATUS":
			_, _ = io.WriteString(w, `{"FileStatus":{"pathSuffix":"","type":"FILE","length":7,"permission":"640","modificationTime":1000,"fileId":16400,"replication":2}}`)
		case "LISTSTATUS_BATCH":
			more := 1
			name := "b"
			if r.URL.Query().Get("startAfter") == "b" {
				more, name = 0, "a"
			}
			_, _ = fmt.Fprintf(w, `{"DirectoryListing":{"partialListing":{"FileStatuses":{"FileStatus":[{"pathSuffix":%q,"type":"DIRECTORY"}]}},"remainingEntries":%d}}`, name, more)
		default:
			_, _ = io.WriteString(w, `{"boolean":true}`)
		}
	})
	c := newClient(t, n.URL)
	info, err := c.Stat("/w/x")
	want := remote.Info{Path: "x", Bytes: 7, Perm: 0o640, Modified: time.UnixMilli(1000), ID: 16400}
	if diff := cmp.Diff(want, info); diff != "" || err != nil {
		t.Errorf("Stat (-want +got):\n%s%v", diff, err)
	}
	list, err := c.List("/w")
	if err != nil || len(list) != 2 || list[0].Path != "a" || list[1].Path != "b" || !list[0].Folder {
		t.Errorf("List = %v, %v, want a and b", list, err)
	}
	if err := errors.Join(c.Mkdirs("/w/d"), c.Replace("/w/a", "/w/b"), c.RenameNew("/w/a", "/w/b+c"), c.Delete("/w/x", true),
		c.Let("/w/d", []string{"user:p:r-x", "default:user:p:r-x"})); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff([]string{
		"GET /webhdfs/v1/w/x?op=GETFILESTATUS&user.name=almanac",
		"GET /webhdfs/v1/w?op=LISTSTATUS_BATCH&user.name=almanac",
		"GET /webhdfs/v1/w?op=LISTSTATUS_BATCH&startAfter=b&user.name=almanac",
		"PUT /webhdfs/v1/w/d?op=MKDIRS&permission=770&user.name=almanac",
		"PUT /webhdfs/v1/w/a?destination=%2Fw%2Fb&op=RENAME&renameoptions=OVERWRITE&user.name=almanac",
		"PUT /webhdfs/v1/w/a?destination=%2Fw%2Fb%2Bc&op=RENAME&renameoptions=NONE&user.name=almanac",
		"DELETE /webhdfs/v1/w/x?op=DELETE&recursive=true&user.name=almanac",
		"PUT /webhdfs/v1/w/d?aclspec=user%3Ap%3Ar-x%2Cdefault%3Auser%3Ap%3Ar-x&op=MODIFYACLENTRIES&user.name=almanac",
	}, n.asked); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
}

func TestExceptions(t *testing.T) {
	for name, tt := range map[string]struct {
		status         int
		class, message string
		want           error
		unclear        bool
		text           string
	}{
		"missing":    {404, "java.io.FileNotFoundException", "File /x does not exist.", fs.ErrNotExist, false, "File /x does not exist."},
		"taken":      {403, "org.apache.hadoop.fs.FileAlreadyExistsException", "rename destination /y already exists", fs.ErrExist, false, "already exists"},
		"forbidden":  {403, "org.apache.hadoop.security.AccessControlException", "Permission denied: user=a", fs.ErrPermission, false, "see who owns"},
		"safe mode":  {403, "org.apache.hadoop.ipc.RetriableException", "org.apache.hadoop.hdfs.server.namenode.SafeModeException: Cannot rename", nil, false, "dfsadmin -safemode get"},
		"quota":      {403, "org.apache.hadoop.hdfs.protocol.NSQuotaExceededException", "The NameSpace quota is exceeded", nil, false, "-setQuota"},
		"no login":   {401, "", "", fs.ErrPermission, false, "see the keytab"},
		"a gateway":  {502, "", "", nil, true, "502"},
		"no nodes":   {403, "java.io.IOException", "File /x could only be written to 0 of the 1 minReplication nodes.", nil, false, "see that DataNodes run"},
		"not thrown": {500, "java.lang.NullPointerException", "", nil, false, "NullPointerException"},
	} {
		n := newNameNode(t, func(w http.ResponseWriter, _ *http.Request) {
			if tt.class == "" {
				w.WriteHeader(tt.status)
				return
			}
			throw(w, tt.status, tt.class, tt.message+"\n\tat org.apache.hadoop")
		})
		err := newClient(t, n.URL).RenameNew("/x", "/y")
		if (tt.want != nil && !errors.Is(err, tt.want)) || remote.Unclear(err) != tt.unclear || err == nil || !strings.Contains(err.Error(), tt.text) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: RenameNew = %v (unclear: %v), want %v with %q", name, err, remote.Unclear(err), tt.want, tt.text)
		}
	}
}

func TestStandbyIsPassedOver(t *testing.T) {
	standby := newNameNode(t, func(w http.ResponseWriter, _ *http.Request) {
		throw(w, 403, "org.apache.hadoop.ipc.StandbyException", "Operation category WRITE is not supported in state standby")
	})
	active := newNameNode(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"boolean":true}`) })
	dead := httptest.NewServer(nil)
	dead.Close()
	c := newClient(t, dead.URL, standby.URL, active.URL)
	for range 3 {
		if err := c.RenameNew("/x", "/y"); err != nil {
			t.Errorf("RenameNew = %v", err)
		}
	}
	if len(standby.asked) != 1 || len(active.asked) != 3 {
		t.Errorf("the standby was asked %d times, the active one %d times, want 1 and 3", len(standby.asked), len(active.asked))
	}
	err := newClient(t, standby.URL, dead.URL).RenameNew("/x", "/y")
	if err == nil || remote.Unclear(err) || !strings.Contains(err.Error(), "StandbyException") {
		t.Errorf("RenameNew without an active one = %v, want a clear no that names both", err)
	}
}

// A change is sent once; where its answer is lost the outcome is unclear, and no other NameNode is asked.
func TestLostAnswerIsUnclear(t *testing.T) {
	cut := newNameNode(t, func(w http.ResponseWriter, _ *http.Request) {
		c, _, _ := w.(http.Hijacker).Hijack()
		_ = c.Close()
	})
	other := newNameNode(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"boolean":true}`) })
	err := newClient(t, cut.URL, other.URL).RenameNew("/x", "/y")
	if !remote.Unclear(err) || len(cut.asked) != 1 || len(other.asked) != 0 {
		t.Errorf("RenameNew = %v after %d and %d requests, want an unclear error after one", err, len(cut.asked), len(other.asked))
	}
}

func TestSilenceEnds(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0") // accepts, and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	start := time.Now()
	other := newNameNode(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"boolean":true}`) })
	c := newClient(t, "http://"+l.Addr().String(), other.URL)
	if err := c.RenameNew("/x", "/y"); !remote.Unclear(err) || time.Since(start) > 5*time.Second || len(other.asked) > 0 {
		t.Errorf("RenameNew = %v after %s, want a time-out after 2s", err, time.Since(start))
	}
	if err := c.RenameNew("/x", "/y"); err != nil || len(other.asked) != 1 {
		t.Errorf("RenameNew after that = %v, want the answer of the other NameNode", err)
	}
}

func TestFiles(t *testing.T) {
	var n *nameNode
	n = newNameNode(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Query().Get("op") {
		case "GETFILESTATUS":
			if n.file == nil {
				throw(w, 404, "java.io.FileNotFoundException", "File does not exist")
				return
			}
			_, _ = fmt.Fprintf(w, `{"FileStatus":{"type":"FILE","length":%d,"fileId":1}}`, len(n.file))
		default:
			http.Redirect(w, r, n.URL+"/data"+r.URL.Path+"?"+r.URL.RawQuery+"&delegation=secret", http.StatusTemporaryRedirect)
		}
	})
	c := newClient(t, n.URL)
	s, err := c.Create("/w/x")
	if err != nil {
		t.Fatal(err)
	}
	data := bytes.Repeat([]byte("0123456789"), 20_000)
	for chunk := range bytes.Lines(data) {
		if _, err := s.Write(chunk); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Commit(); err != nil || !bytes.Equal(n.file, data) {
		t.Errorf("Commit = %v, %d bytes came, want %d", err, len(n.file), len(data))
	}
	s.Abort()
	if _, err := c.Create("/w/x"); !errors.Is(err, fs.ErrExist) {
		t.Errorf("Create of what is there = %v, want fs.ErrExist", err)
	}
	in, err := c.Open("/w/x")
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	n.asked = nil
	for _, at := range []struct{ off, n, want int }{{100, 50, 50}, {150, 50, 50}, {200, 10, 10}, {5, 3, 3}, {len(data) - 5, 10, 5}} {
		buf := make([]byte, at.n)
		got, err := in.ReadAt(buf, int64(at.off))
		if got != at.want || (got < at.n) != errors.Is(err, io.EOF) || !bytes.Equal(buf[:got], data[at.off:at.off+got]) {
			t.Errorf("ReadAt(%d, %d) = %d, %v, want %d", at.n, at.off, got, err, at.want)
		}
	}
	if len(n.asked) != 8 { // 100, the rest from 150, 5, and the end, each by way of the NameNode
		t.Errorf("%d requests, want 8: %v", len(n.asked), n.asked)
	}
	// The text of an error does not hold the token of the redirection.
	n.file = nil
	if _, err := in.ReadAt(make([]byte, 8), 20); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("ReadAt of a file that is cut = %v", err)
	}
}
