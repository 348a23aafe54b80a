package fn

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/sethvargo/go-envconfig"
)

type sliceConfig struct {
	Common

	Slice time.Duration `env:"ALMANAC_SLICE,default=1m"`
	Bytes int64         `env:"ALMANAC_SLICE_BYTES,default=1000"`
	Key   string        `env:"ALMANAC_KEY,required"`
	Hosts []string      `env:"ALMANAC_HOSTS,default=127.0.0.1:9092"`
}

func (c sliceConfig) Check() error {
	if c.Slice >= c.Timeout {
		return errors.New("ALMANAC_SLICE must be shorter than ALMANAC_TIMEOUT")
	}
	return nil
}

func TestLoad(t *testing.T) {
	fine := sliceConfig{
		Common: Common{Warehouse: "/w", Datasets: "spark-jobs", Timeout: 5 * time.Minute},
		Slice:  time.Minute, Bytes: 1000, Key: "k", Hosts: []string{"127.0.0.1:9092"},
	}
	two := fine
	two.Hosts = []string{"a:1", "b:2"}
	tests := map[string]struct {
		env  map[string]string
		want sliceConfig
		err  []string // lines
	}{
		"what is not set has its default": {map[string]string{"ALMANAC_WAREHOUSE": "/w", "ALMANAC_KEY": "k"}, fine, nil},
		"a list is split at commas":       {map[string]string{"ALMANAC_WAREHOUSE": "/w", "ALMANAC_KEY": "k", "ALMANAC_HOSTS": "a:1,b:2"}, two, nil},
		"an empty variable is not set":    {map[string]string{"ALMANAC_WAREHOUSE": "/w", "ALMANAC_KEY": "k", "ALMANAC_SLICE": ""}, fine, nil},
		"every mistake is named at once": {
			map[string]string{"ALMANAC_WAREHOUSE": "", "ALMANAC_SLICE": "5", "ALMANAC_SLICE_BYTES": "many"}, sliceConfig{},
			[]string{
				"read configuration: ALMANAC_WAREHOUSE is not set", `ALMANAC_SLICE: time: missing unit in duration "5"`,
				`ALMANAC_SLICE_BYTES: strconv.ParseInt: parsing "many": invalid syntax`, "ALMANAC_KEY is not set",
			},
		},
		"checks of the struct and of what it embeds are made, each once": {
			map[string]string{"ALMANAC_WAREHOUSE": "/w", "ALMANAC_KEY": "k", "ALMANAC_TIMEOUT": "-1s"}, sliceConfig{},
			[]string{"read configuration: ALMANAC_SLICE must be shorter than ALMANAC_TIMEOUT", "ALMANAC_TIMEOUT must be longer than 0, not -1s"},
		},
	}
	for name, tt := range tests {
		var got sliceConfig
		err := Load(t.Context(), envconfig.MapLookuper(tt.env), &got)
		if tt.err != nil {
			if err == nil || err.Error() != strings.Join(tt.err, "\n") {
				t.Errorf("%s: Load() = %v, want %s", name, err, strings.Join(tt.err, "\n"))
			}
			continue
		}
		if diff := cmp.Diff(tt.want, got); err != nil || diff != "" {
			t.Errorf("%s: Load() = %v, %s", name, err, diff)
		}
	}
}
