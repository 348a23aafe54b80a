package remote

import (
	"errors"
	"io/fs"
	"strings"
	"syscall"
)

// Error is an exception that a NameNode or DataNode answered with: so, but for Unclear ones, what was asked for was not done.
type Error struct {
	Class   string // of Java, without its package
	Message string // first line
}

// NewError makes an Error of a Java class name, with or without its package, and a message with or without a stack trace.
func NewError(class, message string) *Error {
	line, _, _ := strings.Cut(strings.TrimSpace(message), "\n")
	class = class[strings.LastIndexAny(class, ".$")+1:]
	// An RPC server behind WebHDFS or a router packs one exception into another.
	if class == "RemoteException" || class == "RetriableException" {
		if inner, _, ok := strings.Cut(strings.TrimPrefix(line, "org.apache."), ": "); ok && strings.HasSuffix(inner, "Exception") {
			class = inner[strings.LastIndexAny(inner, ".$")+1:]
		}
	}
	return &Error{Class: class, Message: line}
}

// kinds are the exceptions that stand for an error of Go.
var kinds = map[string]error{
	"FileNotFoundException":            fs.ErrNotExist,
	"FileAlreadyExistsException":       fs.ErrExist,
	"AlreadyBeingCreatedException":     fs.ErrExist,
	"AccessControlException":           fs.ErrPermission,
	"SecurityException":                fs.ErrPermission,
	"AuthorizationException":           fs.ErrPermission,
	"PathIsNotEmptyDirectoryException": syscall.ENOTEMPTY,
	"ParentNotDirectoryException":      syscall.ENOTDIR,
	"IllegalArgumentException":         fs.ErrInvalid,
	"HadoopIllegalArgumentException":   fs.ErrInvalid,
	"InvalidPathException":             fs.ErrInvalid,
}

// Unwrap is the error of Go that the exception stands for, or nil.
func (e *Error) Unwrap() error { return kinds[e.Class] }

// hints say what a person can do.
var hints = map[string]string{
	"SafeModeException": "HDFS is in safe mode and takes no changes: wait until enough DataNodes have reported, " +
		"or see `hdfs dfsadmin -safemode get` and the NameNode's log",
	"StandbyException":                    "the NameNode is in standby: name all NameNodes, and see that one is active",
	"NSQuotaExceededException":            "the folder may hold no more names: raise it by `hdfs dfsadmin -setQuota`, or delete what is not needed",
	"DSQuotaExceededException":            "the folder's space is used up: raise it by `hdfs dfsadmin -setSpaceQuota`, or delete what is not needed",
	"QuotaByStorageTypeExceededException": "the folder's space of that storage type is used up: raise it by `hdfs dfsadmin -setSpaceQuota -storageType`",
	"AccessControlException":              "see who owns the folder (`hdfs dfs -ls -d`) and as whom Almanac logs in",
}

// Error is the class, the message and what to do.
func (e *Error) Error() string {
	text := e.Class
	if e.Message != "" && !strings.HasPrefix(e.Message, e.Class) {
		text += ": " + e.Message
	}
	hint := hints[e.Class]
	if strings.Contains(e.Message, "could only be written to 0 of the") {
		hint = "no DataNode takes the block: see that DataNodes run and have space (`hdfs dfsadmin -report`)"
	}
	if hint != "" {
		text += "; " + hint
	}
	return text
}

// Passing says whether the same may well succeed a little later: while a NameNode starts or fails over, and while no DataNode
// can take or give a block.
func (e *Error) Passing() bool {
	switch e.Class {
	case "SafeModeException", "StandbyException", "ObserverRetryOnActiveException", "RetriableException", "NotReplicatedYetException",
		"ServerTooBusyException", "BlockMissingException", "CannotObtainBlockLengthException":
		return true
	}
	for _, text := range []string{"could only be written to 0 of the", "All datanodes ", "does not have enough number of replicas"} {
		if strings.Contains(e.Message, text) {
			return true
		}
	}
	return e.relayed()
}

// relayed says whether a server answers that another did not answer it, as a DataNode behind WebHDFS does while the NameNode is away.
func (e *Error) relayed() bool {
	switch e.Class {
	case "ConnectException", "ConnectTimeoutException", "SocketException", "SocketTimeoutException", "EOFException", "NoRouteToHostException", "ClosedChannelException":
		return true
	}
	return false
}

// Unclear says whether an error leaves open if what was asked for was done: everything but the answer of the server that would
// have done it, and an UnsentError.
func Unclear(err error) bool {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.relayed()
	}
	_, unsent := errors.AsType[*UnsentError](err)
	return err != nil && !unsent
}

// UnsentError is an error from before the request left this machine.
type UnsentError struct{ Err error }

// Error is the reason.
func (u *UnsentError) Error() string { return u.Err.Error() }

// Unwrap is the reason.
func (u *UnsentError) Unwrap() error { return u.Err }
