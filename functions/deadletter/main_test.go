package main

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sethvargo/go-envconfig"

	"github.com/almanac-data/almanac/functions/internal/fn"
	"github.com/almanac-data/almanac/functions/internal/kafka"
	"github.com/almanac-data/almanac/functions/internal/onebox"
	"github.com/almanac-data/almanac/functions/internal/problem"
)

func TestADeadLetterIsKept(t *testing.T) {
	broker, err := onebox.StartBroker(onebox.BrokerConfig{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer broker.Close()
	c, err := kafka.Open(t.Context(), kafka.Config{Brokers: []string{broker.Addr()}, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.EnsureTopics(t.Context(), nil, nil, nil); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
	l.Close()
	p, err := fn.New(t.Context(), "deadletter", envconfig.MapLookuper(map[string]string{"ALMANAC_KAFKA": broker.Addr(), "PORT": port, "ALMANAC_QUIET": "1ms"}),
		slog.New(slog.DiscardHandler), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, p) }()
	url := "http://127.0.0.1:" + port
	for ready := false; !ready; {
		r, err := http.Get(url + "/readyz")
		if err == nil {
			ready = r.StatusCode == http.StatusOK
			r.Body.Close()
		}
		if ctx.Err() != nil || len(ended) > 0 {
			t.Fatalf("the function ended: %v", <-ended)
		}
	}
	binary := map[string]string{"Ce-Specversion": "1.0", "Ce-Id": "1", "Ce-Source": "/s", "Ce-Type": "t", "Ce-Knativeerrorcode": "422"}
	structured := map[string]string{"Content-Type": "application/cloudevents+json; charset=utf-8"}
	tests := map[string]struct {
		path, body string
		header     map[string]string
		want       int
	}{
		"an event in binary mode":     {"/", "x", binary, 202},
		"an event in structured mode": {"/", `{"specversion":"1.0","id":"2","source":"/s","type":"t","data":{"n":1}}`, structured, 202},
		"what is no event":            {"/", "x", nil, 400},
		"another path":                {"/letters", "x", binary, 404},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+tt.path, strings.NewReader(tt.body))
			if err != nil {
				t.Fatal(err)
			}
			for k, v := range tt.header {
				r.Header.Set(k, v)
			}
			resp, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode != tt.want || tt.want >= 400 && resp.Header.Get("Content-Type") != problem.ContentType {
				t.Errorf("answer is %d %s, want %d", resp.StatusCode, resp.Header.Get("Content-Type"), tt.want)
			}
		})
	}
	kept := map[string]string{}
	for d, err := range c.DeadLetters(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		kept[d.Attributes["id"]] = string(d.Data)
	}
	if len(kept) != 2 || kept["1"] != "x" || kept["2"] != `{"n":1}` {
		t.Errorf("kept is %v", kept)
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
