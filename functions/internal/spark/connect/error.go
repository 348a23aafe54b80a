package connect

import (
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/apache/spark-connect-go/v35/spark/sparkerrors"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Error is what Spark, or the way to it, says about a call. It holds no SQL text.
type Error struct {
	Class  string     // such as DIVIDE_BY_ZERO; empty if Spark did not say it
	State  string     // SQLSTATE
	Code   codes.Code // Internal whatever Spark itself says: look at the class
	Line   int        // of the text, from 1; 0 if not known
	Detail string

	id string // by which the server tells more of it
}

func (e *Error) Error() string {
	if e.Class == "" {
		return fmt.Sprintf("spark: %s (%s)", e.Detail, e.Code)
	}
	if e.State == "" {
		return fmt.Sprintf("spark: [%s] %s", e.Class, e.Detail)
	}
	return fmt.Sprintf("spark: [%s] %s (SQLSTATE %s)", e.Class, e.Detail, e.State)
}

// Mistake says whether the text is wrong, or what it does with the rows it meets: no retry can help. Everything else may pass: a lost
// connection or session, a file that cannot be read, an executor that died, no memory.
func (e *Error) Mistake() bool {
	root, _, _ := strings.Cut(e.Class, ".")
	switch root {
	case "PATH_NOT_FOUND", "FAILED_READ_FILE", "INVALID_HANDLE", "OPERATION_CANCELED":
		return false
	case "":
		return false
	}
	if len(e.State) < 2 {
		return false
	}
	switch e.State[:2] {
	case "42", // syntax, names and types
		"22", // data: division by zero, overflow, a cast that fails
		"21", // more than one row where one is wanted
		"0A", // a feature that is not there
		"P0": // raise_error
		return true
	}
	return false
}

// Passing says whether the same may succeed a little later, by itself: the server is not there, or does not answer in time. A certificate or
// a token that is not taken is for a person to mend.
func Passing(err error) bool {
	if errors.Is(err, context.DeadlineExceeded) {
		return true
	}
	e, ok := errors.AsType[*Error](err)
	if !ok {
		return false
	}
	switch e.Code {
	case codes.Unavailable, codes.DeadlineExceeded, codes.Aborted, codes.ResourceExhausted:
		return !slices.ContainsFunc(lasting, func(text string) bool { return strings.Contains(e.Detail, text) })
	default:
		return false
	}
}

// lasting are pieces of errors that gRPC makes texts of, and that no waiting helps.
var lasting = []string{"x509: ", "read token: ", notTLS}

const notTLS = "first record does not look like a TLS handshake"

// translate makes an Error of what a call gives back. Where ctx has ended, its cause comes first; io.EOF and nil are left alone.
func translate(ctx context.Context, err error) error {
	if err == nil || errors.Is(err, io.EOF) {
		return err
	}
	e := &Error{Code: codes.Unknown, Detail: err.Error()}
	if _, ok := status.FromError(err); ok {
		said := sparkerrors.FromRPCError(err)
		e = &Error{Class: said.ErrorClass, State: said.SqlState, Code: said.Code, id: said.ErrorId}
		e.Line, e.Detail = explain(said.Message, said.ErrorClass, said.SqlState)
		if e.Code == codes.Unauthenticated || e.Code == codes.PermissionDenied {
			e.Detail += "; see to the token that Spark wants (ALMANAC_SPARK_TOKEN_FILE)"
		}
		if e.Code == codes.Unavailable {
			e.Detail += "; see to the server that ALMANAC_SPARK names, and to the way there"
		}
		if strings.Contains(said.Message, "spark.driver.maxResultSize") {
			e.Detail += "; the result is larger than what Spark's driver takes: let it be made in parts (part_by in pipeline.yaml, and a smaller part_rows" +
				" if it is already), or raise spark.driver.maxResultSize and spark.driver.memory"
		}
		if ended(said.Message) {
			e.Detail += "; the server works, but its Spark application has ended, as its log tells: start the server anew" +
				" (spark.yarn.am.clientModeExitOnError=true ends it by itself, for a supervisor to see)"
		}
		if strings.Contains(said.Message, "Token has expired") || strings.Contains(said.Message, "can't be found in cache") {
			e.Detail += "; Spark's delegation token of HDFS was not made anew in time, and Spark may never try again: start its Connect server anew, and see" +
				" that it has spark.hadoop.dfs.client.retry.policy.enabled=true"
		}
		if strings.Contains(e.Detail, "expired or is not yet valid") { // gRPC makes a text of it
			e.Detail += "; see the clock of this machine, and the certificate of the server (ALMANAC_SPARK)"
		}
		if strings.Contains(e.Detail, notTLS) {
			e.Detail += "; that port does not speak TLS: name the one that does in ALMANAC_SPARK, or leave ALMANAC_SPARK_CA unset if the way is safe without"
		}
	}
	if ctx.Err() != nil {
		return fmt.Errorf("%w: %w", context.Cause(ctx), e)
	}
	return e
}

// ended says whether a message is that of a server whose application has ended: YARN has killed it, for example. Such a server goes on to
// take calls, and fails at each.
func ended(message string) bool {
	return strings.Contains(message, "on a stopped SparkContext") || strings.HasPrefix(message, "Application error processing RPC")
}

var (
	place = regexp.MustCompile(`\(?line (\d+),? pos(?:ition)? \d+\)?`)
	state = regexp.MustCompile(`[.;]?\s*SQLSTATE: \w+`)
)

// explain takes the line of the text and the plain words out of a message, which may go on with the text itself, the plan, or a stack.
func explain(message, class, sqlState string) (line int, detail string) {
	if at := place.FindStringSubmatch(message); at != nil {
		line, _ = strconv.Atoi(at[1])
	}
	for _, end := range []string{"This stopped SparkContext was created at", "== SQL", "\n'", "\n+-", "\n\tat ", "\nJVM stacktrace", "\n== "} {
		message, _, _ = strings.Cut(message, end)
	}
	if sqlState != "" {
		if at := state.FindStringIndex(message); at != nil {
			message = message[:at[0]]
		}
	}
	message = strings.TrimPrefix(strings.TrimSpace(message), "["+class+"]")
	return line, strings.Join(strings.Fields(message), " ")
}
