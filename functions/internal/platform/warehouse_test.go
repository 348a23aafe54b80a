package platform

import (
	"strings"
	"testing"

	"github.com/sethvargo/go-envconfig"
)

func TestOpenWarehouse(t *testing.T) {
	none := envconfig.MapLookuper(nil)
	dir := t.TempDir()
	l, done, err := openWarehouse(t.Context(), none, dir)
	if err != nil || l.URI("x") != dir+"/x" {
		t.Fatalf("openWarehouse of a folder = %v", err)
	}
	done()
	if _, _, err := openWarehouse(t.Context(), none, "hdfs://nn:8020/w"); err == nil || !strings.Contains(err.Error(), "ALMANAC_HDFS_WEB is not set") {
		t.Errorf("openWarehouse on HDFS = %v, want an error that names the variable", err)
	}
}
