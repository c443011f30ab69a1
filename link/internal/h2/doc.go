// Package h2 speaks HTTP/2 (RFC 9113) on both sides of fiso-link: a listener for
// applications with prior knowledge (h2c), and a transport to targets.
//
// A library handles frames, HPACK and flow control. The server is net/http's. The
// client is golang.org/x/net/http2, in which a deadlock of net/http's client is
// mended. Both get the fixes against floods (CVE-2023-44487, CVE-2023-45288,
// CVE-2025-8671) with every release. This package refuses what they let through
// and http1 would not. The server runs behind a listener that hands over
// connections which http1 has recognised. http.ClientConn is one connection to a
// target, and does not send a request again. The pool of this package chooses the
// connection of a call.
//
// The locks of the client have deadlocked before. So each attempt calls the client
// from its own goroutine, which the call leaves behind if it does not return. The
// connection is then given up (attempt, pooled.abandon).
//
// A connection of an application is served until it ends, and ServeConn waits for
// the calls on it. A goroutine of the Transport dials a connection to a target,
// because other calls may wait for it beside the one that needed it first; Close
// waits for it, up to a limit. A request body that streams to a target has a
// goroutine (requestBodyReader), which ends with the body or when the owner of
// the body interrupts it.
package h2
