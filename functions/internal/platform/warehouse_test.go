package platform

import (
	"strings"
	"testing"

	"github.com/sethvargo/go-envconfig"
)

func TestWarehouse(t *testing.T) {
	at := func(warehouse string) envconfig.Lookuper {
		return envconfig.MapLookuper(map[string]string{"ALMANAC_WAREHOUSE": warehouse})
	}
	dir := t.TempDir()
	l, done, err := Warehouse(t.Context(), at(dir))
	if err != nil || l.URI("x") != dir+"/x" {
		t.Fatalf("Warehouse of a folder = %v", err)
	}
	done()
	if _, _, err := Warehouse(t.Context(), at("hdfs://nn:8020/w")); err == nil || !strings.Contains(err.Error(), "ALMANAC_HDFS_WEB is not set") {
		t.Errorf("Warehouse on HDFS = %v, want an error that names the variable", err)
	}
}
