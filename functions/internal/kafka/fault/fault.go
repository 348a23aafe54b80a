// Package fault says what a person can do about an error of Kafka.
package fault

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// On is what was done, to what, and by whom, when an error came.
type On struct {
	Do    string // an operation as access rules name it: Read, Write, Describe, DescribeConfigs, Create, Alter, Delete
	Topic string
	Group string
	User  string // as the brokers know it; empty if unknown
}

// final marks errors that asking again does not mend.
type final struct{ error }

func (f final) Unwrap() error { return f.error }

// Final marks an error as one that asking again does not mend; a person must.
func Final(err error) error { return final{err} }

// IsFinal says whether a person must mend what is wrong.
func IsFinal(err error) bool {
	_, ok := errors.AsType[final](err)
	return ok
}

// unanswered marks errors of a cluster of which no broker answers.
type unanswered struct{ error }

func (u unanswered) Unwrap() error { return u.error }

// Unanswered marks an error as one of a cluster of which no broker answers.
func Unanswered(err error) error { return unanswered{err} }

// hangUpError marks the error of a broker that takes a connection and ends it.
type hangUpError struct{ error }

func (h hangUpError) Unwrap() error { return h.error }

// HungUp says whether a broker took a connection and ended it. One that goes on so wants to be spoken to otherwise.
func HungUp(err error) bool {
	_, ok := errors.AsType[hangUpError](err)
	return ok
}

// Passing says whether the same may succeed a little later, by itself: no broker answers, or it says to ask again.
func Passing(err error) bool {
	if err == nil || IsFinal(err) || HungUp(err) {
		return false
	}
	_, away := errors.AsType[unanswered](err)
	_, cut := errors.AsType[*net.OpError](err)
	return away || cut || kerr.IsRetriable(err) || errors.Is(err, io.EOF) || errors.Is(err, context.DeadlineExceeded)
}

// Explain adds to an error what a person can do about it. An error that it does not know comes back as it is.
func Explain(err error, on On) error {
	if err == nil || IsFinal(err) {
		return err
	}
	if errors.Is(err, kerr.TopicAuthorizationFailed) || errors.Is(err, kerr.GroupAuthorizationFailed) || errors.Is(err, kerr.ClusterAuthorizationFailed) {
		return Final(fmt.Errorf("%s: %w", on.refused(err), err))
	}
	for _, known := range advice {
		if errors.Is(err, known.err) {
			return fmt.Errorf("%s: %w", strings.NewReplacer("{topic}", on.topic(), "{user}", on.user()).Replace(known.says), known.mark(err))
		}
	}
	if _, ok := errors.AsType[*kgo.ErrFirstReadEOF](err); ok || errors.Is(err, io.EOF) {
		return hangUpError{fmt.Errorf("the broker hung up at once: see whether its listener wants TLS (ALMANAC_KAFKA_CA), a client certificate (ALMANAC_KAFKA_CERT) "+
			"or a user (ALMANAC_KAFKA_USER), or does not take the password in ALMANAC_KAFKA_PASSWORD_FILE of user %s: %w", on.user(), err)}
	}
	if strings.Contains(err.Error(), "tls alert record") { // what kgo makes of an answer that it cannot read
		return Final(fmt.Errorf("the listener wants TLS: set ALMANAC_KAFKA_CA, or name another address in ALMANAC_KAFKA: %w", err))
	}
	return TLS(err, "the broker")
}

// known is an error of a broker.
type known struct {
	err   error
	says  string
	final bool
}

func (k known) mark(err error) error {
	if k.final {
		return Final(err)
	}
	return err
}

