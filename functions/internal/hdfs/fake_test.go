package hdfs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/almanac-data/almanac/functions/internal/hdfs/remote"
	"github.com/almanac-data/almanac/functions/internal/hdfs/session"
)

var errLost = errors.New("connection reset")

// fake is an HDFS in memory whose every call can go wrong before or after it is done.
type fake struct {
	mu     sync.Mutex
	ids    uint64
	nodes  map[string]*node
	calls  []string
	dials  int
	failed int // as the last dial was told
	// before and after may end the n-th call of a verb, counted from 1.
	before, after func(verb string, n int) error
	counts        map[string]int
}

type node struct {
	id     uint64
	data   []byte
	folder bool
}

func newFake(tb testing.TB) (*FS, *fake) {
	tb.Helper()
	none := func(string, int) error { return nil }
	k := &fake{nodes: map[string]*node{"/w": {folder: true}}, before: none, after: none, counts: map[string]int{}}
	dial := func(failed int) (session.Transport, error) { k.dials++; k.failed = failed; return k, nil }
	f := &FS{uri: "hdfs://nn:8020/w", root: "/w", session: session.New(dial, time.Minute)}
	f.close = f.session.Close
	return f, k
}

// call runs one verb, with what is to go wrong.
func (k *fake) call(verb string, do func() error) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.counts[verb]++
	n := k.counts[verb]
	k.calls = append(k.calls, verb)
	if err := k.before(verb, n); err != nil {
		return err
	}
	if err := do(); err != nil {
		return err
	}
	return k.after(verb, n)
}

func missing(name string) error { return remote.NewError("java.io.FileNotFoundException", name) }

func taken(name string) error {
	return remote.NewError("org.apache.hadoop.fs.FileAlreadyExistsException", name)
}

func (k *fake) info(name string) (remote.Info, error) {
	n := k.nodes[name]
	if n == nil {
		return remote.Info{}, missing(name)
	}
	return remote.Info{Path: path.Base(name), Bytes: int64(len(n.data)), Folder: n.folder, ID: n.id}, nil
}

func (k *fake) Stat(name string) (info remote.Info, err error) {
	err = k.call("stat", func() (err error) { info, err = k.info(name); return err })
	return info, err
}

func (k *fake) List(name string) (infos []remote.Info, err error) {
	err = k.call("list", func() error {
		infos = nil
		for at := range k.nodes {
			if path.Dir(at) == name {
				info, _ := k.info(at)
				infos = append(infos, info)
			}
		}
		slices.SortFunc(infos, func(a, b remote.Info) int { return strings.Compare(a.Path, b.Path) })
		return nil
	})
	return infos, err
}

func (k *fake) Mkdirs(name string) error {
	return k.call("mkdirs", func() error {
		for ; name != "/"; name = path.Dir(name) {
			if k.nodes[name] == nil {
				k.nodes[name] = &node{folder: true}
			}
		}
		return nil
	})
}

func (k *fake) Replace(old, name string) error { return k.rename("replace", old, name, true) }

func (k *fake) RenameNew(old, name string) error { return k.rename("rename", old, name, false) }

func (k *fake) rename(verb, old, name string, over bool) error {
	return k.call(verb, func() error {
		switch {
		case k.nodes[old] == nil:
			return missing(old)
		case k.nodes[name] != nil && !over:
			return taken(name)
		}
		k.nodes[name] = k.nodes[old]
		delete(k.nodes, old)
		return nil
	})
}

func (k *fake) Delete(name string, _ bool) error {
	return k.call("delete", func() error {
		if k.nodes[name] == nil {
			return missing(name)
		}
		delete(k.nodes, name)
		return nil
	})
}

func (k *fake) Create(name string) (s remote.Sink, err error) {
	err = k.call("create", func() error {
		if k.nodes[path.Dir(name)] == nil {
			return missing(name)
		}
		if k.nodes[name] != nil {
			return taken(name)
		}
		k.ids++
		k.nodes[name] = &node{id: k.ids}
		s = &fakeSink{fake: k, node: k.nodes[name]}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return s, nil
}

func (k *fake) Open(name string) (s remote.Source, err error) {
	err = k.call("open", func() error {
		info, err := k.info(name)
		if err != nil {
			return err
		}
		s = &fakeSource{fake: k, info: info, node: k.nodes[name]}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return s, nil
}

func (k *fake) Close() { _ = k.call("close", func() error { return nil }) }

type fakeSink struct {
	fake *fake
	node *node
	buf  bytes.Buffer
}

func (s *fakeSink) Write(p []byte) (n int, err error) {
	err = s.fake.call("write", func() error { n, err = s.buf.Write(p); return err })
	return n, err
}

func (s *fakeSink) Commit() error {
	return s.fake.call("commit", func() error { s.node.data = s.buf.Bytes(); return nil })
}

func (s *fakeSink) Abort() { _ = s.fake.call("abort", func() error { return nil }) }

type fakeSource struct {
	fake *fake
	node *node
	info remote.Info
}

func (s *fakeSource) Info() remote.Info { return s.info }

func (s *fakeSource) ReadAt(p []byte, off int64) (n int, err error) {
	err = s.fake.call(fmt.Sprintf("read %d at %d", len(p), off), func() error {
		n, err = bytes.NewReader(s.node.data).ReadAt(p, off)
		return err
	})
	if s.fake.after("read", s.fake.counts["read"]) != nil && n > 1 {
		return n / 2, io.ErrUnexpectedEOF
	}
	return n, err
}

func (s *fakeSource) Close() error { return nil }
