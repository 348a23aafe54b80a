package spark_test

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/almanac-data/almanac/functions/internal/query/querytest"
	"github.com/almanac-data/almanac/functions/internal/spark/sparktest"
	"github.com/almanac-data/almanac/functions/internal/spark/wire"
)

// sessionOf is the id of the session that a call names.
func sessionOf(c *sparktest.Call) string {
	id, _ := wire.Get(c.Request, "session_id")
	return id.String()
}

// watched is a fake whose queries tell their sessions.
func watched(t *testing.T) (s *sparktest.Server, run func() error, sessions func() []string) {
	t.Helper()
	s, e, _ := fake(t)
	batch := longs(t, `[{"v": 1}]`)
	var mu sync.Mutex
	var seen []string
	s.On("ExecutePlan", func(c *sparktest.Call) error {
		mu.Lock()
		seen = append(seen, sessionOf(c))
		mu.Unlock()
		return c.SendBatch(batch)
	})
	run = func() error { _, err := querytest.Rows(t, e, one); return err }
	return s, run, func() []string { mu.Lock(); defer mu.Unlock(); return seen }
}

func TestOneQueryAfterAnotherHasTheSameSession(t *testing.T) {
	s, run, sessions := watched(t)
	for range 3 {
		if err := run(); err != nil {
			t.Fatal(err)
		}
	}
	if got := sessions(); got[0] == "" || got[0] != got[1] || got[0] != got[2] {
		t.Errorf("sessions are %v, want one", got)
	}
	if diff := cmp.Diff([]string{"Config", "AnalyzePlan", "ExecutePlan", "AnalyzePlan", "ExecutePlan", "AnalyzePlan", "ExecutePlan"}, s.Calls()); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
}

func TestQueriesAtOnceHaveSessionsOfTheirOwn(t *testing.T) {
	s, e, _ := fake(t)
	batch := longs(t, `[{"v": 1}]`)
	var mu sync.Mutex
	working, together := map[string]int{}, make(chan struct{})
	s.On("ExecutePlan", func(c *sparktest.Call) error {
		mu.Lock()
		working[sessionOf(c)]++
		if len(working) == 3 {
			close(together)
		}
		mu.Unlock()
		select {
		case <-together:
		case <-c.Context.Done():
		}
		return c.SendBatch(batch)
	})
	var work sync.WaitGroup
	for range 3 {
		work.Go(func() {
			if _, err := querytest.Rows(t, e, one); err != nil {
				t.Error(err)
			}
		})
	}
	work.Wait()
	if len(working) != 3 {
		t.Errorf("three queries at once had sessions %v", working)
	}
}

func TestASessionThatTheServerForgotIsReplaced(t *testing.T) {
	for _, class := range []string{"INVALID_HANDLE.SESSION_CHANGED", "INVALID_HANDLE.SESSION_CLOSED", "INVALID_HANDLE.SESSION_NOT_FOUND"} {
		s, run, sessions := watched(t)
		if err := run(); err != nil {
			t.Fatal(err)
		}
		old := sessions()[0]
		s.On("AnalyzePlan", func(c *sparktest.Call) error {
			if sessionOf(c) == old {
				return said(class, "HY000", "["+class+"] The handle x is invalid. SQLSTATE: HY000")
			}
			return c.Send(oneLong)
		})
		if err := run(); err != nil {
			t.Errorf("%s: %v", class, err)
		}
		if got := sessions(); len(got) != 2 || got[1] == old {
			t.Errorf("%s: sessions are %v, want another for the second query", class, got)
		}
	}
}

func TestASessionWhoseQueryFailedServesNoOther(t *testing.T) {
	s, run, sessions := watched(t)
	failed := ""
	s.On("ExecutePlan", func(c *sparktest.Call) error {
		failed = sessionOf(c)
		return errors.New("an executor died")
	})
	if err := run(); err == nil {
		t.Fatal("no error")
	}
	if calls := s.Calls(); calls[len(calls)-1] != "ReleaseSession" {
		t.Errorf("calls are %v, want the session released", calls)
	}
	batch := longs(t, `[{"v": 1}]`)
	after := ""
	s.On("ExecutePlan", func(c *sparktest.Call) error {
		after = sessionOf(c)
		return c.SendBatch(batch)
	})
	if err := run(); err != nil || after == failed || after == "" {
		t.Errorf("after session %q failed the next query had %q, %v (%v)", failed, after, err, sessions())
	}
}

func TestASessionWhoseResultWasNotReadToItsEndServesNoOther(t *testing.T) {
	s, e, _ := fake(t)
	batch := longs(t, `[{"v": 1}]`)
	s.On("ExecutePlan", func(c *sparktest.Call) error {
		err := c.SendBatch(batch)
		<-c.Context.Done()
		return err
	})
	r, err := e.Run(context.Background(), one)
	if err != nil || !r.Next() {
		t.Fatal("no batch", err)
	}
	r.Release()
	if diff := cmp.Diff([]string{"Config", "AnalyzePlan", "ExecutePlan", "Interrupt", "ReleaseSession"}, s.Calls()); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
}

func TestAFewSessionsRest(t *testing.T) {
	s, e, _ := fake(t)
	batch := longs(t, `[{"v": 1}]`)
	s.On("ExecutePlan", func(c *sparktest.Call) error { return c.SendBatch(batch) })
	const many = 7
	ended := make([]func(), 0, many)
	for range many {
		r, err := e.Run(context.Background(), one)
		if err != nil {
			t.Fatal(err)
		}
		for r.Next() {
		}
		ended = append(ended, r.Release)
	}
	for _, end := range ended {
		end()
	}
	released := func() (n int) {
		for _, c := range s.Calls() {
			if c == "ReleaseSession" {
				n++
			}
		}
		return n
	}
	if n := released(); n != many-4 {
		t.Errorf("%d of %d sessions are released while 4 may rest", n, many)
	}
	e.Close(context.Background())
	if n := released(); n != many {
		t.Errorf("%d of %d sessions are released at the end", n, many)
	}
}
