package http1

import (
	"errors"
	"io"
	"net"
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
	read := string(c.in.data[c.in.r:c.in.w])
	if !strings.HasPrefix(read, prefaceRest) || c.server.HTTP2 == nil {
		c.fail(&malformed{http.StatusBadRequest, errors.New("HTTP/2 is not served here")})
		return true
	}
	c.readUntil(time.Time{}) // the new owner sets its own
	c.server.HTTP2(&replayed{c.nc, io.MultiReader(strings.NewReader(head+read), c.nc)})
	return true
}

// replayed is a connection whose first bytes are read again.
type replayed struct {
	net.Conn
	from io.Reader
}

func (r *replayed) Read(p []byte) (int, error) { return r.from.Read(p) }
