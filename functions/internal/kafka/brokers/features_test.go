package brokers

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/almanac-data/almanac/functions/internal/kafka/link"
)

// at is a cluster of two brokers that use a level of metadata.version, and knows another.
func at(t *testing.T, level, highest int16) (*link.Cluster, *[]*kmsg.UpdateFeaturesRequest) {
	t.Helper()
	fake, err := kfake.NewCluster(kfake.NumBrokers(2))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(fake.Close)
	updates := &[]*kmsg.UpdateFeaturesRequest{}
	fake.ControlKey(int16(kmsg.UpdateFeatures), func(req kmsg.Request) (kmsg.Response, error, bool) {
		fake.KeepControl()
		update := req.(*kmsg.UpdateFeaturesRequest)
		*updates = append(*updates, update)
		resp := req.ResponseKind().(*kmsg.UpdateFeaturesResponse)
		if update.FeatureUpdates[0].MaxVersionLevel == 13 {
			resp.ErrorCode, resp.ErrorMessage = kerr.InvalidUpdateVersion.Code, new("Controller 3 only supports versions 7-12")
		} else {
			level = update.FeatureUpdates[0].MaxVersionLevel
		}
		return resp, nil, true
	})
	c, err := link.Open(t.Context(), link.Config{Brokers: fake.ListenAddrs(), Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	plain, err := c.Admin.ApiVersions(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	keys := plain.Sorted()[0].Raw().ApiKeys
	fake.ControlKey(int16(kmsg.ApiVersions), func(req kmsg.Request) (kmsg.Response, error, bool) {
		fake.KeepControl()
		resp := req.ResponseKind().(*kmsg.ApiVersionsResponse)
		resp.ApiKeys = keys
		resp.SupportedFeatures = []kmsg.ApiVersionsResponseSupportedFeature{{Name: "metadata.version", MinVersion: 7, MaxVersion: highest}}
		resp.FinalizedFeatures = []kmsg.ApiVersionsResponseFinalizedFeature{{Name: "metadata.version", MinVersionLevel: level, MaxVersionLevel: level}}
		resp.FinalizedFeaturesEpoch = 1
		return resp, nil, true
	})
	return c, updates
}

func TestFeaturesAreRaisedAndNeverLowered(t *testing.T) {
	tests := map[string]struct {
		levels  map[string]int16
		says    string
		updates int
	}{
		"higher":                            {map[string]int16{"metadata.version": 12}, "", 1},
		"as high":                           {map[string]int16{"metadata.version": 9}, "", 0},
		"lower":                             {map[string]int16{"metadata.version": 8}, "", 0},
		"higher than a controller knows":    {map[string]int16{"metadata.version": 13}, "Controller 3 only supports versions 7-12", 1},
		"higher than the brokers know":      {map[string]int16{"metadata.version": 15}, "not every broker knows more than 14", 0},
		"a feature that no broker knows of": {map[string]int16{"metadata.version": 12, "tea.version": 1}, "raise tea.version: not every broker knows it", 0},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c, updates := at(t, 9, 14)
			raised, err := Raise(t.Context(), c, tt.levels)
			if (err != nil) != (tt.says != "") || err != nil && !strings.Contains(err.Error(), tt.says) {
				t.Fatalf("Raise = %v, want it to say %q", err, tt.says)
			}
			if len(*updates) != tt.updates || err == nil && len(raised) != tt.updates {
				t.Errorf("%d updates were sent and %v raised, want %d", len(*updates), raised, tt.updates)
			}
			if tt.updates == 1 && err == nil {
				if u := (*updates)[0].FeatureUpdates[0]; u.Feature != "metadata.version" || u.UpgradeType != 1 || u.AllowDowngrade {
					t.Errorf("the update is %+v, want an upgrade of metadata.version alone", u)
				}
				if found, err := Features(t.Context(), c); err != nil || found[0].Level != 12 {
					t.Errorf("after it the features are %v, %v, want the level 12", found, err)
				}
			}
		})
	}
}

func TestFeaturesAreWhatAllBrokersKnow(t *testing.T) {
	got := shared([]map[string]Feature{
		{"a": {Name: "a", Level: 2, Lowest: 1, Highest: 4}, "b": {Name: "b", Level: 1, Lowest: 1, Highest: 1}},
		{"a": {Name: "a", Level: 3, Lowest: 2, Highest: 5}, "c": {Name: "c", Lowest: 0, Highest: 1}},
	})
	if want := []Feature{{Name: "a", Level: 3, Lowest: 2, Highest: 4}}; !slices.Equal(got, want) {
		t.Errorf("shared = %v, want %v", got, want)
	}
}
