package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"
)

// event is what came of one, its body aside from its attributes.
type event struct {
	ID     string `json:"id"`
	Type   string `json:"type"`
	Source string `json:"source"`
	Data   string `json:"data"`
}

func serve(ctx context.Context, port string) error {
	if port == "" {
		port = "8080"
	}
	var mu sync.Mutex
	events := []event{}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		host, _ := os.Hostname()
		answer(w, "hello from "+host, nil)
	})
	mux.HandleFunc("POST /", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		mu.Lock()
		events = append(events, event{
			ID: r.Header.Get("Ce-Id"), Type: r.Header.Get("Ce-Type"), Source: r.Header.Get("Ce-Source"), Data: string(body),
		})
		mu.Unlock()
		w.WriteHeader(http.StatusAccepted)
	})
	mux.HandleFunc("GET /events", func(w http.ResponseWriter, _ *http.Request) {
		mu.Lock()
		b, err := json.Marshal(events)
		mu.Unlock()
		answer(w, string(b), err)
	})
	mux.HandleFunc("GET /file", func(w http.ResponseWriter, r *http.Request) {
		b, err := os.ReadFile(r.FormValue("path"))
		answer(w, string(b), err)
	})
	mux.HandleFunc("GET /reach", func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), 50*time.Second)
		defer cancel()
		text, err := reach(ctx, r.FormValue)
		answer(w, text, err)
	})
	server := &http.Server{Addr: ":" + port, Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	go func() {
		<-ctx.Done()
		_ = server.Close()
	}()
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func answer(w http.ResponseWriter, text string, err error) {
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	_, _ = fmt.Fprintln(w, text)
}

func get(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	reply, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	return reply.Body.Close()
}

// send posts numbered events until ctx ends. The sink may not be there yet: what it does not take is said and sent on.
func send(ctx context.Context, sink, host string) error {
	if sink == "" {
		return errors.New("K_SINK is not set: run it by a ContainerSource")
	}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for n := 0; ; n++ {
		if err := post(ctx, sink, host, n); err != nil {
			fmt.Println(err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func post(ctx context.Context, sink, host string, n int) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, sink, strings.NewReader(fmt.Sprintf(`{"n":%d}`, n)))
	if err != nil {
		return err
	}
	for key, value := range map[string]string{
		"Ce-Specversion": "1.0", "Ce-Id": fmt.Sprintf("%s-%d", host, n), "Ce-Type": "dev.almanac.lab.sent", "Ce-Source": "/almanac/lab/probe",
		"Content-Type": "application/json",
	} {
		r.Header.Set(key, value)
	}
	reply, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	_, _ = io.Copy(io.Discard, reply.Body)
	if err := reply.Body.Close(); err != nil {
		return err
	}
	if reply.StatusCode >= 300 {
		return fmt.Errorf("event %d: %s", n, reply.Status)
	}
	return nil
}
