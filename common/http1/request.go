package http1

import (
	"context"
	"io"
	"net"
)

// Request is what an application sent. A listener makes it, checks that it is
// well formed, and keeps it unchanged until its handler returns.
type Request struct {
	Method string
	// Target is the request target as it came, in origin-form: a path, and a
	// query where there is one. A listener refuses every other form.
	Target string
	Host   string // of the Host field, or :authority
	Header Header // without Host, Content-Length and Transfer-Encoding in HTTP/1.1
	HTTP2  bool
	Remote net.Addr
	// Body is never nil. Reading it sends the 100 (Continue) that the caller
	// waits for. It fails once the listener's deadline for bodies passed.
	Body io.Reader
	// Length is that of the body; -1: chunked, or a stream.
	Length int64
	// Interrupt ends a Read of Body that waits, and makes those that follow
	// fail: the answer no longer needs the rest. It may be called from any
	// goroutine.
	Interrupt func()
	// Trailer is the trailer, once Body gave io.EOF. nil: there will be none.
	Trailer func() Header
	// Upgrade is the protocol that a well-formed upgrade of HTTP/1.1 asks for,
	// as it was spelt; "" when there is none.
	Upgrade string
}

// ResponseWriter answers a Request. It is used by one goroutine at a time.
// Errors are those of the application's connection.
type ResponseWriter interface {
	// Inform sends an interim answer (1xx but 101).
	Inform(status int, h Header) error
	// Head sends, or gets ready to send, the head of the answer. It is called
	// once. length is that of the body, or -1. Framing and Connection are
	// the writer's own: h must not hold them.
	Head(status int, h Header, length int64) error
	// Write sends a part of the body; it may be held back until Flush or End.
	Write(p []byte) (int, error)
	Flush() error
	// End ends a complete answer, with a trailer where the protocol has a
	// place for it. An answer that was begun and is not ended is cut off, so
	// that nobody takes it for whole.
	End(trailer Header) error
	// Bound has ctx end writes that wait for the application, in place of the
	// listener's own limit: how long an answer may take, its call says. After
	// Unbound the listener's own limit is in force again, for what fiso-link
	// answers itself.
	Bound(ctx context.Context)
	Unbound()
	// Begun reports whether Head was called.
	Begun() bool
	// Upgrade answers 101 with h, and gives the connection over: what is read
	// and written from then on is the other protocol's. HTTP/1.1 only. The
	// caller closes it.
	Upgrade(h Header) (io.ReadWriteCloser, error)
}

// Handler answers calls. ctx ends when the application goes away or the
// listener stops for good.
type Handler interface {
	ServeCall(ctx context.Context, w ResponseWriter, r *Request)
}
