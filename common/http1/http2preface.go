package http1

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"time"
)

// The preface of HTTP/2 (RFC 9113, section 3.4), of which the first part looks like a head.
const (
	prefaceHead = "PRI * HTTP/2.0\r\n\r\n"
	prefaceRest = "SM\r\n\r\n"
)

// serveHTTP2 hands the connection to Server.HTTP2 if head is the start of the preface. It
// reports whether it was.
func (c *serverConn) serveHTTP2(head string) bool {
	if head != prefaceHead {
		return false
	}
	c.readUntil(time.Now().Add(c.limits.HeadTimeout))
	for c.in.unused() < len(prefaceRest) {
		if c.in.fill(c.limits.Head) != nil {
			return true
		}
	}
	if !c.in.startsWith(prefaceRest) || c.server.HTTP2 == nil {
		c.fail(&malformed{status: http.StatusBadRequest, err: errors.New("HTTP/2 is not served here")})
		return true
	}
	c.readUntil(time.Time{}) // the new owner sets its own
	read := head + string(c.in.data[c.in.r:c.in.w])
	c.server.HTTP2(&readAhead{c.nc, io.MultiReader(strings.NewReader(read), c.nc)})
	return true
}
