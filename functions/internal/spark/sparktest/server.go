// Package sparktest is a Spark Connect server that does what a test tells it, for what a real one is too slow or too healthy for.
package sparktest

import (
	"bytes"
	"context"
	"errors"
	"net"
	"path"
	"slices"
	"sync"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/almanac-data/almanac/functions/internal/spark/wire"
)

// Call is one call that the server got.
type Call struct {
	Method  string // such as ExecutePlan
	Request proto.Message
	Header  metadata.MD
	Context context.Context //nolint:containedctx // ends with the call

	stream grpc.ServerStream
}

// Send answers with a message in its JSON form.
func (c *Call) Send(json string) error {
	m, err := wire.New(c.Method + "Response")
	if err != nil {
		return err
	}
	if err := protojson.Unmarshal([]byte(json), m); err != nil {
		return err
	}
	return c.stream.SendMsg(m)
}

// SendBatch answers ExecutePlan with a batch.
func (c *Call) SendBatch(batch arrow.RecordBatch) error {
	var out bytes.Buffer
	w := ipc.NewWriter(&out, ipc.WithSchema(batch.Schema()))
	if err := errors.Join(w.Write(batch), w.Close()); err != nil {
		return err
	}
	return c.SendBytes(out.Bytes())
}

// SendBytes answers ExecutePlan with what may be a batch.
func (c *Call) SendBytes(data []byte) error {
	return c.sendField(2, protowire.AppendBytes(protowire.AppendTag(nil, 2, protowire.BytesType), data)) // arrow_batch.data
}

// SendProgress answers ExecutePlan with the progress of one stage.
func (c *Call) SendProgress(tasks, done, running uint64) error {
	var stage []byte
	for number, n := range map[protowire.Number]uint64{1: 7, 2: tasks, 3: done, 4: 1000} {
		stage = protowire.AppendVarint(protowire.AppendTag(stage, number, protowire.VarintType), n)
	}
	all := protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), stage)
	all = protowire.AppendVarint(protowire.AppendTag(all, 2, protowire.VarintType), running)
	return c.sendField(18, all) // execution_progress
}

func (c *Call) sendField(number protowire.Number, value []byte) error {
	return c.stream.SendMsg(unknown(number, value))
}

func unknown(number protowire.Number, value []byte) proto.Message {
	m := new(emptypb.Empty)
	m.ProtoReflect().SetUnknown(protowire.AppendBytes(protowire.AppendTag(nil, number, protowire.BytesType), value))
	return m
}

// Session is the id that the server has for each session, and tells where nothing is said about Config.
const Session = "the server's own id"

// Server is the server.
type Server struct {
	Address string // host:port

	mu      sync.Mutex
	calls   []string
	answers map[string]func(*Call) error
}

// Start starts a server, with credentials if there are options for them. The test ends it.
func Start(tb testing.TB, options ...grpc.ServerOption) *Server {
	tb.Helper()
	l, err := new(net.ListenConfig).Listen(tb.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	s := &Server{Address: l.Addr().String(), answers: map[string]func(*Call) error{}}
	g := grpc.NewServer(append(options, grpc.UnknownServiceHandler(s.handle))...)
	done := make(chan struct{})
	go func() { defer close(done); _ = g.Serve(l) }()
	tb.Cleanup(func() { g.Stop(); <-done })
	return s
}

// On says how calls of a method are answered. Those that nothing is said about get an empty answer.
func (s *Server) On(method string, answer func(*Call) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answers[method] = answer
}

// Calls are the methods called so far.
func (s *Server) Calls() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.calls)
}

func (s *Server) handle(_ any, stream grpc.ServerStream) error {
	full, _ := grpc.MethodFromServerStream(stream)
	c := &Call{Method: path.Base(full), Context: stream.Context(), stream: stream}
	c.Header, _ = metadata.FromIncomingContext(stream.Context())
	var err error
	if c.Method == "ReleaseSession" || c.Method == "FetchErrorDetails" { // of Spark 4
		c.Request = new(emptypb.Empty)
	} else if c.Request, err = wire.New(c.Method + "Request"); err != nil {
		return err
	}
	if err := stream.RecvMsg(c.Request); err != nil {
		return err
	}
	s.mu.Lock()
	s.calls = append(s.calls, c.Method)
	answer := s.answers[c.Method]
	s.mu.Unlock()
	switch {
	case answer != nil:
		return answer(c)
	case c.Method == "ExecutePlan":
		return nil
	case c.Method == "Config":
		return stream.SendMsg(unknown(4, []byte(Session))) // server_side_session_id
	}
	return stream.SendMsg(new(emptypb.Empty))
}
