package hdfs

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/almanac-data/almanac/functions/internal/hdfs/remote"
)

// Config says how to reach a cluster.
type Config struct {
	NameNodes   []string      `env:"ALMANAC_HDFS_NAMENODES"`                                                 // host:port of their RPC; that of the warehouse if none is named
	Web         []string      `env:"ALMANAC_HDFS_WEB,required"`                                              // http(s)://host:port of their WebHDFS
	User        string        `env:"ALMANAC_HDFS_USER,default=almanac"`                                      // where there is no Kerberos
	Keytab      string        `env:"ALMANAC_HDFS_KEYTAB"                       secret:"file"`                // file; with it everything logs in by Kerberos
	Principal   string        `each:"name"                                     env:"ALMANAC_HDFS_PRINCIPAL"` // as whom; {function} stands for the function's name
	Krb5Conf    string        `env:"ALMANAC_HDFS_KRB5_CONF"`                                                 // file; /etc/krb5.conf if empty
	Service     string        `env:"ALMANAC_HDFS_SERVICE,default=nn/_HOST"`                                  // dfs.namenode.kerberos.principal without its realm
	Protection  string        `env:"ALMANAC_HDFS_PROTECTION"`                                                // of data with Kerberos: authentication, integrity, privacy (if empty)
	CA          string        `env:"ALMANAC_HDFS_CA"                           secret:"file"`                // PEM file of who signs WebHDFS's certificates; the system's if empty
	Hostnames   bool          `env:"ALMANAC_HDFS_HOSTNAMES,default=false"`                                   // reach DataNodes by their names
	Replication int           `env:"ALMANAC_HDFS_REPLICATION,default=3"`                                     // of new files
	Umask       string        `env:"ALMANAC_HDFS_UMASK,default=027"`                                         // octal: what of 777 folders and of 666 files are made without
	BlockSize   int64         `env:"ALMANAC_HDFS_BLOCK_SIZE,default=134217728"`
	Timeout     time.Duration `env:"ALMANAC_HDFS_TIMEOUT,default=20s"`  // of one request, and of one step of reading or writing
	Patience    time.Duration `env:"ALMANAC_HDFS_PATIENCE,default=90s"` // of one operation with its further attempts: a failover takes 10 s and more
	Users       string        `env:"ALMANAC_HDFS_USERS"`                // almanac-{function}, where each function is a user of its own; read by who publishes
	Metadata    string        `env:"ALMANAC_HDFS_METADATA,default=rpc"` // rpc; or web: everything goes through WebHDFS, as RPC shows names in clear
}

// Check tells every mistake, each by the name of its variable.
func (c Config) Check() error {
	var all []error
	wrong := func(bad bool, format string, args ...any) {
		if bad {
			all = append(all, fmt.Errorf(format, args...))
		}
	}
	for _, a := range c.NameNodes {
		_, _, err := net.SplitHostPort(a)
		wrong(err != nil, "ALMANAC_HDFS_NAMENODES must name each NameNode as host:port, not %q", a)
	}
	for _, w := range c.Web {
		u, err := url.Parse(w)
		ok := err == nil && u.Host != "" && strings.Trim(u.Path, "/") == "" && (u.Scheme == "http" || u.Scheme == "https")
		wrong(!ok, "ALMANAC_HDFS_WEB must name each NameNode as http://host:port or https://host:port, not %q", w)
		wrong(ok && c.Keytab != "" && u.Scheme == "http", "ALMANAC_HDFS_WEB must be https://… where ALMANAC_HDFS_KEYTAB is set, not %q", w)
	}
	wrong((c.Keytab == "") != (c.Principal == ""), "ALMANAC_HDFS_KEYTAB and ALMANAC_HDFS_PRINCIPAL must be set together")
	wrong(strings.Contains(c.Principal, functionName), "ALMANAC_HDFS_PRINCIPAL is %q, where only the program of a function has a name to put in: name the principal", c.Principal)
	wrong(c.Keytab == "" && c.Protection != "", "ALMANAC_HDFS_PROTECTION needs ALMANAC_HDFS_KEYTAB")
	wrong(!slices.Contains([]string{"", "authentication", "integrity", "privacy"}, c.Protection),
		"ALMANAC_HDFS_PROTECTION must be authentication, integrity or privacy, not %q", c.Protection)
	wrong(c.Replication < 1 || c.Replication > 512, "ALMANAC_HDFS_REPLICATION must be 1 to 512, not %d", c.Replication)
	wrong(c.BlockSize < 1<<16 || c.BlockSize%512 != 0, "ALMANAC_HDFS_BLOCK_SIZE must be a multiple of 512 of at least 65536, not %d", c.BlockSize)
	wrong(c.Timeout < time.Second, "ALMANAC_HDFS_TIMEOUT must be at least 1s, not %s", c.Timeout)
	wrong(c.Patience < c.Timeout, "ALMANAC_HDFS_PATIENCE must not be shorter than ALMANAC_HDFS_TIMEOUT, %s, not %s", c.Timeout, c.Patience)
	m, err := c.made()
	all = append(all, err)
	wrong(c.Users != "" && (!strings.Contains(c.Users, functionName) || strings.ContainsAny(c.Users, ":,/@ ")),
		"ALMANAC_HDFS_USERS must name the users that functions are, as almanac-{function} does, not %q", c.Users)
	wrong(err == nil && c.Users != "" && m.Folder != 0o770,
		"ALMANAC_HDFS_UMASK must be 007 where ALMANAC_HDFS_USERS is set, not %q: it bounds what others may be let do", c.Umask)
	wrong(c.Metadata != "rpc" && c.Metadata != "web", "ALMANAC_HDFS_METADATA must be rpc or web, not %q", c.Metadata)
	return errors.Join(all...)
}

// functionName stands for the name of a function where one setting serves them all.
const functionName = "{function}"

// UserOf is the user that a function is, where Users says so.
func (c Config) UserOf(function string) string {
	return strings.ReplaceAll(c.Users, functionName, function)
}

// made is with what rights folders and files are made.
func (c Config) made() (m remote.Modes, err error) {
	text := cmp.Or(c.Umask, "027")
	mask, err := strconv.ParseUint(text, 8, 32)
	if err != nil || mask > 0o077 || len(text) != 3 {
		return m, fmt.Errorf("ALMANAC_HDFS_UMASK must be three octal digits of which the first is 0, such as 027, not %q", c.Umask)
	}
	return remote.Modes{Folder: 0o777 &^ fs.FileMode(mask), File: 0o666 &^ fs.FileMode(mask)}, nil
}

// tls is what WebHDFS is trusted by.
func (c Config) tls() (*tls.Config, error) {
	conf := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.CA == "" {
		return conf, nil
	}
	pem, err := os.ReadFile(c.CA)
	if err != nil {
		return nil, fmt.Errorf("read ALMANAC_HDFS_CA: %w", err)
	}
	conf.RootCAs = x509.NewCertPool()
	if !conf.RootCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("read ALMANAC_HDFS_CA: %s holds no certificate in PEM form", c.CA)
	}
	return conf, nil
}
