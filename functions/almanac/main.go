// Command almanac is the operator's command, and all functions in one process.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

// version is set by the linker.
var version = "unknown"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := exitCode(newRoot(os.Stdout, os.Stderr).ExecuteContext(ctx))
	stop()
	os.Exit(code)
}

// exitCode prints what went wrong, once, and says it by a number: 1 failed, 2 wrong use, 3 done but a person is asked for.
func exitCode(err error) int {
	if err == nil {
		return 0
	}
	if coded, ok := errors.AsType[*codedError](err); ok {
		if coded.err != nil {
			fmt.Fprintln(os.Stderr, "almanac: "+coded.err.Error())
		}
		return coded.code
	}
	fmt.Fprintln(os.Stderr, "almanac: "+err.Error())
	return 1
}
