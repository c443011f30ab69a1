// Package h2 speaks HTTP/2 (RFC 9113) on both sides of fiso-link: a listener for
// applications with prior knowledge (h2c), and a transport to targets.
//
// Frames, HPACK and flow control are net/http's, which has the mending of its
// floods (CVE-2023-44487, CVE-2023-45288, CVE-2025-8671) with every release of
// Go; what it lets through, and h1 would not, is refused here. Its server stands
// behind a listener that hands over connections which h1 has recognised; its
// ClientConn is one connection to a target, and does not send a request again.
// Which connection a call gets is this package's own (pool).
//
// A connection of an application is served until it ends, and ServeConn waits for
// the calls on it. A connection to a target is dialled by a goroutine of the
// Transport, which Close waits for, because others wait for it beside the call
// that needed it first. A body that streams to a target has a goroutine (sending)
// that ends with the body, or when its owner interrupts it.
package h2
