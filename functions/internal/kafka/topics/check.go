package topics

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/almanac-data/almanac/functions/internal/kafka/link"
)

// wanted is how a topic is to be.
type wanted struct {
	partitions int32
	compact    bool
	bytes      int           // max.message.bytes, at least
	keep       time.Duration // retention.ms, at least; 0 for ever
	copies     int
}

func compacted(c *link.Cluster) wanted {
	return wanted{partitions: 1, compact: true, bytes: link.MaxFact, copies: int(c.Copies())}
}

func ofBlocks(c *link.Cluster) wanted {
	return wanted{partitions: c.Config.Partitions, bytes: link.MaxBlock, keep: c.Config.Retention, copies: int(c.Copies())}
}

func deadLetters(c *link.Cluster) wanted {
	w := ofBlocks(c)
	w.partitions, w.bytes = 1, link.MaxFact
	return w
}

// A wake topic has many partitions, to be shared by the instances of a function; two, three, four and six of them get as many each. What lies
// in it for a day and was not read is said again by the calendar.
const (
	wakePartitions = 12
	wakeRetention  = 24 * time.Hour
)

func wakes(c *link.Cluster) wanted {
	return wanted{partitions: wakePartitions, bytes: link.MaxFact, keep: wakeRetention, copies: int(c.Copies())}
}

// Settings of topics, by their names in Kafka.
const (
	cleanupPolicy  = "cleanup.policy"
	maxBytes       = "max.message.bytes"
	retention      = "retention.ms"
	retentionBytes = "retention.bytes"
	minInSync      = "min.insync.replicas"
	unclean        = "unclean.leader.election.enable"
)

// settings are those that a topic is made with.
func (w wanted) settings() map[string]string {
	return map[string]string{
		cleanupPolicy: w.policy(), maxBytes: strconv.Itoa(w.bytes), retention: w.retention(), minInSync: strconv.Itoa(inSync(w.copies)),
	}
}

func (w wanted) policy() string {
	if w.compact {
		return "compact"
	}
	return "delete"
}

func (w wanted) retention() string {
	if w.keep == 0 {
		return "-1"
	}
	return strconv.FormatInt(w.keep.Milliseconds(), 10)
}

// inSync is how many of so many copies must be in sync: what is acknowledged outlives the loss of one, and one may be down.
func inSync(copies int) int {
	if copies < 3 {
		return 1
	}
	return 2
}

// tool is Kafka's own for the settings of topics.
const tool = "kafka-configs.sh"

// Finding is a setting of a topic that is not as it must be.
type Finding struct {
	Topic   string `json:"topic"`
	Setting string `json:"setting"` // existence, partitions, replicas, or by its name in Kafka
	Is      string `json:"is"`
	Want    string `json:"want"`
	Do      string `json:"do"` // what a person can do
}

func (f Finding) String() string {
	if f.Setting == missing {
		return fmt.Sprintf("topic %s does not exist: %s", f.Topic, f.Do)
	}
	return fmt.Sprintf("topic %s has %s %s where %s is needed: %s", f.Topic, f.Setting, f.Is, f.Want, f.Do)
}

// Missing says whether the topic is not there.
func (f Finding) Missing() bool { return f.Setting == missing }

// missing is the setting of a topic that is not there.
const missing = "existence"

// Check compares every topic with what is needed, by topic.
func Check(ctx context.Context, c *link.Cluster, names Names) ([]Finding, error) {
	ctx, cancel := context.WithTimeout(ctx, link.AdminTimeout)
	defer cancel()
	want := names.all(c)
	for {
		found, err := check(ctx, c, want)
		if !errors.Is(err, kerr.UnknownTopicOrPartition) {
			return found, err
		}
		// One broker knows of the topic and another not yet, or not any more.
		if link.Pause(ctx, 20*time.Millisecond) != nil {
			return nil, err
		}
	}
}

