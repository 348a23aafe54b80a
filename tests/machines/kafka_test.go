package machines_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/sasl/scram"
)

// client reaches Kafka at a port, as whoever the options make it.
func (s *site) client(t *testing.T, port string, conf *tls.Config, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	dial := func(ctx context.Context, network, address string) (net.Conn, error) {
		raw, err := s.dial(ctx, network, address)
		if err != nil || conf == nil {
			return raw, err
		}
		named := conf.Clone()
		named.ServerName, _, _ = net.SplitHostPort(address)
		conn := tls.Client(raw, named)
		return conn, conn.HandshakeContext(ctx)
	}
	var seeds []string
	for _, host := range s.groups["kafka_brokers"].Hosts {
		seeds = append(seeds, net.JoinHostPort(host, port))
	}
	cl, err := kgo.NewClient(append([]kgo.Opt{
		kgo.SeedBrokers(seeds...), kgo.Dialer(dial), kgo.RequestRetries(0), kgo.RecordRetries(0),
		kgo.DialTimeout(5 * time.Second), kgo.DisableIdempotentWrite(),
	}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return cl
}

func password(user, word string) kgo.Opt {
	return kgo.SASL(scram.Auth{User: user, Pass: word}.AsSha512Mechanism())
}

// facts lists the topics of facts that a client sees.
func facts(t *testing.T, cl *kgo.Client) (kadm.TopicDetails, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	topics, err := kadm.NewClient(cl).ListTopics(ctx)
	topics.FilterInternal()
	return topics, err
}

func TestKafkaLetsInWhomItKnows(t *testing.T) {
	s := furnished(t)
	collect := s.file(t, "secrets", "kafka", "almanac-collect")
	for name, cl := range map[string]*kgo.Client{
		"by password":                s.client(t, "9092", s.trusting(), password("almanac-collect", collect)),
		"by OpenBao's certificate":   s.client(t, "9094", s.trusting(s.pair(t, "process"))),
		"by password, administrator": s.client(t, "9092", s.trusting(), password("admin", s.file(t, "secrets", "kafka", "admin"))),
	} {
		topics, err := facts(t, cl)
		if err != nil || !topics.Has("almanac.fact.collected") {
			t.Errorf("%s: topics = %v, %v, want facts among them", name, topics.Names(), err)
		}
	}
}

// cut is what becomes of a connection that the server hangs up on, by chance one or the other.
const cut = "EOF|broken pipe|connection reset"

func TestKafkaRefusesOthers(t *testing.T) {
	s := furnished(t)
	collect := password("almanac-collect", s.file(t, "secrets", "kafka", "almanac-collect"))
	for name, tt := range map[string]struct {
		client *kgo.Client
		says   string // a regular expression
	}{
		"without TLS":                {s.client(t, "9092", nil, collect), "tls alert|" + cut},
		"by TLS 1.2":                 {s.client(t, "9092", before13(s.trusting()), collect), "protocol version"},
		"with another's password":    {s.client(t, "9092", s.trusting(), password("almanac-collect", s.file(t, "secrets", "kafka", "almanac-store"))), "SASL_AUTHENTICATION_FAILED"},
		"without a password":         {s.client(t, "9092", s.trusting()), "is SASL missing"},
		"without a certificate":      {s.client(t, "9094", s.trusting()), "certificate required"},
		"by a certificate of nobody": {s.client(t, "9094", showing(s.trusting(), stranger(t))), "unknown certificate"},
	} {
		if topics, err := facts(t, tt.client); err == nil || !regexp.MustCompile(tt.says).MatchString(err.Error()) {
			t.Errorf("%s: Kafka answers %v, %v, want %q", name, topics.Names(), err, tt.says)
		}
	}
}

// TestKafkaRefusesWhatAFunctionNeedNotDo writes to topics of others, and makes one.
func TestKafkaRefusesWhatAFunctionNeedNotDo(t *testing.T) {
	s := furnished(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cl := s.client(t, "9094", s.trusting(s.pair(t, "serve")))
	for _, topic := range []string{"almanac.fact.collected", "almanac.due.collect", "almanac.deadletter"} {
		if err := cl.ProduceSync(ctx, &kgo.Record{Topic: topic, Value: []byte("x")}).FirstErr(); !errors.Is(err, kerr.TopicAuthorizationFailed) {
			t.Errorf("serve writes to %s: %v, want it refused", topic, err)
		}
	}
	made, err := kadm.NewClient(cl).CreateTopic(ctx, 1, 1, nil, "almanac.stray")
	if !errors.Is(errors.Join(err, made.Err), kerr.TopicAuthorizationFailed) {
		t.Errorf("serve makes a topic: %v, %v, want it refused", err, made.Err)
	}
}

// showing is TLS that shows a certificate whatever the server asks for. A client that is given certificates keeps back those of other authorities than the
// server names.
func showing(conf *tls.Config, pair tls.Certificate) *tls.Config {
	conf.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
	return conf
}

// TestKafkaWantsCertificates greets each listener that takes certificates, those that machines alone reach by way of one of them.
func TestKafkaWantsCertificates(t *testing.T) {
	s := furnished(t)
	via, pair := s.groups["kafka_brokers"].Hosts[0], s.pair(t, "process")
	for port, group := range map[string]string{"9091": "kafka_brokers", "9093": "kafka_controllers", "9094": "kafka_brokers"} {
		for _, host := range s.groups[group].Hosts {
			for name, tt := range map[string]struct {
				conf *tls.Config
				want string // "" if it lets in
			}{
				"without a certificate":   {s.trusting(), "certificate required"},
				"with one of nobody":      {showing(s.trusting(), stranger(t)), "unknown certificate"},
				"with OpenBao's":          {showing(s.trusting(), pair), ""},
				"with OpenBao's, TLS 1.2": {before13(showing(s.trusting(), pair)), "protocol version"},
			} {
				tt.conf.ServerName = host
				err := greet(t, tls.Client(s.through(t, via, net.JoinHostPort(host, port)), tt.conf))
				if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
					t.Errorf("%s:%s %s: %v, want %q", host, port, name, err, tt.want)
				}
			}
		}
	}
}

// before13 is TLS as it was before.
func before13(conf *tls.Config) *tls.Config {
	conf.MinVersion, conf.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
	return conf
}

// TestKafkaKeepsItsMetadataFromFunctions takes the certificate of a function, which the listener of the controllers knows, too, to the log of what the cluster is: it
// holds what passwords are proved by.
func TestKafkaKeepsItsMetadataFromFunctions(t *testing.T) {
	s := furnished(t)
	via, pair := s.groups["kafka_brokers"].Hosts[0], s.pair(t, "process")
	for _, host := range s.groups["kafka_controllers"].Hosts {
		conf := showing(s.trusting(), pair)
		conf.ServerName = host
		conn := tls.Client(s.through(t, via, net.JoinHostPort(host, "9093")), conf)
		part, of := kmsg.NewFetchRequestTopicPartition(), kmsg.NewFetchRequestTopic()
		part.PartitionMaxBytes = 1 << 20
		of.TopicID[15], of.Partitions = 1, []kmsg.FetchRequestTopicPartition{part} // the id of __cluster_metadata
		request := kmsg.NewPtrFetchRequest()
		request.Version, request.MaxBytes, request.Topics = 13, 1<<20, []kmsg.FetchRequestTopic{of}
		answer, err := exchange(t, conn, request)
		if got, ok := answer.(*kmsg.FetchResponse); err != nil || !ok || !errors.Is(kerr.ErrorForCode(got.ErrorCode), kerr.ClusterAuthorizationFailed) {
			t.Errorf("%s: process fetches the metadata: %+v, %v, want it refused", host, answer, err)
		}
		_ = conn.Close() // all was said
	}
}

// greet asks a listener of Kafka what it can. By TLS 1.3 a client takes its handshake for done before the server has looked at the certificate, so that the
// answer tells whether it was let in.
func greet(t *testing.T, conn *tls.Conn) error {
	t.Helper()
	defer func() { _ = conn.Close() }() // all was said
	answer, err := exchange(t, conn, kmsg.NewPtrApiVersionsRequest())
	if err != nil {
		return err
	}
	if versions, ok := answer.(*kmsg.ApiVersionsResponse); !ok || versions.ErrorCode != 0 || len(versions.ApiKeys) == 0 {
		return fmt.Errorf("the answer is %+v", answer)
	}
	return nil
}

// exchange sends a request, the first of a connection, and reads the answer.
func exchange(t *testing.T, conn *tls.Conn, request kmsg.Request) (kmsg.Response, error) {
	t.Helper()
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if err := conn.HandshakeContext(t.Context()); err != nil {
		return nil, err
	}
	_, wrote := conn.Write(kmsg.NewRequestFormatter().AppendRequest(nil, request, 1))
	size := make([]byte, 4)
	if _, err := io.ReadFull(conn, size); err != nil {
		return nil, errors.Join(err, wrote)
	}
	body := make([]byte, binary.BigEndian.Uint32(size))
	if _, err := io.ReadFull(conn, body); err != nil {
		return nil, err
	}
	head := 4 // the number of the request
	if request.IsFlexible() {
		head++ // and no tags
	}
	answer := request.ResponseKind()
	return answer, answer.ReadFrom(body[head:])
}

// stranger is the certificate of a broker, by an authority that nobody knows.
func stranger(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "kafka"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, BasicConstraintsValid: true, IsCA: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}
