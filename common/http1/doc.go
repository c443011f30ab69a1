// Package http1 speaks HTTP/1.1 (RFC 9112) as a server and as a client, for programs
// that mediate: fiso-link uses both, the sink of connectors/http the client. README.md
// lists what the package accepts and refuses.
//
// # Reading
//
// Both halves refuse a message whose end two readers could find in different places. The
// client accepts everything else that RFC 9112 tells a client to accept, but closes the
// connection after an answer that others may read differently. A head is copied into one
// string and parsed by head.go and framing.go. A body is read through the connection's
// buffer (buffer.go, body.go, chunk.go).
//
// # Server
//
// ServeConn serves one connection in the caller's goroutine: it waits for a request
// (serverwait.go), calls the Handler, writes the answer (serverwriter.go), and waits
// again. A long call gets a second goroutine that notices when the application goes away
// (serverwatch.go).
//
// # Client
//
// RoundTrip takes a connection from the pool (clientpool.go), or dials (transport.go). It
// looks whether the server has closed the connection or sent anything since, and writes
// the request (clientsend.go). A goroutine sends a body that streams, and what the system
// does not take at once (clientstream.go), because the server may answer first. Closing
// the body of the answer returns the connection (clientanswer.go).
//
// # Speed
//
// e2e/bench/JOURNAL.md has the measurements: look, write and wait in one use of the
// descriptor (socket.go), idle connections without buffers (serveridle.go), and heads of
// answers that are not parsed again (clienthead.go).
package http1