func check(ctx context.Context, c *link.Cluster, want map[string]wanted) ([]Finding, error) {
	all := slices.Sorted(maps.Keys(want))
	there, err := describe(ctx, c, all)
	if err != nil {
		return nil, err
	}
	existing := slices.Sorted(maps.Keys(there))
	settings, err := settingsOf(ctx, c, existing)
	if err != nil {
		return nil, err
	}
	var found []Finding
	for _, name := range all {
		s, ok := there[name]
		if !ok {
			found = append(found, Finding{name, missing, "no", "yes", "make it with almanac topics apply"})
			continue
		}
		for _, f := range want[name].compare(name, s, settings[name]) {
			f.Do = strings.Replace(f.Do, tool, tool+" --bootstrap-server "+strings.Join(c.Config.Brokers, ","), 1)
			found = append(found, f)
		}
	}
	return found, nil
}

// Verify is an error that holds every finding about topics that exist.
func Verify(ctx context.Context, c *link.Cluster, names Names) error {
	found, err := Check(ctx, c, names)
	return joined(slices.DeleteFunc(found, Finding.Missing), err)
}

func joined(found []Finding, err error) error {
	errs := []error{err}
	for _, f := range found {
		errs = append(errs, errors.New(f.String()))
	}
	return errors.Join(errs...)
}

func settingsOf(ctx context.Context, c *link.Cluster, names []string) (map[string]map[string]string, error) {
	if len(names) == 0 {
		return nil, nil
	}
	described, err := c.Admin.DescribeTopicConfigs(ctx, names...)
	if err != nil {
		return nil, fmt.Errorf("describe topics: %w", c.Explain(err, "DescribeConfigs", names[0]))
	}
	of := map[string]map[string]string{}
	for _, d := range described {
		if d.Err != nil {
			return nil, fmt.Errorf("describe topic %s: %w", d.Name, c.Explain(d.Err, "DescribeConfigs", d.Name))
		}
		of[d.Name] = map[string]string{}
		for _, s := range d.Configs {
			of[d.Name][s.Key] = s.MaybeValue()
		}
	}
	return of, nil
}

// compare lists what of a topic is not as it must be. A setting that the broker does not tell is not judged.
func (w wanted) compare(name string, s state, settings map[string]string) (found []Finding) {
	wrong := func(setting, is, want, do string) { found = append(found, Finding{name, setting, is, want, do}) }
	alter := func(setting, is, want, value string) {
		wrong(setting, is, want, tool+" --alter --entity-type topics --entity-name "+name+" --add-config "+setting+"="+value)
	}
	number := func(setting string) (int64, bool) {
		n, err := strconv.ParseInt(settings[setting], 10, 64)
		return n, err == nil
	}
	if w.compact && s.partitions != 1 {
		wrong("partitions", strconv.Itoa(s.partitions), "1", "its records have no order: delete it and make it with almanac topics apply, or name another cluster")
	}
	if s.replicas < w.copies {
		wrong("replicas", strconv.Itoa(s.replicas), "at least "+strconv.Itoa(w.copies), "kafka-reassign-partitions.sh, or set ALMANAC_KAFKA_REPLICATION to what is meant")
	}
	if is, ok := settings[cleanupPolicy]; ok && is != w.policy() {
		alter(cleanupPolicy, is, w.policy(), w.policy())
	}
	if n, ok := number(maxBytes); ok && n < int64(w.bytes) {
		alter(maxBytes, settings[maxBytes], "at least "+strconv.Itoa(w.bytes), strconv.Itoa(w.bytes))
	}
	if least := inSync(s.replicas); s.replicas > 0 {
		if n, ok := number(minInSync); ok && (n < int64(least) || n > int64(s.replicas)) {
			alter(minInSync, settings[minInSync], fmt.Sprintf("%d to %d", least, s.replicas), strconv.Itoa(least))
		}
	}
	if settings[unclean] == "true" {
		alter(unclean, "true", "false", "false")
	}
	if w.compact {
		return found // what is compacted does not expire
	}
	if n, ok := number(retention); ok && n >= 0 && n < w.keep.Milliseconds() {
		alter(retention, settings[retention], "at least "+w.retention(), w.retention())
	}
	if n, ok := number(retentionBytes); ok && n >= 0 {
		alter(retentionBytes, settings[retentionBytes], "-1", "-1")
	}
	return found
}
