package access

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"time"
)

const (
	stall   = time.Minute      // for one part; who reads slower than that is cut off
	rest    = 10 * time.Minute // from one part to the next, and for what is still buffered at the end
	onePart = 1 << 20
)

// sent counts what is sent, and sets a deadline for each part of it.
type sent struct {
	http.ResponseWriter

	control *http.ResponseController
	now     func() time.Time
	private bool // no cache may hand the answer to another caller
	status  int
	bytes   int64
	failed  bool
}

func newSent(w http.ResponseWriter, now func() time.Time, private bool) *sent {
	return &sent{ResponseWriter: w, control: http.NewResponseController(w), now: now, private: private}
}

// Unwrap lets http.ResponseController through.
func (s *sent) Unwrap() http.ResponseWriter { return s.ResponseWriter }

func (s *sent) WriteHeader(status int) {
	s.head(status)
	s.ResponseWriter.WriteHeader(status)
}

func (s *sent) head(status int) {
	if s.status != 0 || status < http.StatusOK {
		return
	}
	s.status = status
	if s.private {
		h := s.Header()
		h.Set("Cache-Control", strings.TrimSuffix("private, "+strings.TrimPrefix(h.Get("Cache-Control"), "public, "), ", "))
	}
}

func (s *sent) begin() {
	s.head(http.StatusOK)
	s.within(stall)
}

func (s *sent) within(d time.Duration) {
	// A writer without deadlines is one of a test.
	if err := s.control.SetWriteDeadline(s.now().Add(d)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		s.failed = true
	}
}

func (s *sent) Write(p []byte) (int, error) {
	var sum int
	for {
		s.begin()
		n, err := s.ResponseWriter.Write(p[:min(len(p), onePart)])
		sum += n
		s.bytes += int64(n)
		if err != nil {
			s.failed = true
			return sum, err
		}
		s.within(rest)
		if p = p[n:]; len(p) == 0 {
			return sum, nil
		}
	}
}

// ReadFrom lets the kernel send a file, part by part.
func (s *sent) ReadFrom(from io.Reader) (sum int64, err error) {
	limit, ok := from.(*io.LimitedReader)
	if !ok {
		limit = &io.LimitedReader{R: from, N: 1<<63 - 1}
	}
	for limit.N > 0 {
		s.begin()
		want := min(limit.N, onePart)
		n, err := io.Copy(s.ResponseWriter, &io.LimitedReader{R: limit.R, N: want})
		limit.N -= n
		sum += n
		s.bytes += n
		if err != nil {
			s.failed = true
			return sum, err
		}
		s.within(rest)
		if n < want {
			return sum, nil
		}
	}
	return sum, nil
}
