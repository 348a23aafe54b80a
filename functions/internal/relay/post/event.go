// Package post makes CloudEvents of Kafka's records as Knative's KafkaSource does, and posts events to the URLs of functions.
package post

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/almanac-data/almanac/functions/internal/kafka"
)

// Event is a CloudEvent: attributes by name, datacontenttype among them.
type Event struct {
	Attributes map[string]string
	Data       []byte
}

// SpecVersion is the version of CloudEvents that is spoken here.
const SpecVersion = "1.0"

// Attributes that every CloudEvent has.
var required = []string{"specversion", "id", "source", "type"}

// Complete says whether it has the attributes that every CloudEvent 1.0 has.
func (e Event) Complete() bool {
	for _, name := range required {
		if e.Attributes[name] == "" {
			return false
		}
	}
	return e.Attributes["specversion"] == SpecVersion
}

// EventOf makes an event of a record as Knative's KafkaSource does: what is a CloudEvent, in binary or structured mode, stays as it
// is; anything else becomes a dev.knative.kafka.event. Both get the place of the record as extensions.
func EventOf(r kafka.Record, namespace, name string) Event {
	e := binaryMode(r)
	if structured(e.Attributes["datacontenttype"]) {
		e = structuredMode(r.Value)
	}
	if !e.Complete() {
		e = plain(r, namespace, name)
	}
	e.Attributes["knativekafkapartition"] = strconv.Itoa(int(r.Partition))
	e.Attributes["knativekafkaoffset"] = strconv.FormatInt(r.Offset, 10)
	return e
}

// Received is the event of an HTTP request, in binary or structured mode. It may not be Complete.
func Received(header http.Header, body []byte) Event {
	ct := header.Get("Content-Type")
	if structured(ct) {
		return structuredMode(body)
	}
	e := Event{map[string]string{}, body}
	for name := range header {
		if attribute, ok := strings.CutPrefix(strings.ToLower(name), "ce-"); ok {
			e.Attributes[attribute] = header.Get(name)
		}
	}
	if ct != "" {
		e.Attributes["datacontenttype"] = ct
	}
	return e
}

func structured(contentType string) bool {
	media, _, _ := strings.Cut(strings.ToLower(contentType), ";")
	return strings.TrimSpace(media) == "application/cloudevents+json"
}

func binaryMode(r kafka.Record) Event {
	e := Event{map[string]string{}, r.Value}
	for _, h := range r.Headers {
		key := strings.ToLower(h.Key)
		switch attribute, ok := strings.CutPrefix(key, "ce_"); {
		case h.Value == nil:
		case ok && named(attribute):
			e.Attributes[attribute] = string(h.Value)
		case key == "content-type":
			e.Attributes["datacontenttype"] = string(h.Value)
		}
	}
	return e
}

func structuredMode(value []byte) Event {
	e := Event{Attributes: map[string]string{}}
	var fields map[string]json.RawMessage
	if json.Unmarshal(value, &fields) != nil {
		return e
	}
	for name, raw := range fields {
		var s string
		isString := json.Unmarshal(raw, &s) == nil
		attribute := strings.ToLower(name)
		switch {
		case name == "data" && isString && !strings.Contains(string(fields["datacontenttype"]), "json"):
			e.Data = []byte(s)
		case name == "data":
			e.Data = raw
		case name == "data_base64":
			e.Data, _ = base64.StdEncoding.DecodeString(s)
		case !named(attribute):
		case isString:
			e.Attributes[attribute] = s
		default:
			e.Attributes[attribute] = string(raw)
		}
	}
	return e
}

// named says whether CloudEvents allow an attribute's name. Others are left out: no header can carry them all, and an event that cannot even be sent
// would be tried again in vain and then be no dead letter either.
func named(attribute string) bool { return attribute != "" && alphanumeric(attribute) == attribute }

func plain(r kafka.Record, namespace, name string) Event {
	e := Event{map[string]string{
		"specversion": SpecVersion,
		"id":          fmt.Sprintf("partition:%d/offset:%d", r.Partition, r.Offset),
		"type":        "dev.knative.kafka.event",
		"source":      fmt.Sprintf("/apis/v1/namespaces/%s/kafkasources/%s#%s", namespace, name, r.Topic),
		"subject":     fmt.Sprintf("partition:%d#%d", r.Partition, r.Offset),
		"time":        r.Time.UTC().Format(time.RFC3339Nano),
	}, r.Value}
	if r.Key != nil {
		e.Attributes["key"], e.Attributes["partitionkey"] = string(r.Key), string(r.Key)
	}
	for _, h := range r.Headers {
		switch key := strings.ToLower(h.Key); {
		case h.Value == nil:
		case key == "content-type":
			e.Attributes["datacontenttype"] = strings.ToLower(string(h.Value))
		default:
			e.Attributes["kafkaheader"+alphanumeric(key)] = string(h.Value)
		}
	}
	return e
}

func alphanumeric(s string) string {
	return strings.Map(func(c rune) rune {
		if c >= 'a' && c <= 'z' || c >= '0' && c <= '9' {
			return c
		}
		return -1
	}, s)
}
