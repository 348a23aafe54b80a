// Package hdfs is a folder of HDFS as a file system that a warehouse can stand on.
//
// Names are slash-separated paths relative to the folder. A missing name is fs.ErrNotExist, a taken one fs.ErrExist, a forbidden
// one fs.ErrPermission. Every step on the network has a deadline, and every operation goes on for as long as Config.Patience: while
// a NameNode fails over or starts, and when an answer is lost. Whether a change was done whose answer was lost is found
// out by looking, never by doing it again and hoping.
package hdfs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"path"
	"slices"
	"strings"
	"time"

	krb "github.com/jcmturner/gokrb5/v8/client"
	"github.com/jcmturner/gokrb5/v8/krberror"

	"github.com/almanac-data/almanac/functions/internal/hdfs/kerberos"
	"github.com/almanac-data/almanac/functions/internal/hdfs/native"
	"github.com/almanac-data/almanac/functions/internal/hdfs/session"
	"github.com/almanac-data/almanac/functions/internal/hdfs/webhdfs"
)

// rpc is RPC, and WebHDFS for the one verb that the RPC library lacks.
type rpc struct {
	*native.Client

	web *webhdfs.Client
}

func (r rpc) RenameNew(old, name string) error { return r.web.RenameNew(old, name) }

// FS is a folder of HDFS. It is safe for concurrent use; Close ends it.
type FS struct {
	uri     string // without a slash at its end
	root    string
	session *session.Session
	web     *webhdfs.Client // for RenameNew
	close   func()
	ticket  *krb.Client // nil where there is no Kerberos
	as      string      // principal
}

// Open logs in and opens the folder at hdfs://host:port/path, or hdfs://name/path where Config names the NameNodes; the folder is made if it
// is missing. What is wrong with the configuration shows here: it is patient for 15 seconds at most.
func Open(ctx context.Context, uri string, cfg Config) (_ *FS, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("open warehouse %s: %w", uri, err)
		}
	}()
	u, err := parse(uri)
	if err != nil {
		return nil, err
	}
	if len(cfg.NameNodes) == 0 {
		cfg.NameNodes = []string{u.Host}
	}
	if err := errors.Join(ctx.Err(), cfg.Check()); err != nil {
		return nil, err
	}
	f := &FS{uri: "hdfs://" + u.Host + path.Clean(u.Path), root: path.Clean(u.Path)}
	if err := f.connect(cfg); err != nil {
		return nil, err
	}
	if _, err = f.Stat("."); errors.Is(err, fs.ErrNotExist) { // in safe mode none can be made, even if it is there
		err = f.MkdirAll(".")
	}
	if err == nil {
		err = f.reachWeb() //nolint:contextcheck // a file system has deadlines of its own and no contexts
	}
	if err != nil {
		f.Close()
		if session.Passing(err) {
			err = away{fmt.Errorf("%w; see that the NameNodes run, and that ALMANAC_HDFS_NAMENODES and ALMANAC_HDFS_WEB name them", err)}
		}
		return nil, err
	}
	f.session = f.session.Patient(cfg.Patience)
	return f, nil
}

// away marks an error of Open that may pass: nothing answers, or the NameNode says to wait.
type away struct{ error }

func (a away) Unwrap() error { return a.error }

// Passing says whether Open may succeed a little later, by itself; else a person must mend what is wrong.
func Passing(err error) bool {
	_, ok := errors.AsType[away](err)
	kerberos, failed := errors.AsType[krberror.Krberror](err)
	return ok || failed && kerberos.RootCause == krberror.NetworkingError
}

// Again says whether what an open file system could not do may succeed a little later, by itself.
func Again(err error) bool { return session.Passing(err) }

// reachWeb sees that WebHDFS answers, which RPC does not need before the first commit.
func (f *FS) reachWeb() error {
	return f.session.Try("stat", f.uri, func(bool) error {
		_, err := f.web.Stat(f.root)
		return err
	})
}

// parse refuses what Iceberg metadata cannot name, as its readers disagree about escapes.
func parse(uri string) (*url.URL, error) {
	u, err := url.Parse(uri)
	switch {
	case err != nil:
		return nil, err
	case u.Scheme != "hdfs" || u.Host == "":
		return nil, errors.New("a warehouse on HDFS is named hdfs://host:port/path")
	case strings.ContainsAny(uri, " %?#\\\"<>|") || strings.Contains(u.Path, ":") || path.Clean(u.Path) == "/" || u.Path == "":
		return nil, errors.New("the path must not be / and must not hold spaces or any of : % ? # \\ \" < > |: choose another folder")
	}
	return u, nil
}

// connect makes the pool of clients; none is connected yet.
func (f *FS) connect(cfg Config) error {
	trust, err := cfg.tls()
	if err != nil {
		return err
	}
	modes, err := cfg.made()
	if err != nil {
		return err
	}
	var ticket *krb.Client
	if cfg.Keytab != "" {
		if cfg.Krb5Conf == "" {
			cfg.Krb5Conf = "/etc/krb5.conf"
		}
		if cfg.Protection == "" {
			cfg.Protection = "privacy"
		}
		if ticket, err = kerberos.Login(cfg.Krb5Conf, cfg.Keytab, cfg.Principal); err != nil {
			return err
		}
		f.ticket, f.as = ticket, cfg.Principal
	}
	newWeb := func(failed int) *webhdfs.Client {
		return webhdfs.New(webhdfs.Config{
			URLs: rotate(cfg.Web, failed), TLS: trust, User: cfg.User, Kerberos: ticket,
			Replication: cfg.Replication, BlockSize: cfg.BlockSize, Modes: modes, Timeout: cfg.Timeout,
		})
	}
	f.web = newWeb(0)
	dial := func(failed int) (session.Transport, error) {
		c, err := native.Dial(native.Config{
			NameNodes: rotate(cfg.NameNodes, failed), User: cfg.User, Kerberos: ticket, Service: cfg.Service, Protection: cfg.Protection, Hostnames: cfg.Hostnames,
			Replication: cfg.Replication, BlockSize: cfg.BlockSize, Modes: modes, Timeout: cfg.Timeout,
		})
		return rpc{c, f.web}, err
	}
	if cfg.Metadata == "web" {
		dial = func(failed int) (session.Transport, error) { return newWeb(failed), nil }
	}
	f.session = session.New(dial, min(cfg.Patience, 15*time.Second))
	f.close = func() {
		f.session.Close()
		f.web.Close()
		if ticket != nil {
			ticket.Destroy()
		}
	}
	return nil
}

// rotate begins with another of the addresses after each failure.
func rotate(addresses []string, failed int) []string {
	at := failed % len(addresses)
	return slices.Concat(addresses[at:], addresses[:at])
}

// Ticket tells of the Kerberos ticket; the times are zero where there is none.
func (f *FS) Ticket() (principal string, issued, end time.Time) {
	if f.ticket == nil {
		return "", issued, end
	}
	issued, end = kerberos.Validity(f.ticket)
	return f.as, issued, end
}

// Close ends the connections, also those of files that are still open.
func (f *FS) Close() { f.close() }

// URI is hdfs://host:port/path of a name.
func (f *FS) URI(name string) string { return f.uri + strings.TrimPrefix(f.at(name), f.root) }

func (f *FS) at(name string) string { return path.Join(f.root, name) }
