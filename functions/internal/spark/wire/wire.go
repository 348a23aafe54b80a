// Package wire makes and reads the messages of Spark Connect.
//
// The library keeps the Go types of the protocol's messages to itself, and what it makes of them lacks most of what is needed here. They
// are reached through the registry of protobuf, which knows them by name; generating them again would be a conflict there. It is the
// protocol of Spark 3.5, so what came with Spark 4 is written and read by field number.
package wire

import (
	"encoding/json"
	"fmt"

	_ "github.com/apache/spark-connect-go/v35/spark/client/base" // registers the messages
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
)

// Object is a message in its JSON form.
type Object = map[string]any

// New makes an empty message of the protocol, such as ExecutePlanRequest.
func New(name string) (proto.Message, error) {
	t, err := protoregistry.GlobalTypes.FindMessageByName(protoreflect.FullName("spark.connect." + name))
	if err != nil {
		return nil, fmt.Errorf("message %s of spark connect: %w", name, err)
	}
	return t.New().Interface(), nil
}

// Message makes a message from its JSON form.
func Message(name string, fields Object) (proto.Message, error) {
	m, err := New(name)
	if err != nil {
		return nil, err
	}
	data, err := json.Marshal(fields)
	if err != nil {
		return nil, err
	}
	if err := protojson.Unmarshal(data, m); err != nil {
		return nil, fmt.Errorf("message %s of spark connect: %w", name, err)
	}
	return m, nil
}

// Get is the value at a path of field names, and whether it is set.
func Get(m proto.Message, path ...protoreflect.Name) (protoreflect.Value, bool) {
	at := m.ProtoReflect()
	for i, name := range path {
		field := at.Descriptor().Fields().ByName(name)
		if field == nil || !at.Has(field) {
			return protoreflect.Value{}, false
		}
		if i == len(path)-1 {
			return at.Get(field), true
		}
		at = at.Get(field).Message()
	}
	return protoreflect.ValueOfMessage(at), true
}

// Unknown is the value of a field of bytes or messages that came with a later protocol, or nil.
func Unknown(m proto.Message, number protowire.Number) []byte {
	var found []byte
	Fields(m.ProtoReflect().GetUnknown(), func(n protowire.Number, _ uint64, bytes []byte) {
		if n == number && bytes != nil {
			found = bytes
		}
	})
	return found
}

// Fields calls what it is given with each field of a message that is a number or bytes, up to the first that is broken.
func Fields(raw []byte, each func(number protowire.Number, n uint64, bytes []byte)) {
	for len(raw) > 0 {
		number, kind, tag := protowire.ConsumeTag(raw)
		if tag < 0 {
			return
		}
		var n uint64
		var bytes []byte
		var size int
		switch kind {
		case protowire.VarintType:
			n, size = protowire.ConsumeVarint(raw[tag:])
		case protowire.BytesType:
			bytes, size = protowire.ConsumeBytes(raw[tag:])
		default:
			size = protowire.ConsumeFieldValue(number, kind, raw[tag:])
		}
		if size < 0 {
			return
		}
		each(number, n, bytes)
		raw = raw[tag+size:]
	}
}

// AppendBytes appends a field of bytes or of a message that is encoded already.
func AppendBytes(to []byte, number protowire.Number, value []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(to, number, protowire.BytesType), value)
}
