package http1

import (
	"io"
	"time"
)

// Outgoing is one attempt at a target.
type Outgoing struct {
	Method     string
	Path       string // canonical, with the base path; never empty
	Query      string // as it is sent, without "?"
	ForceQuery bool   // send "?" even if Query is empty
	Host       string // of the Host field, or :authority
	Header     Header // end-to-end fields only, without framing
	Kept       []byte // the whole body; Body is nil then
	// Body is a body that streams; nil: none. The transport always closes it when it
	// reads no more of it, which may be after RoundTrip has returned.
	Body    io.ReadCloser
	Length  int64         // of the body; -1: unknown
	Trailer func() Header // called after Body gave io.EOF; nil: none
	Upgrade string        // "websocket", or ""
	// Raw is the whole request as it is sent, head and body. All fields above but Method
	// are ignored then. Sent is called once, when Raw is no longer read.
	Raw           []byte
	Sent          func()
	Deadline      time.Time // ends the attempt and the body of its answer; zero: only ctx does
	NewConnection bool      // use no connection of the pool
	// Borrow makes RoundTrip return an Answer that is reused: it is valid until its Body
	// is closed, once, and its Header must not be changed.
	Borrow bool
}

// Answer is the answer of a target. Body is read by one goroutine and must be closed.
// Closing it before its end drops the connection.
type Answer struct {
	Status  int
	Header  Header // without hop-by-hop fields, and without framing in HTTP/1.1
	Body    io.ReadCloser
	Length  int64 // of the body; -1: unknown
	Trailer func() Header
	// Ready reports that the next Read will not wait for the target; nil: unknown. Only
	// the reader of Body calls it, until Body is closed.
	Ready    func() bool
	Upgraded io.ReadWriteCloser // the connection after a 101, which the caller closes
	Reused   bool               // the connection had served an earlier attempt
	Closes   bool               // the connection ends with the answer
	Partial  bool               // not all of Raw was sent before the answer began
}

// Reason classifies why an attempt failed.
type Reason string

// The reasons.
const (
	ReasonConnect Reason = "connect" // no connection, TLS included
	ReasonTimeout Reason = "timeout" // a deadline passed
	ReasonReset   Reason = "reset"   // the connection broke
	ReasonGarbage Reason = "garbage" // the answer is not HTTP, or breaks its rules
	ReasonBody    Reason = "body"    // the application's body could not be read
	ReasonUnfit   Reason = "unfit"   // the request cannot be written in the target's protocol; nothing was sent
	ReasonGone    Reason = "gone"    // ctx was cancelled: the application went away, or the process stops
)

// Error is a failed attempt.
type Error struct {
	Reason Reason
	Sent   bool // a byte of the request may have reached the target, which may have acted on it
	// Unseen says that a used connection broke without a byte of an answer. A server that
	// closes an idle connection while a request is on its way looks like this.
	Unseen bool
	Status int   // of an answer whose body has no certain end; 0: there was none
	Err    error // never holds a header, a query or a body
}

func (e *Error) Error() string { return string(e.Reason) + ": " + e.Err.Error() }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }
