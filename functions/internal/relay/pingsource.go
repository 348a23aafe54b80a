package relay

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/robfig/cron/v3"

	"github.com/almanac-data/almanac/functions/internal/relay/post"
)

// PingSource wakes a function on a schedule, as Knative's PingSource does: one POST per tick with the type dev.knative.sources.ping,
// a random id and the time of sending. A tick is sent again after 404, 413, 425, 429, 502, 503, 504 and failures of the connection,
// and is then lost: there is no dead-letter sink. Ticks that were missed do not come later, and a tick does not wait for the one
// before it. (The real one also waits up to half a second at random; this one does not.)
type PingSource struct {
	Namespace   string
	Name        string
	Schedule    string        // cron, 5 or 6 fields, may begin with CRON_TZ=...
	Delay       time.Duration // of each tick; sources of one schedule that have different delays do not wake their functions at once
	Sink        string        // URL
	Others      []string      // of more instances of the function; ticks go to each in turn, and pass over one that does not answer
	ContentType string        // of Data
	Data        []byte
	Retry       Retry // 0 means 5 times, 100 ms to 1.6 s
	Clock       Clock
	Client      *http.Client
	Log         *slog.Logger
}

var parser = cron.NewParser(cron.SecondOptional | cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow | cron.Descriptor)

// Run sends ticks until ctx ends; those under way end with it.
func (s PingSource) Run(ctx context.Context) error {
	schedule, err := parser.Parse(s.Schedule)
	if err != nil {
		return fmt.Errorf("ping %s: schedule %q is not cron with 5 or 6 fields: %w", s.Name, s.Schedule, err)
	}
	if s.Retry.Base == 0 {
		s.Retry.Base = 50 * time.Millisecond
	}
	to := post.Sender{Client: s.Client, Retry: s.Retry, Again: post.PingRetries}
	sinks := post.NewSinks(append([]string{s.Sink}, s.Others...)...)
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		next := schedule.Next(s.Clock.Now().Add(-s.Delay))
		if next.IsZero() {
			return fmt.Errorf("ping %s: schedule %q never comes", s.Name, s.Schedule)
		}
		if s.Clock.Wait(ctx, next.Add(s.Delay)) != nil {
			return nil
		}
		e := s.event(s.Clock.Now())
		wg.Go(func() {
			if a := to.Send(ctx, ctx.Done(), sinks, e); !a.OK() && ctx.Err() == nil {
				s.Log.WarnContext(ctx, "tick is lost", "source", s.Name, "answer", a.String())
			}
		})
	}
}

func (s PingSource) event(now time.Time) post.Event {
	e := post.Event{Attributes: map[string]string{
		"specversion": post.SpecVersion,
		"id":          randomUUID(),
		"type":        "dev.knative.sources.ping",
		"source":      fmt.Sprintf("/apis/v1/namespaces/%s/pingsources/%s", s.Namespace, s.Name),
		"time":        now.UTC().Format(time.RFC3339Nano),
	}, Data: s.Data}
	if s.ContentType != "" {
		e.Attributes["datacontenttype"] = s.ContentType
	}
	return e
}

// randomUUID is a version 4 UUID (RFC 9562).
func randomUUID() string {
	var u [16]byte
	_, _ = rand.Read(u[:]) // never fails
	u[6], u[8] = u[6]&0x0f|0x40, u[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", u[:4], u[4:6], u[6:8], u[8:10], u[10:])
}
