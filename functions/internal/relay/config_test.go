package relay_test

import (
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/sethvargo/go-envconfig"

	"github.com/almanac-data/almanac/functions/internal/fn"
	"github.com/almanac-data/almanac/functions/internal/relay"
)

var wellSet = map[string]string{
	"ALMANAC_SOURCE_NAME": "store", "ALMANAC_SOURCE_TOPICS": "almanac.fact.validated,almanac.fact.stored", "K_SINK": "http://store.almanac.svc.cluster.local",
}

func load(t *testing.T, change map[string]string) (relay.Config, error) {
	t.Helper()
	env := maps.Clone(wellSet)
	maps.Copy(env, change)
	var c relay.Config
	err := fn.Load(t.Context(), envconfig.MapLookuper(env), &c)
	return c, err
}

func TestConfigOfASource(t *testing.T) {
	c, err := load(t, map[string]string{"K_CE_OVERRIDES": `{"extensions":{"site":"west"}}`, "ALMANAC_SOURCE_RETRIES": "0", "NAMESPACE": "almanac"})
	if err != nil {
		t.Fatal(err)
	}
	s := c.Source(nil, quiet)
	if s.Namespace != "almanac" || s.Name != "store" || s.Sink != wellSet["K_SINK"] || s.Extensions["site"] != "west" || s.InFlight != 2 || len(c.Topics) != 2 {
		t.Errorf("source is %+v of %+v", s, c)
	}
	if s.Retry != (relay.Retry{Count: -1, Base: 250 * time.Millisecond, Timeout: 10 * time.Minute}) {
		t.Errorf("retry is %+v, want none", s.Retry)
	}
}

func TestEachMistakeOfASourceIsToldByItsVariable(t *testing.T) {
	for name, tt := range map[string]struct{ variable, value string }{
		"no name":                         {"ALMANAC_SOURCE_NAME", ""},
		"no topics":                       {"ALMANAC_SOURCE_TOPICS", ""},
		"no sink":                         {"K_SINK", ""},
		"a sink without a scheme":         {"K_SINK", "store.almanac.svc"},
		"a sink of another protocol":      {"K_SINK", "kafka://broker"},
		"nothing at once":                 {"ALMANAC_SOURCE_IN_FLIGHT", "0"},
		"fewer retries than none":         {"ALMANAC_SOURCE_RETRIES", "-1"},
		"retries that outlast a duration": {"ALMANAC_SOURCE_RETRIES", "60"},
		"no pause":                        {"ALMANAC_SOURCE_BACKOFF", "0s"},
		"no time to answer":               {"ALMANAC_SOURCE_TIMEOUT", "0s"},
		"overrides that are no JSON":      {"K_CE_OVERRIDES", "site=west"},
		"an extension that is no name":    {"K_CE_OVERRIDES", `{"extensions":{"Site-Name":"west"}}`},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := load(t, map[string]string{tt.variable: tt.value}); err == nil || !strings.Contains(err.Error(), tt.variable) {
				t.Errorf("%s=%q: error is %v, want one that names it", tt.variable, tt.value, err)
			}
		})
	}
}
