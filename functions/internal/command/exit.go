package command

import (
	"errors"
	"fmt"
	"io"
)

// Exit codes.
const (
	Failed    = 1
	Usage     = 2 // wrong use
	Attention = 3 // done, but something waits for a person
)

// codedError ends the process with a code of its own.
type codedError struct {
	code int
	err  error
}

// Exit is an error that ends the process with a code of its own. Where err is nil, nothing is said.
func Exit(code int, err error) error { return &codedError{code, err} }

func (e *codedError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit %d", e.code)
	}
	return e.err.Error()
}

func (e *codedError) Unwrap() error { return e.err }

// Report writes what went wrong, once, and gives the exit code: that of Exit, 0 where there is no error, else Failed.
func Report(w io.Writer, err error) int {
	if err == nil {
		return 0
	}
	code := Failed
	if coded, ok := errors.AsType[*codedError](err); ok {
		code, err = coded.code, coded.err
	}
	if err != nil {
		_, _ = fmt.Fprintln(w, "almanac: "+err.Error()) // see Printf
	}
	return code
}
