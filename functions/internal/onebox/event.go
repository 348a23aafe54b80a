package onebox

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/almanac-data/almanac/functions/internal/kafka"
)

// event is a CloudEvent: attributes by name, datacontenttype among them.
type event struct {
	attributes map[string]string
	data       []byte
}

// specVersion is the version of CloudEvents that is spoken here.
const specVersion = "1.0"

// Attributes that every CloudEvent has.
var required = []string{"specversion", "id", "source", "type"}

func (e event) complete() bool {
	for _, name := range required {
		if e.attributes[name] == "" {
			return false
		}
	}
	return e.attributes["specversion"] == specVersion
}

// eventOf makes an event of a record as Knative's KafkaSource does: what is a CloudEvent, in binary or structured mode, stays as it
// is; anything else becomes a dev.knative.kafka.event. Both get the place of the record as extensions.
func eventOf(r kafka.Record, namespace, name string) event {
	e := binaryMode(r)
	if ct := e.attributes["datacontenttype"]; strings.HasPrefix(strings.ToLower(ct), "application/cloudevents+json") {
		e = structuredMode(r.Value)
	}
	if !e.complete() {
		e = plain(r, namespace, name)
	}
	e.attributes["knativekafkapartition"] = strconv.Itoa(int(r.Partition))
	e.attributes["knativekafkaoffset"] = strconv.FormatInt(r.Offset, 10)
	return e
}

func binaryMode(r kafka.Record) event {
	e := event{map[string]string{}, r.Value}
	for _, h := range r.Headers {
		key := strings.ToLower(h.Key)
		switch attribute, ok := strings.CutPrefix(key, "ce_"); {
		case h.Value == nil:
		case ok:
			e.attributes[attribute] = string(h.Value)
		case key == "content-type":
			e.attributes["datacontenttype"] = string(h.Value)
		}
	}
	return e
}

func structuredMode(value []byte) event {
	e := event{attributes: map[string]string{}}
	var fields map[string]json.RawMessage
	if json.Unmarshal(value, &fields) != nil {
		return e
	}
	for name, raw := range fields {
		var s string
		isString := json.Unmarshal(raw, &s) == nil
		switch {
		case name == "data" && isString && !strings.Contains(string(fields["datacontenttype"]), "json"):
			e.data = []byte(s)
		case name == "data":
			e.data = raw
		case name == "data_base64":
			e.data, _ = base64.StdEncoding.DecodeString(s)
		case isString:
			e.attributes[strings.ToLower(name)] = s
		default:
			e.attributes[strings.ToLower(name)] = string(raw)
		}
	}
	return e
}

func plain(r kafka.Record, namespace, name string) event {
	e := event{map[string]string{
		"specversion": specVersion,
		"id":          fmt.Sprintf("partition:%d/offset:%d", r.Partition, r.Offset),
		"type":        "dev.knative.kafka.event",
		"source":      fmt.Sprintf("/apis/v1/namespaces/%s/kafkasources/%s#%s", namespace, name, r.Topic),
		"subject":     fmt.Sprintf("partition:%d#%d", r.Partition, r.Offset),
		"time":        r.Time.UTC().Format(time.RFC3339Nano),
	}, r.Value}
	if r.Key != nil {
		e.attributes["key"], e.attributes["partitionkey"] = string(r.Key), string(r.Key)
	}
	for _, h := range r.Headers {
		switch key := strings.ToLower(h.Key); {
		case h.Value == nil:
		case key == "content-type":
			e.attributes["datacontenttype"] = strings.ToLower(string(h.Value))
		default:
			e.attributes["kafkaheader"+alphanumeric(key)] = string(h.Value)
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
