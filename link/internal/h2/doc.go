// Package h2 speaks HTTP/2 (RFC 9113) on both sides of fiso-link: a listener for
// applications with prior knowledge (h2c), and a transport to targets.
//
// Frames, HPACK and flow control are a library's: the server is net/http's, and
// the client golang.org/x/net/http2, which is ahead of net/http's; both have the
// mending of their floods (CVE-2023-44487, CVE-2023-45288, CVE-2025-8671) with
// every release. What they let through, and http1 would not, is refused here. The
// server stands behind a listener that hands over connections which http1 has
// recognised; http.ClientConn is one connection to a target, and does not send a
// request again. Which connection a call gets is this package's own (pool).
//
// The client's locks are not ours, and it has locked itself before. So each attempt
// calls it from a goroutine of its own, which its call leaves behind where it does
// not come back; its connection is given up then (attempt, pooled.abandon).
//
// A connection of an application is served until it ends, and ServeConn waits for
// the calls on it. A connection to a target is dialled by a goroutine of the
// Transport, which Close waits for, because others wait for it beside the call
// that needed it first; the wait is bounded. A body that streams to a target has a goroutine (sending)
// that ends with the body, or when its owner interrupts it.
package h2
