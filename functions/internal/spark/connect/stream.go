package connect

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/almanac-data/almanac/functions/internal/spark/wire"
)

// Stream is the result of a plan while Spark computes it.
type Stream struct {
	session   *Session
	operation string
	ctx       context.Context //nolint:containedctx // a stream is a query under way
	end       context.CancelCauseFunc
	stream    grpc.ClientStream
	answer    proto.Message
	progress  func(Progress)
	began     time.Time
	complete  bool // the result was read to its end
	failed    bool // the server has ended the execution by an error
	beats     sync.WaitGroup
	stop      chan struct{}
}

// Execute runs a plan. Progress, if not nil, is called from Next, some seconds apart. The caller closes the stream.
//
// The execution is not one that can be reattached: such a stream ends after two minutes, and the library's way to go on does not work.
func (s *Session) Execute(ctx context.Context, p Plan, progress func(Progress)) (_ *Stream, err error) {
	plan, err := p.encode()
	if err != nil {
		return nil, err
	}
	st := &Stream{session: s, operation: newID(), progress: progress, stop: make(chan struct{})}
	request, err := s.request("ExecutePlanRequest", wire.Object{"operationId": st.operation, "plan": wire.Object{}})
	if err != nil {
		return nil, err
	}
	if at, ok := wire.Get(request, "plan"); ok {
		at.Message().SetUnknown(plan)
	}
	if st.answer, err = wire.New("ExecutePlanResponse"); err != nil {
		return nil, err
	}
	st.ctx, st.end = context.WithCancelCause(ctx)
	st.stream, err = s.client.conn.NewStream(st.ctx, //nolint:contextcheck // made of ctx, two lines above
		&grpc.StreamDesc{ServerStreams: true}, service+"ExecutePlan")
	if err == nil {
		err = st.stream.SendMsg(request)
	}
	if err == nil {
		err = st.stream.CloseSend()
	}
	if err != nil && !errors.Is(err, io.EOF) { // of io.EOF the cause comes with the answer
		return nil, errors.Join(translate(ctx, err), st.Close(ctx))
	}
	st.began = time.Now()
	st.beats.Go(st.keep)
	return st, nil
}

// missed is how many beats in a row may fail before the stream is given up.
const missed = 3

// keep touches the session until the stream is closed, and ends the stream if the server does not answer.
func (st *Stream) keep() {
	tick := time.NewTicker(st.session.client.beat)
	defer tick.Stop()
	for failed := 0; ; {
		select {
		case <-st.stop:
			return
		case <-st.ctx.Done():
			return
		case <-tick.C:
		}
		err := st.session.touch(st.ctx)
		if err == nil {
			failed = 0
			continue
		}
		if failed++; failed == missed {
			st.end(fmt.Errorf("spark does not answer: %w", err))
			return
		}
	}
}

// Next is the next batch: a whole Arrow IPC stream, valid until the next call. At the end of the result it is io.EOF.
func (st *Stream) Next() ([]byte, error) {
	for {
		err := st.stream.RecvMsg(st.answer)
		st.complete = errors.Is(err, io.EOF)
		if err != nil {
			st.failed = !st.complete && st.ctx.Err() == nil
			return nil, st.session.because(st.ctx, translate(st.ctx, err))
		}
		if raw := wire.Unknown(st.answer, fieldProgress); raw != nil && st.progress != nil {
			st.progress(parseProgress(raw))
		}
		if data, ok := wire.Get(st.answer, "arrow_batch", "data"); ok {
			return data.Bytes(), nil
		}
	}
}

// settle is for how long a plan is not interrupted. Interrupted while it plans, Spark submits the first stages all the same, in another thread,
// and nothing that a client can say stops them afterwards.
const settle = 2 * time.Second

// Close ends the stream and, if its result was not read to its end, the execution. It does so also after ctx has ended, and waits until the
// execution is two seconds old.
func (st *Stream) Close(ctx context.Context) error {
	close(st.stop)
	var err error
	if !st.complete {
		if !st.failed {
			time.Sleep(time.Until(st.began.Add(settle)))
		}
		err = st.session.interrupt(context.WithoutCancel(ctx), st.operation)
	}
	st.end(nil)
	st.beats.Wait()
	return err
}
