// Package h1 speaks HTTP/1.1 (RFC 9112) on both sides of fiso-link: a listener
// for applications, and a transport to targets.
//
// Both read strictly. What two readers could understand in two ways is refused:
// a length beside chunks, two lengths, bare line feeds and carriage returns,
// folded lines, space before a colon, chunk extensions. A listener answers 400
// and closes; a transport gives the answer up. One request in is at most one
// request out (https://github.com/golang/go/issues/71988,
// https://github.com/narfindustries/http-garden).
//
// A connection of an application is one goroutine, which reads a request, has it
// answered, and reads the next. A second one (watch) looks for the application's
// leaving while a call takes long; it ends before the call does. A call to a
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
package h1
