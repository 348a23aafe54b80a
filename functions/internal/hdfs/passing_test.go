package hdfs

import (
	"strings"
	"testing"
	"time"

	"github.com/jcmturner/gokrb5/v8/krberror"
)

func TestWhetherWaitingHelps(t *testing.T) {
	cfg := Config{Web: []string{"http://127.0.0.1:1"}, User: "almanac", Replication: 1, BlockSize: 1 << 20, Timeout: time.Second, Patience: time.Second, Metadata: "rpc"}
	_, err := Open(t.Context(), "hdfs://127.0.0.1:1/w", cfg)
	if !Passing(err) || !strings.Contains(err.Error(), "127.0.0.1:1") {
		t.Errorf("a NameNode that does not answer: %v, of which it is said that waiting helps: %v", err, Passing(err))
	}
	if _, err = Open(t.Context(), "hdfs://127.0.0.1:1/", cfg); err == nil || Passing(err) {
		t.Errorf("a mistake of the configuration: %v, and waiting helps: %v", err, Passing(err))
	}
	if !Passing(krberror.New(krberror.NetworkingError, "no KDC")) || Passing(krberror.New(krberror.KDCError, "KDC_ERR_PREAUTH_FAILED")) {
		t.Error("of Kerberos, waiting helps where no KDC answers, and not where the keytab is wrong")
	}
}
