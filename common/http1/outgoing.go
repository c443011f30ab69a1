package http1

import (
	"io"
	"time"
)

// Outgoing is one attempt at a target.
type Outgoing struct {
	Method string
	Path   string // canonical, with the base path; never empty
	Query  string // byte for byte, without "?"
	// ForceQuery says that there is a "?" with nothing behind it.
	ForceQuery bool
	Host       string // of the Host field, or :authority
	Header     Header // end-to-end fields only; framing is the transport's
	// Kept is the whole body where it is at hand; Body is nil then.
	Kept []byte
	// Body is a body that streams, nil where there is none. The transport
	// closes it once it reads no more of it, which may be after RoundTrip has
	// returned, and whether or not it succeeded.
	Body    io.ReadCloser
	Length  int64         // of the body; -1: a stream, whose end the transport marks
	Trailer func() Header // read once Body gave io.EOF; nil: none
	Upgrade string        // "websocket", or ""
	// Raw is the whole request as it is sent, head and body, in place of all fields
	// above but Method. Sent is called once when Raw is read no more.
	Raw  []byte
	Sent func()
	// Deadline ends the attempt, the body of its answer included; zero: only its
	// context does.
	Deadline time.Time
	// NewConnection has the attempt made on a new connection.
	NewConnection bool
	// Borrow has the attempt return an Answer that is used again: it is valid until
	// its Body is closed, once, and its Header is not to be changed.
	Borrow bool
}

// Answer is what a target answered. Its body is read by one goroutine, and
// closed by whoever has the Answer; closing it early drops the connection.
type Answer struct {
	Status  int
	Header  Header // without framing in HTTP/1.1; hop-by-hop fields are dropped
	Body    io.ReadCloser
	Length  int64 // -1: until its end
	Trailer func() Header
	// Ready says that the next Read will not wait for the target; nil: unknown.
	// It is for whoever reads the body, until it is closed.
	Ready func() bool
	// Upgraded is the connection after 101, which the caller closes; nil
	// otherwise.
	Upgraded io.ReadWriteCloser
	Reused   bool // the connection had served before
	Closes   bool // the connection ends with the answer
	Partial  bool // not all of Raw was sent before the answer began
}

// Reason says in one word why an attempt failed.
type Reason string

// The reasons.
const (
	ReasonConnect Reason = "connect" // no connection, TLS included
	ReasonTimeout Reason = "timeout" // an own limit passed; not the caller's leaving
	ReasonReset   Reason = "reset"   // the connection broke
	ReasonGarbage Reason = "garbage" // the answer is not HTTP, or breaks its rules
	ReasonBody    Reason = "body"    // the application's body could not be read
	ReasonUnfit   Reason = "unfit"   // the request cannot be said in the target's protocol; nothing was sent
	ReasonGone    Reason = "gone"    // the application went away, or we are stopping
)

// Error is a failed attempt.
type Error struct {
	Reason Reason
	// Sent says that a byte of the request may have reached the target, so
	// that it may have acted on it.
	Sent bool
	// Unseen says that nothing of an answer came on a connection that had served
	// before. Servers close idle connections, and a request may cross the closing.
	Unseen bool
	// Status is that of an answer of which only the end could not be found; 0: there
	// was none.
	Status int
	Err    error // never holds a header, a query or a body
}

func (e *Error) Error() string { return string(e.Reason) + ": " + e.Err.Error() }

// Unwrap is the cause.
func (e *Error) Unwrap() error { return e.Err }
