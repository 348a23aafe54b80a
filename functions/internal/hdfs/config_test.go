package hdfs_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/sethvargo/go-envconfig"

	"github.com/almanac-data/almanac/functions/internal/fn"
	"github.com/almanac-data/almanac/functions/internal/hdfs"
)

func TestConfig(t *testing.T) {
	for name, tt := range map[string]struct {
		env map[string]string
		err []string // lines
	}{
		"the least": {map[string]string{"ALMANAC_HDFS_WEB": "http://nn:9870"}, nil},
		"a secured cluster of two NameNodes": {map[string]string{
			"ALMANAC_HDFS_WEB": "https://nn1:9871,https://nn2:9871", "ALMANAC_HDFS_NAMENODES": "nn1:8020,nn2:8020", "ALMANAC_HDFS_KEYTAB": "/k",
			"ALMANAC_HDFS_PRINCIPAL": "almanac@X", "ALMANAC_HDFS_METADATA": "web",
		}, nil},
		"functions that are users": {map[string]string{"ALMANAC_HDFS_WEB": "http://nn:9870", "ALMANAC_HDFS_USERS": "almanac-{function}", "ALMANAC_HDFS_UMASK": "007"}, nil},
		"functions that are one user": {map[string]string{"ALMANAC_HDFS_WEB": "http://nn:9870", "ALMANAC_HDFS_USERS": "almanac", "ALMANAC_HDFS_UMASK": "007"},
			[]string{`read configuration: ALMANAC_HDFS_USERS must name the users that functions are, as almanac-{function} does, not "almanac"`}},
		"a umask that shuts users out": {map[string]string{"ALMANAC_HDFS_WEB": "http://nn:9870", "ALMANAC_HDFS_USERS": "almanac-{function}"},
			[]string{`read configuration: ALMANAC_HDFS_UMASK must be 007 where ALMANAC_HDFS_USERS is set, not "027": it bounds what others may be let do`}},
		"a umask that shuts Almanac out": {map[string]string{"ALMANAC_HDFS_WEB": "http://nn:9870", "ALMANAC_HDFS_UMASK": "777"},
			[]string{`read configuration: ALMANAC_HDFS_UMASK must be three octal digits of which the first is 0, such as 027, not "777"`}},
		"every mistake at once": {map[string]string{
			"ALMANAC_HDFS_WEB": "nn:9870", "ALMANAC_HDFS_NAMENODES": "nn", "ALMANAC_HDFS_KEYTAB": "/k", "ALMANAC_HDFS_PROTECTION": "none",
			"ALMANAC_HDFS_REPLICATION": "0", "ALMANAC_HDFS_BLOCK_SIZE": "1000", "ALMANAC_HDFS_TIMEOUT": "1ms", "ALMANAC_HDFS_PATIENCE": "0s", "ALMANAC_HDFS_METADATA": "tcp",
		}, []string{
			`read configuration: ALMANAC_HDFS_NAMENODES must name each NameNode as host:port, not "nn"`,
			`ALMANAC_HDFS_WEB must name each NameNode as http://host:port or https://host:port, not "nn:9870"`,
			"ALMANAC_HDFS_KEYTAB and ALMANAC_HDFS_PRINCIPAL must be set together",
			`ALMANAC_HDFS_PROTECTION must be authentication, integrity or privacy, not "none"`,
			"ALMANAC_HDFS_REPLICATION must be 1 to 512, not 0",
			"ALMANAC_HDFS_BLOCK_SIZE must be a multiple of 512 of at least 65536, not 1000",
			"ALMANAC_HDFS_TIMEOUT must be at least 1s, not 1ms",
			"ALMANAC_HDFS_PATIENCE must not be shorter than ALMANAC_HDFS_TIMEOUT, 1ms, not 0s",
			`ALMANAC_HDFS_METADATA must be rpc or web, not "tcp"`,
		}},
		"nothing": {map[string]string{}, []string{"read configuration: ALMANAC_HDFS_WEB is not set"}},
		"a login that is in clear": {map[string]string{"ALMANAC_HDFS_WEB": "http://nn:9870", "ALMANAC_HDFS_KEYTAB": "/k", "ALMANAC_HDFS_PRINCIPAL": "a"},
			[]string{`read configuration: ALMANAC_HDFS_WEB must be https://… where ALMANAC_HDFS_KEYTAB is set, not "http://nn:9870"`}},
	} {
		var cfg hdfs.Config
		err := fn.Load(t.Context(), envconfig.MapLookuper(tt.env), &cfg)
		var got []string
		if err != nil {
			got = strings.Split(err.Error(), "\n")
		}
		if diff := cmp.Diff(tt.err, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestOpenSaysWhatIsWrong(t *testing.T) {
	cfg := hdfs.Config{Web: []string{"http://127.0.0.1:1"}, User: "a", Replication: 1, BlockSize: 1 << 20, Timeout: time.Second, Patience: time.Second, Metadata: "rpc"}
	_, err := hdfs.Open(t.Context(), "hdfs://127.0.0.1:1/w", cfg)
	if err == nil || !strings.Contains(err.Error(), "open warehouse hdfs://127.0.0.1:1/w: stat") || !strings.Contains(err.Error(), "refused") {
		t.Errorf("Open without a NameNode = %v", err)
	}
	cfg.Keytab, cfg.Principal, cfg.Krb5Conf, cfg.Web = "/nonesuch", "a", "/nonesuch.conf", []string{"https://127.0.0.1:1"}
	if _, err := hdfs.Open(t.Context(), "hdfs://127.0.0.1:1/w", cfg); err == nil || !strings.Contains(err.Error(), "/nonesuch.conf") {
		t.Errorf("Open without krb5.conf = %v", err)
	}
}
