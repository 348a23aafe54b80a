package feed_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/almanac-data/almanac/events"
	"github.com/almanac-data/almanac/functions/internal/kafka/feed"
	"github.com/almanac-data/almanac/functions/internal/kafka/kafkatest"
	"github.com/almanac-data/almanac/functions/internal/kafka/link"
	"github.com/almanac-data/almanac/functions/internal/kafka/secure"
	"github.com/almanac-data/almanac/functions/internal/kafka/topics"
)

const session = 6 * time.Second // the least that a broker takes

// TestMain makes the test's program a member of its own when a test asks for that by the environment.
func TestMain(m *testing.M) {
	if text := os.Getenv("ALMANAC_TEST_MEMBER"); text != "" {
		be(text)
		return
	}
	os.Exit(m.Run())
}

// who is what a member in another process needs to know.
type who struct {
	Brokers      []string `json:"brokers"`
	CA           string   `json:"ca"`
	User         string   `json:"user"`
	PasswordFile string   `json:"password_file"`
	Group        string   `json:"group"`
}

// be reads for ever, says what it read, and commits each topic once: what comes after its first records is read and not committed.
func be(text string) {
	var w who
	if err := json.Unmarshal([]byte(text), &w); err != nil {
		panic(err)
	}
	ctx := context.Background()
	c, err := link.Open(ctx, link.Config{Brokers: w.Brokers, Now: time.Now, Access: secure.Access{CA: w.CA, User: w.User, PasswordFile: w.PasswordFile}})
	if err != nil {
		panic(err)
	}
	m, err := feed.Join(c, w.Group, events.FactTopics(), session, slog.New(slog.DiscardHandler))
	if err != nil {
		panic(err)
	}
	committed := map[link.Place]bool{}
	for {
		records, err := m.Next(ctx)
		if err != nil {
			fmt.Println("error", err)
			continue
		}
		for _, r := range records {
			fmt.Println("read", r.Topic, r.Offset)
			if committed[r.Place] {
				continue
			}
			if err := m.Commit(ctx, map[link.Place]int64{r.Place: r.Offset + 1}); err == nil {
				committed[r.Place] = true
				fmt.Println("committed", r.Topic, r.Offset)
			}
		}
	}
}

func cluster(t *testing.T) (*link.Cluster, link.Config) {
	t.Helper()
	var cfg link.Config
	if lab := kafkatest.Running(t); lab != nil {
		cfg = lab.AdminConfig()
	} else {
		fake, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.GroupMinSessionTimeout(time.Second))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(fake.Close)
		cfg = link.Config{Brokers: fake.ListenAddrs(), Now: time.Now}
	}
	c := kafkatest.Open(t, cfg)
	if err := topics.Ensure(t.Context(), c, topics.Names{Facts: events.FactTopics()}); err != nil {
		t.Fatal(err)
	}
	return c, cfg
}

// say appends a record to each topic and returns their names.
func say(t *testing.T, c *link.Cluster, n int) (said []string) {
	t.Helper()
	for range n {
		for _, topic := range events.FactTopics() {
			r := &kgo.Record{Topic: topic, Key: []byte("k"), Value: []byte("{}")}
			if err := c.Facts.ProduceSync(t.Context(), r).FirstErr(); err != nil {
				t.Fatal(err)
			}
			said = append(said, fmt.Sprint(topic, " ", r.Offset))
		}
	}
	return said
}

func TestWhatAKilledMemberDidNotCommitIsReadByTheOther(t *testing.T) {
	c, cfg := cluster(t)
	group := fmt.Sprint("almanac-test-", time.Now().UnixNano())
	skip(t, c, group)

	text, err := json.Marshal(who{cfg.Brokers, cfg.Access.CA, cfg.Access.User, cfg.Access.PasswordFile, group})
	if err != nil {
		t.Fatal(err)
	}
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), "ALMANAC_TEST_MEMBER="+string(text))
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = child.Process.Kill() })
	lines := make(chan string, 10_000)
	go func() {
		for s := bufio.NewScanner(out); s.Scan(); {
			lines <- s.Text()
		}
		close(lines)
	}()

	m, err := feed.Join(c, group, events.FactTopics(), session, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	mine := map[string]int{}
	theirs, committed := map[string]bool{}, map[string]bool{}
	take := func(d time.Duration) {
		ctx, cancel := context.WithTimeout(t.Context(), d)
		defer cancel()
		records, err := m.Next(ctx)
		if err != nil && ctx.Err() == nil {
			t.Log(err)
		}
		for _, r := range records {
			mine[fmt.Sprint(r.Topic, " ", r.Offset)]++
			if err := m.Commit(t.Context(), map[link.Place]int64{r.Place: r.Offset + 1}); err != nil {
				t.Log(err) // a rebalance goes on: it comes again
			}
		}
		for {
			select {
			case line, ok := <-lines:
				if !ok {
					lines = nil
					return
				}
				what, name, _ := strings.Cut(line, " ")
				switch what {
				case "read":
					theirs[name] = true
				case "committed":
					committed[name] = true
				}
				continue
			default:
			}
			return
		}
	}

	// Both have a share once both have read.
	var said []string
	deadline := time.Now().Add(60 * time.Second)
	for len(theirs) == 0 || len(mine) == 0 {
		if time.Now().After(deadline) {
			t.Fatalf("after a minute one of the members has read nothing: %d and %d", len(mine), len(theirs))
		}
		said = append(said, say(t, c, 1)...)
		take(300 * time.Millisecond)
	}
	said = append(said, say(t, c, 20)...)
	for range 10 {
		take(300 * time.Millisecond)
	}
	before := len(mine)
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	killed := time.Now()
	_ = child.Wait()
	said = append(said, say(t, c, 5)...)
	lost := func() (names []string) {
		for _, name := range said {
			if mine[name] == 0 && !committed[name] {
				names = append(names, name)
			}
		}
		return names
	}
	for len(lost()) > 0 && time.Since(killed) < 60*time.Second {
		take(300 * time.Millisecond)
	}
	if l := lost(); len(l) > 0 {
		t.Fatalf("%d of %d records were read by nobody who committed them, first %s", len(l), len(said), l[0])
	}
	twice := 0
	for name := range mine {
		if theirs[name] {
			twice++
		}
	}
	t.Logf("%d records: the killed read %d and committed %d, the other had read %d then and read %d in all, %d of which the killed had read; it took over %.1fs after the kill",
		len(said), len(theirs), len(committed), before, len(mine), twice, time.Since(killed).Seconds())
}

// skip commits the ends of topics, of all facts if none is named, so that the group begins with what this test says.
func skip(t *testing.T, c *link.Cluster, group string, names ...string) {
	t.Helper()
	if len(names) == 0 {
		names = events.FactTopics()
	}
	f, err := feed.Open(t.Context(), c, group, names, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	next := map[link.Place]int64{}
	for _, topic := range names {
		ranges, err := c.Ranges(t.Context(), topic)
		if err != nil {
			t.Fatal(err)
		}
		for p, r := range ranges {
			next[link.Place{Topic: topic, Partition: int32(p)}] = r.End
		}
	}
	if err := f.Commit(t.Context(), next); err != nil {
		t.Fatal(err)
	}
}
