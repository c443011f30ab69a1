package call

import (
	"context"
	"errors"
	"io"
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
}

// Transport makes attempts at one target. It is safe for concurrent use.
type Transport interface {
	// RoundTrip sends out to the endpoint and returns when the head of the
	// answer is there, or with an error of type *Error. ctx covers the
	// attempt, the body of the answer included. It makes one attempt, and
	// never sends a request twice, whatever happens to a connection: how
	// often a call is made is not its business.
	// interim gets 1xx answers on the way; nil drops them.
	RoundTrip(ctx context.Context, endpoint string, out *Outgoing, interim func(status int, h Header)) (*Answer, error)
	// Close closes idle connections, and lets those in use end.
	Close()
}

// Reason says in one word why an attempt failed; retry.on speaks of them.
type Reason string

// The reasons.
const (
	Connect Reason = "connect" // no connection, TLS included
	Timeout Reason = "timeout" // an own limit passed; not the caller's leaving
	Reset   Reason = "reset"   // the connection broke
	// Unserved is a connection that takes no further request, as connections
	// come to: nothing was sent, and it says nothing of the target.
	Unserved Reason = "unserved"
	// Refused is a request that the target refused before it acted on it
	// (REFUSED_STREAM).
	Refused Reason = "refused"
	Garbage Reason = "garbage" // the answer is not HTTP, or breaks its rules
	Body    Reason = "body"    // the application's body could not be read
	Unfit   Reason = "unfit"   // the request cannot be said in the target's protocol; nothing was sent
	Gone    Reason = "gone"    // the application went away, or we are stopping
)

// Error is a failed attempt.
type Error struct {
	Reason Reason
	// Sent says that a byte of the request may have reached the target, so
	// that it may have acted on it.
	Sent bool
	Err  error // never holds a header, a query or a body
}

func (e *Error) Error() string { return string(e.Reason) + ": " + e.Err.Error() }

// Unwrap is the cause.
func (e *Error) Unwrap() error { return e.Err }

// ReasonOf is the reason of a failed attempt; Reset for an error without one.
func ReasonOf(err error) Reason {
	var e *Error
	if errors.As(err, &e) {
		return e.Reason
	}
	return Reset
}
