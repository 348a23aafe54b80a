package connect

import (
	"bytes"
	"context"
	"errors"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/almanac-data/almanac/functions/internal/spark/wire"
)

// because asks the server what an error came from, and adds it: that a file cannot be read is said at once, and why only when asked. Of a mistake
// all is said. If the server does not know, the error stays as it is.
func (s *Session) because(ctx context.Context, err error) error {
	e, ok := errors.AsType[*Error](err)
	if !ok || e.id == "" || e.Mistake() || ctx.Err() != nil {
		return err
	}
	// FetchErrorDetailsRequest of Spark 4: session_id = 1, user_context = 2 {user_id = 1, user_name = 2}, error_id = 3, client_type = 4.
	user := wire.AppendBytes(wire.AppendBytes(nil, 1, []byte(s.client.name)), 2, []byte(s.client.name))
	raw := wire.AppendBytes(wire.AppendBytes(wire.AppendBytes(nil, 1, []byte(s.id)), 2, user), 3, []byte(e.id))
	request, answer := new(emptypb.Empty), new(emptypb.Empty)
	request.ProtoReflect().SetUnknown(wire.AppendBytes(raw, 4, []byte("almanac")))
	if s.client.call(ctx, lastCall, "FetchErrorDetails", request, answer) != nil {
		return err
	}
	if text := cause(answer.ProtoReflect().GetUnknown()); text != "" && !strings.Contains(e.Detail, text) {
		e.Detail += "; it was caused by " + text
	}
	return err
}

// deepest bounds the chain of causes that is followed.
const deepest = 20

// cause is the last in the chain of causes in a FetchErrorDetailsResponse: root_error_idx = 1, errors = 2 {error_type_hierarchy = 1, message = 2,
// cause_idx = 4}. It is empty if the error has no other cause than itself.
func cause(raw []byte) string {
	var all [][]byte
	root := uint64(0)
	wire.Fields(raw, func(number protowire.Number, n uint64, part []byte) {
		if number == 1 {
			root = n
		}
		if number == 2 {
			all = append(all, part)
		}
	})
	at, text := root, ""
	for range deepest {
		if at >= uint64(len(all)) {
			break
		}
		kind, message, next := "", "", uint64(len(all))
		wire.Fields(all[at], func(number protowire.Number, n uint64, part []byte) {
			switch {
			case number == 1 && kind == "":
				kind = string(part[bytes.LastIndexByte(part, '.')+1:])
			case number == 2:
				message = string(part)
			case number == 4:
				next = n
			}
		})
		if _, line := explain(message, "", ""); at != root && line != "" {
			text = kind + ": " + line
		}
		at = next
	}
	return text
}
