// Package sparksql speaks as much of Spark Connect as one SQL text and its answer need, over HTTP/2 by hand: it shares no code with the product.
package sparksql

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/apache/arrow-go/v18/arrow/ipc"
	"google.golang.org/protobuf/encoding/protowire"
)

// Session is a session of a server.
type Session struct {
	http           *http.Client
	address, token string
	session        string
}

// Open makes a session of the server at host:port, over TLS if there is a configuration of it. Close ends its connections.
func Open(address string, secured *tls.Config, token string) *Session {
	var protocols http.Protocols
	transport := &http.Transport{Protocols: &protocols}
	s := &Session{http: &http.Client{Transport: transport}, address: "http://" + address, token: token}
	protocols.SetUnencryptedHTTP2(true)
	if secured != nil {
		protocols.SetUnencryptedHTTP2(false)
		protocols.SetHTTP2(true)
		transport.TLSClientConfig = secured
		s.address = "https://" + address
	}
	b := make([]byte, 16)
	_, _ = rand.Read(b)
	s.session = fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
	return s
}

// Close ends the connections.
func (s *Session) Close() { s.http.CloseIdleConnections() }

func text(b []byte, field protowire.Number, s string) []byte {
	return protowire.AppendString(protowire.AppendTag(b, field, protowire.BytesType), s)
}

func message(b []byte, field protowire.Number, m []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, field, protowire.BytesType), m)
}

// SQL runs a query and gives the first column of its answer as text.
func (s *Session) SQL(ctx context.Context, query string) ([]string, error) {
	relation := message(nil, 10, text(nil, 1, query)) // Relation.sql
	plan := message(nil, 1, relation)                 // Plan.root
	request := text(nil, 1, s.session)
	request = message(request, 2, text(nil, 1, "lab"))
	request = message(request, 3, plan)
	frame := append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(request))), request...)
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.address+"/spark.connect.SparkConnectService/ExecutePlan", bytes.NewReader(frame))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/grpc")
	r.Header.Set("TE", "trailers")
	if s.token != "" {
		r.Header.Set("Authorization", "Bearer "+s.token)
	}
	response, err := s.http.Do(r)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(response.Body)
	if err = errors.Join(err, response.Body.Close()); err != nil {
		return nil, err
	}
	status, said := response.Trailer.Get("Grpc-Status"), response.Trailer.Get("Grpc-Message")
	if status == "" { // an answer of headers only
		status, said = response.Header.Get("Grpc-Status"), response.Header.Get("Grpc-Message")
	}
	if status != "0" {
		said, _ = url.PathUnescape(said)
		return nil, fmt.Errorf("gRPC status %s: %s", status, said)
	}
	return column(body)
}

// column reads the Arrow batches of a stream of answers.
func column(body []byte) (values []string, err error) {
	for len(body) >= 5 {
		n := int(binary.BigEndian.Uint32(body[1:5]))
		answer := body[5 : 5+n]
		body = body[5+n:]
		data := field(field(answer, 2), 2) // ExecutePlanResponse.arrow_batch.data
		if data == nil {
			continue
		}
		r, err := ipc.NewReader(bytes.NewReader(data))
		if err != nil {
			return nil, err
		}
		for r.Next() {
			if r.RecordBatch().NumCols() == 0 {
				continue
			}
			for i := range int(r.RecordBatch().NumRows()) {
				values = append(values, r.RecordBatch().Column(0).ValueStr(i))
			}
		}
		r.Release()
	}
	return values, nil
}

// field is the last value of a field of bytes in a message, nil if there is none.
func field(m []byte, want protowire.Number) (value []byte) {
	for len(m) > 0 {
		num, kind, n := protowire.ConsumeTag(m)
		if n < 0 {
			return nil
		}
		m = m[n:]
		if num == want && kind == protowire.BytesType {
			value, _ = protowire.ConsumeBytes(m)
		}
		if n = protowire.ConsumeFieldValue(num, kind, m); n < 0 {
			return nil
		}
		m = m[n:]
	}
	return value
}
