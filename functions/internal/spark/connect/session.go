// Package connect speaks the protocol of Spark Connect: a session for each query, its schema, its result as a stream, and an end to it that
// Spark hears of.
package connect

import (
	"context"
	"crypto/rand"
	"fmt"
	"maps"
	"time"

	"github.com/apache/spark-connect-go/v35/spark/client/channel"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/almanac-data/almanac/functions/internal/spark/wire"
)

const service = "/spark.connect.SparkConnectService/"

const (
	shortCall = 30 * time.Second // a call that only looks something up; the first one of a server may take long
	lastCall  = 10 * time.Second // a call that ends something
	planning  = 5 * time.Minute  // the analysis of a plan, which looks at each file
)

// Client is a connection to a server. It is safe for concurrent use.
type Client struct {
	conn *grpc.ClientConn
	name string // of the user
	user wire.Object
	beat time.Duration
}

// Open makes a client, which dials when it is first used. While a result is read the session is touched each beat, as Spark forgets a
// session that nobody has called for an hour, at work or not. The caller closes the client.
func Open(ctx context.Context, b channel.Builder, beat time.Duration) (*Client, error) {
	conn, err := b.Build(ctx)
	if err != nil {
		return nil, err
	}
	return &Client{conn: conn, name: b.User(), user: wire.Object{"userId": b.User(), "userName": b.User()}, beat: beat}, nil
}

// Close ends the connection.
func (c *Client) Close() error { return c.conn.Close() }

// call makes one call with one answer.
func (c *Client) call(ctx context.Context, limit time.Duration, method string, request, answer proto.Message) error {
	short, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("%s took longer than %s: %w", method, limit, context.DeadlineExceeded))
	defer cancel()
	return translate(short, c.conn.Invoke(short, service+method, request, answer))
}

// Session is a session of the server, with settings and views that nobody else sees. It is for one query at a time.
type Session struct {
	client *Client
	id     string
	server string // the id that the server has for it
}

// observed are the fields client_observed_server_side_session_id of Spark 4. A server that does not know a session, because it was started
// anew or has forgotten it, makes another without its settings, which would give other results; told what is expected, it refuses.
var observed = map[string]protowire.Number{"ConfigRequest": 8, "AnalyzePlanRequest": 17, "ExecutePlanRequest": 8, "InterruptRequest": 7}

// fieldServerSession is ConfigResponse.server_side_session_id of Spark 4.
const fieldServerSession = 4

// Session makes a session with settings. The caller closes it.
func (c *Client) Session(ctx context.Context, settings map[string]string) (*Session, error) {
	s := &Session{client: c, id: newID()}
	pairs := make([]wire.Object, 0, len(settings))
	for key, value := range settings {
		pairs = append(pairs, wire.Object{"key": key, "value": value})
	}
	answer, err := s.config(ctx, wire.Object{"set": wire.Object{"pairs": pairs}})
	if err != nil {
		_ = s.Close(ctx) // for all we know there is none
		return nil, err
	}
	s.server = string(wire.Unknown(answer, fieldServerSession))
	return s, nil
}