var advice = []known{
	{kerr.SaslAuthenticationFailed, "the broker refuses user {user}: see that it knows ALMANAC_KAFKA_USER for SCRAM-SHA-512 " +
		"and that ALMANAC_KAFKA_PASSWORD_FILE holds its password", true},
	{kerr.UnsupportedSaslMechanism, "the listener does not offer SCRAM-SHA-512: name another address in ALMANAC_KAFKA, or enable it there", true},
	{kerr.IllegalSaslState, "the listener asks for no user: name another address in ALMANAC_KAFKA, or leave ALMANAC_KAFKA_USER unset", true},
	{kerr.UnknownTopicOrPartition, "topic {topic} does not exist: make it with almanac topics apply", false},
	{kerr.MessageTooLarge, "a record is larger than topic {topic} takes: raise its max.message.bytes, almanac topics check says to what", false},
	{kerr.RecordListTooLarge, "a batch is larger than a segment of topic {topic}: raise its segment.bytes", false},
	{kerr.NotEnoughReplicas, "fewer replicas of topic {topic} are in sync than its min.insync.replicas: see that all brokers run", false},
	{kerr.NotEnoughReplicasAfterAppend, "fewer replicas of topic {topic} are in sync than its min.insync.replicas: see that all brokers run", false},
	{kerr.UnknownServerError, "the broker cannot write, see its log and whether its disk is full", false},
	{kerr.KafkaStorageError, "the broker cannot write, see its log and whether its disk is full", false},
	{kerr.PolicyViolation, "a policy of the brokers forbids it", false},
	{kerr.InvalidReplicationFactor, "there are fewer brokers than ALMANAC_KAFKA_REPLICATION wants copies", false},
}

func (on On) topic() string {
	if on.Topic == "" {
		return "of it"
	}
	return on.Topic
}

func (on On) user() string {
	if on.User == "" {
		return "(unknown)"
	}
	return on.User
}

// refused says which rule is missing, and how it is made.
func (on On) refused(err error) string {
	kind, name := "cluster", ""
	switch {
	case errors.Is(err, kerr.GroupAuthorizationFailed):
		kind, name = "group", on.Group
	case errors.Is(err, kerr.TopicAuthorizationFailed):
		kind, name = "topic", on.Topic
	}
	do := on.Do
	if do == "" {
		do = "Describe"
	}
	who := on.User
	if who == "" {
		who = "ANONYMOUS"
	}
	return fmt.Sprintf("user %s lacks the right to %s %s; what each function needs is given by almanac acls apply, this alone by "+
		"kafka-acls.sh --add --allow-principal User:%s --operation %s --%s",
		who, do, strings.TrimSpace(kind+" "+name), who, do, strings.TrimSpace(kind+" "+name))
}

// alerts are what a broker tells a client whose certificate it refuses.
var alerts = map[string]string{
	"certificate required":           "the broker wants a certificate of the client: set ALMANAC_KAFKA_CERT and ALMANAC_KAFKA_KEY",
	"bad certificate":                refusedCert,
	"unknown certificate":            refusedCert,
	"unknown certificate authority":  refusedCert,
	"expired certificate":            refusedCert,
	"revoked certificate":            refusedCert,
	"unsupported certificate":        refusedCert,
	"protocol version not supported": "the broker does not speak TLS 1.3: allow it there (ssl.enabled.protocols)",
	"handshake failure":              "broker and client have no TLS 1.3 cipher, or no kind of key, in common",
}

const refusedCert = "the broker refuses the certificate of this client: see that the one in ALMANAC_KAFKA_CERT is valid and signed by an authority that the brokers trust"

// TLS explains an error of a handshake with whom.
func TLS(err error, whom string) error {
	if unknown, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return Final(fmt.Errorf("the certificate of %s is signed by an authority that is not trusted%s: "+
			"put the authority of the brokers into the file that ALMANAC_KAFKA_CA names: %w", whom, signer(unknown.Cert), err))
	}
	if bad, ok := errors.AsType[x509.CertificateInvalidError](err); ok && bad.Reason == x509.Expired {
		return Final(fmt.Errorf("the certificate of %s is valid from %s to %s and not now: renew it, or set the clock of this machine: %w",
			whom, bad.Cert.NotBefore.UTC().Format(time.RFC3339), bad.Cert.NotAfter.UTC().Format(time.RFC3339), err))
	}
	if _, ok := errors.AsType[x509.HostnameError](err); ok {
		return Final(fmt.Errorf("the certificate of %s is for another name: "+
			"name the broker in ALMANAC_KAFKA as its certificate does, or set ALMANAC_KAFKA_SERVER_NAME: %w", whom, err))
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return Final(fmt.Errorf("%s does not speak TLS there: name its TLS listener in ALMANAC_KAFKA: %w", whom, err))
	}
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "remote error" {
		if says, ok := alerts[strings.TrimPrefix(op.Err.Error(), "tls: ")]; ok {
			return Final(fmt.Errorf("%s: %w", says, err))
		}
	}
	return err
}

func signer(cert *x509.Certificate) string {
	if cert == nil {
		return ""
	}
	return fmt.Sprintf(" (%q)", cert.Issuer.CommonName)
}
