package http1

import (
	"context"
	"io"
	"net"
)

// Request is a well-formed request of an application. The listener that made it does not
// change it until the handler returns.
type Request struct {
	Method  string
	Target  string // in origin-form, as it was received
	Host    string // of the Host field, or :authority
	Header  Header // without Host, Content-Length and Transfer-Encoding in HTTP/1.1
	HTTP2   bool
	Remote  net.Addr
	Upgrade string // the protocol that a well-formed upgrade of HTTP/1.1 asks for; "": none
	// Body is never nil. Reading it sends the 100 (Continue) that the application waits
	// for. A read fails after the listener's deadline for bodies.
	Body   io.Reader
	Length int64 // of the body; -1: unknown
	// Interrupt ends a Read of Body that waits, and makes later ones fail. It may be
	// called from any goroutine.
	Interrupt func()
	// Trailer returns the trailer after Body gave io.EOF. nil: there is none.
	Trailer func() Header
}

// ResponseWriter answers a Request. It is used by one goroutine at a time. Its errors are
// those of the application's connection.
type ResponseWriter interface {
	// Inform sends an interim answer: any 1xx but 101.
	Inform(status int, h Header) error
	// Head begins the answer, and may send its head later. It is called once. length is
	// that of the body, or -1. h must not hold framing or Connection.
	Head(status int, h Header, length int64) error
	// Write sends a part of the body, or holds it back until Flush or End.
	Write(p []byte) (int, error)
	Flush() error
	// End completes the answer, with a trailer if the protocol allows it. An answer
	// without End is cut off, so that it cannot be taken for a complete one.
	End(trailer Header) error
	// Bound makes the end of ctx end writes that wait for the application, in place of
	// the listener's timeout for writes. Unbound restores that timeout.
	Bound(ctx context.Context)
	Unbound()
	// Begun reports whether Head or Upgrade was called.
	Begun() bool
	// Upgrade answers 101 with h and returns the connection, which the caller closes.
	// HTTP/1.1 only.
	Upgrade(h Header) (io.ReadWriteCloser, error)
}

// Handler answers calls. ctx ends when the application goes away, or when Shutdown has
// no more time.
type Handler interface {
	ServeCall(ctx context.Context, w ResponseWriter, r *Request)
}
