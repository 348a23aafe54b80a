package brokers

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/almanac-data/almanac/functions/internal/kafka/fault"
	"github.com/almanac-data/almanac/functions/internal/kafka/link"
)

// Feature is something that all servers of a cluster must know before it is used (KIP-584), such as metadata.version, the format of what controllers write.
type Feature struct {
	Name string `json:"name"`
	// Level is the one in use. An older server, which does not know it, no longer starts.
	Level int16 `json:"level"`
	// Lowest and Highest are the levels that each broker knows.
	Lowest  int16 `json:"lowest"`
	Highest int16 `json:"highest"`
}

// Features asks each broker, and returns what there is by name.
func Features(ctx context.Context, c *link.Cluster) ([]Feature, error) {
	ctx, cancel := context.WithTimeout(ctx, link.AdminTimeout)
	defer cancel()
	answers, err := c.Admin.ApiVersions(ctx)
	if err != nil {
		return nil, fmt.Errorf("ask for features: %w", c.Explain(err, "Describe", ""))
	}
	var all []map[string]Feature
	for _, a := range answers.Sorted() {
		if a.Err != nil {
			return nil, fmt.Errorf("ask broker %d for features: %w", a.NodeID, fault.Explain(a.Err, fault.On{Do: "Describe", User: c.User()}))
		}
		all = append(all, features(a))
	}
	return shared(all), nil
}

func features(a kadm.BrokerApiVersions) map[string]Feature {
	found := map[string]Feature{}
	for _, f := range a.Raw().SupportedFeatures {
		found[f.Name] = Feature{Name: f.Name, Lowest: f.MinVersion, Highest: f.MaxVersion}
	}
	for _, f := range a.Raw().FinalizedFeatures {
		known := found[f.Name]
		known.Name, known.Level = f.Name, f.MaxVersionLevel
		found[f.Name] = known
	}
	return found
}

// shared is what all brokers know. One that has not yet heard of the newest level does not count for it.
func shared(all []map[string]Feature) []Feature {
	merged := map[string]Feature{}
	for i, found := range all {
		for name := range merged {
			if _, ok := found[name]; !ok {
				delete(merged, name)
			}
		}
		for name, f := range found {
			known, ok := merged[name]
			switch {
			case i == 0:
				merged[name] = f
			case ok:
				merged[name] = Feature{Name: name, Level: max(known.Level, f.Level), Lowest: max(known.Lowest, f.Lowest), Highest: min(known.Highest, f.Highest)}
			}
		}
	}
	return slices.SortedFunc(maps.Values(merged), func(a, b Feature) int { return strings.Compare(a.Name, b.Name) })
}

// Raise puts features into use up to the levels that are named, all of them or none, and returns those that were lower, by name. What is as high is left as it is;
// nothing is ever lowered, since servers may have written what older ones do not read.
func Raise(ctx context.Context, c *link.Cluster, levels map[string]int16) (raised []Feature, err error) {
	found, err := Features(ctx, c)
	if err != nil {
		return nil, err
	}
	req := kmsg.NewPtrUpdateFeaturesRequest()
	req.TimeoutMillis = int32(link.AdminTimeout.Milliseconds())
	for _, name := range slices.Sorted(maps.Keys(levels)) {
		i := slices.IndexFunc(found, func(f Feature) bool { return f.Name == name })
		if i < 0 {
			return nil, fault.Final(fmt.Errorf("raise %s: not every broker knows it: upgrade all servers first", name))
		}
		f, level := found[i], levels[name]
		if level <= f.Level {
			continue
		}
		if level > f.Highest {
			return nil, fault.Final(fmt.Errorf("raise %s to %d: not every broker knows more than %d: upgrade all servers first", name, level, f.Highest))
		}
		update := kmsg.NewUpdateFeaturesRequestFeatureUpdate()
		update.Feature, update.MaxVersionLevel, update.UpgradeType = name, level, 1
		req.FeatureUpdates = append(req.FeatureUpdates, update)
		f.Level = level
		raised = append(raised, f)
	}
	if len(raised) == 0 {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, link.AdminTimeout)
	defer cancel()
	resp, err := req.RequestWith(ctx, c.Facts)
	if err == nil {
		err = refusal(resp)
	}
	if err != nil {
		return nil, fmt.Errorf("raise features: %w", c.Explain(err, "Alter", ""))
	}
	return raised, nil
}

// refusal is why the controllers do not raise features: they check that each server, controllers too, knows the levels.
func refusal(resp *kmsg.UpdateFeaturesResponse) error {
	told := func(code int16, message *string) error {
		err := kerr.ErrorForCode(code)
		if err != nil && message != nil && *message != "" {
			return fmt.Errorf("%s: %w", *message, err)
		}
		return err
	}
	if err := told(resp.ErrorCode, resp.ErrorMessage); err != nil {
		return err
	}
	for _, r := range resp.Results {
		if err := told(r.ErrorCode, r.ErrorMessage); err != nil {
			return fmt.Errorf("%s: %w", r.Feature, err)
		}
	}
	return nil
}
