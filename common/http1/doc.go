// Package http1 speaks HTTP/1.1 (RFC 9112) on both sides: a Server of connections,
// and a Transport to servers. It is for programs that mediate: fiso-link, and the
// sink of connectors/http.
//
// Both are strict where two readers could differ on where a message ends: a length
// beside chunks, two lengths, bare line feeds and carriage returns, folded lines,
// space before a colon of a request. A listener answers 400 and closes; a transport
// gives the answer up. One request in is at most one request out
// (https://github.com/golang/go/issues/71988,
// https://github.com/narfindustries/http-garden).
//
// Both are lenient where RFC 9112 says that a reader must be, as nothing of what they
// mend goes on: extensions of chunks are ignored as long as they are well formed, for
// the same reason (7.1.1), as are zeros before a size and, in an answer, space behind
// it; space before a colon of an answer is removed (5.1); up to four empty lines before
// a request are ignored (2.2). A query goes on byte for byte, also beyond ASCII.
//
// A connection of an application is one goroutine, which reads a request, has it
// answered, and reads the next. A second one (watch) looks for the application's
// leaving while a call takes long; it ends before the call does. An application that
// has only ended its side of the connection gets its answer; one that has closed it
// is told apart by 100 (Continue), which it resets, and its call is cancelled. Once
// the answer has begun, or in HTTP/1.0, what is written next shows it, or keep-alive
// of TCP; in a stream of events, and elsewhere than on Linux, the end of a side counts
// as leaving. A call to a
// target has a goroutine of its own (sending) only where its body streams; it
// ends with the body or with the connection, and closing the body says so.
//
// Heads are copied once into a string; bodies go through the connection's buffer.
//
// What a short call costs is system calls: two writes, two reads, a look whether
// the target's connection is still open, and at times a read that came too soon.
// A request is written in the same turn in which its answer is waited for (turn), a
// connection that waits for a request has no buffer (rest), and deadlines move
// only when they are due.
package http1