// newID is a random UUID, which Spark wants ids to be.
func newID() string {
	var b [16]byte
	_, _ = rand.Read(b[:])
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80 // RFC 9562, version 4
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// request makes a request of the session.
func (s *Session) request(name string, more wire.Object) (proto.Message, error) {
	all := wire.Object{"sessionId": s.id, "userContext": s.client.user, "clientType": "almanac"}
	maps.Copy(all, more)
	m, err := wire.Message(name, all)
	if err == nil && s.server != "" {
		m.ProtoReflect().SetUnknown(wire.AppendBytes(nil, observed[name], []byte(s.server)))
	}
	return m, err
}

func (s *Session) config(ctx context.Context, operation wire.Object) (proto.Message, error) {
	request, err := s.request("ConfigRequest", wire.Object{"operation": operation})
	if err != nil {
		return nil, err
	}
	answer, err := wire.New("ConfigResponse")
	if err != nil {
		return nil, err
	}
	return answer, s.client.call(ctx, shortCall, "Config", request, answer)
}

// touch lets the server know that the session is in use.
func (s *Session) touch(ctx context.Context) error {
	_, err := s.config(ctx, wire.Object{"get": wire.Object{"keys": []string{"spark.sql.session.timeZone"}}})
	return err
}

// Version is the version of the server.
func (s *Session) Version(ctx context.Context) (string, error) {
	answer, err := s.analyze(ctx, shortCall, wire.Object{"sparkVersion": wire.Object{}}, nil)
	if err != nil {
		return "", err
	}
	v, _ := wire.Get(answer, "spark_version", "version")
	return v.String(), nil
}

// Column is a column of a result. Kind is the protocol's name of its type, such as long, or empty for one that is not of Spark 3.5.
type Column struct {
	Name             string
	Kind             string
	Precision, Scale int32 // of kind decimal
}

// Schema analyses a plan without running it.
func (s *Session) Schema(ctx context.Context, p Plan) ([]Column, error) {
	plan, err := p.encode()
	if err != nil {
		return nil, err
	}
	answer, err := s.analyze(ctx, planning, wire.Object{"schema": wire.Object{}}, wire.AppendBytes(nil, 1, plan)) // Schema.plan
	if err != nil {
		return nil, s.because(ctx, err)
	}
	list, ok := wire.Get(answer, "schema", "schema", "struct", "fields")
	if !ok {
		return nil, nil
	}
	columns := make([]Column, list.List().Len())
	for i := range columns {
		columns[i] = column(list.List().Get(i).Message().Interface())
	}
	return columns, nil
}

func column(field proto.Message) Column {
	var c Column
	if name, ok := wire.Get(field, "name"); ok {
		c.Name = name.String()
	}
	kind, ok := wire.Get(field, "data_type")
	if !ok {
		return c
	}
	of := kind.Message()
	which := of.WhichOneof(of.Descriptor().Oneofs().ByName("kind"))
	if which == nil {
		return c
	}
	c.Kind = string(which.Name())
	for name, to := range map[protoreflect.Name]*int32{"precision": &c.Precision, "scale": &c.Scale} {
		if v, ok := wire.Get(of.Interface(), which.Name(), name); ok {
			*to = int32(v.Int())
		}
	}
	return c
}

// analyze asks something about a plan; what is to go into the oneof's only message, if anything, is given encoded.
func (s *Session) analyze(ctx context.Context, limit time.Duration, what wire.Object, inner []byte) (proto.Message, error) {
	request, err := s.request("AnalyzePlanRequest", what)
	if err != nil {
		return nil, err
	}
	if inner != nil {
		if schema, ok := wire.Get(request, "schema"); ok {
			schema.Message().SetUnknown(inner)
		}
	}
	answer, err := wire.New("AnalyzePlanResponse")
	if err != nil {
		return nil, err
	}
	return answer, s.client.call(ctx, limit, "AnalyzePlan", request, answer)
}

// interrupt stops an operation on the server, which does not stop by itself when its client is gone.
func (s *Session) interrupt(ctx context.Context, operation string) error {
	request, err := s.request("InterruptRequest", wire.Object{"interruptType": "INTERRUPT_TYPE_OPERATION_ID", "operationId": operation})
	if err != nil {
		return err
	}
	answer, err := wire.New("InterruptResponse")
	if err != nil {
		return err
	}
	return s.client.call(ctx, lastCall, "Interrupt", request, answer)
}

// Close ends the session on the server, and what runs in it. It does so also after ctx has ended.
func (s *Session) Close(ctx context.Context) error {
	// ReleaseSessionRequest came with Spark 4; session, user and client have the numbers that they have in InterruptRequest.
	request, err := s.request("InterruptRequest", nil)
	if err != nil {
		return err
	}
	return s.client.call(context.WithoutCancel(ctx), lastCall, "ReleaseSession", request, new(emptypb.Empty))
}
