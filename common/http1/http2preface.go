package http1

import (
	"errors"
	"net"
	"net/http"
	"time"
)

const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" // RFC 9113, section 3.4

// isHTTP2 hands a connection over that speaks HTTP/2.
func (c *serverConn) isHTTP2(head string) bool {
	const start = "PRI * HTTP/2.0\r\n\r\n"
	if head != start {
		return false
	}
	c.readUntil(time.Now().Add(c.limits.HeadTimeout))
	for len(start)+c.in.unused() < len(preface) {
		if c.in.fill(c.limits.Head) != nil {
			return true
		}
	}
	if string(c.in.data[c.in.r:c.in.r+len(preface)-len(start)]) != preface[len(start):] || c.server.HTTP2 == nil {
		c.fail(&malformed{http.StatusBadRequest, errors.New("HTTP/2 is not served here")})
		return true
	}
	c.readUntil(time.Time{}) // whoever takes it sets its own
	c.server.HTTP2(&replayed{Conn: c.nc, before: start + string(c.in.data[c.in.r:c.in.w])})
	return true
}

// replayed is a connection of which something was read already.
type replayed struct {
	net.Conn
	before string
}

func (r *replayed) Read(p []byte) (int, error) {
	if r.before == "" {
		return r.Conn.Read(p)
	}
	n := copy(p, r.before)
	r.before = r.before[n:]
	return n, nil
}
