// Package http1 speaks HTTP/1.1 (RFC 9112) on both sides. It is for programs that
// mediate: fiso-link uses both halves, the sink of connectors/http the client half.
// README.md says rule by rule what it accepts and refuses.
//
// # Reading
//
// A message is copied once: its head into a string, which is parsed in head.go and
// fields.go; its body goes through the connection's buffer (buffer.go, body.go). Both
// halves refuse what two readers could end in different places. The client takes the
// rest of what RFC 9112 has a client take, and reads nothing more from a connection
// on which an answer was odd.
//
// # Server
//
// ServeConn is one goroutine a connection. It waits for a request (serverwait.go), has
// the Handler answer it (serverconn.go, serverbody.go, serverwriter.go), and waits for
// the next one. A call that takes long gets a second goroutine (serverwatch.go), which
// notices that the client goes away and ends the call's context. A client that has
// ended its side of the connection alone is sent 100 (Continue), to which a closed
// connection answers with a reset. In HTTP/1.0, and once the answer has begun, writes
// or TCP keep-alive show it; in a stream of events, and elsewhere than on Linux, the
// end of a side counts as leaving.
//
// # Client
//
// RoundTrip takes an unused connection from the pool (clientpool.go), or dials
// (transport.go). It looks whether the server closed the connection or sent anything
// since, and writes the request (clientsend.go). A body that streams, and what the
// system does not take at once, is sent by a goroutine (clientstream.go), because the
// server may answer first. Closing the body of the answer (clientanswer.go) gives the
// connection back.
//
// # Speed
//
// A short call costs system calls. On Unix without TLS the look, the write and the wait
// for the answer are one use of the descriptor (socket_unix.go), so that no read comes
// too soon. On Linux a connection that waits for a request has no buffer
// (serveridle_linux.go). Deadlines move only when they are due. The client does not
// parse the head of an answer that is the same as the last one of its connection.
package http1
