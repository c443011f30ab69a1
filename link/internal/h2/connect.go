package h2

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"strings"

	"github.com/lsm/fiso/link/internal/h1"
)

// ErrNoHTTP2 is a target that can be reached and speaks something else.
var ErrNoHTTP2 = errors.New("the target does not offer HTTP/2")

// connect dials, shakes hands where TLS is asked for, and waits for the target's
// greeting: its settings say how many streams it takes, and what greets
// otherwise gets no request.
func (t *Transport) connect(ctx context.Context, endpoint string) (*http.ClientConn, error) {
	ctx, cancel := context.WithTimeout(ctx, t.cfg.ConnectTimeout)
	defer cancel()
	nc, err := t.cfg.Dial(ctx, "tcp", endpoint)
	if err != nil {
		return nil, err
	}
	if t.cfg.TLS != nil {
		secure := tls.Client(nc, h1.Trusting(t.cfg.TLS, t.cfg.Roots))
		err := secure.HandshakeContext(ctx)
		if err == nil && secure.ConnectionState().NegotiatedProtocol != "h2" {
			err = ErrNoHTTP2
		}
		if err != nil {
			_ = nc.Close() // the handshake says what is wrong
			return nil, err
		}
		nc = secure
	}
	g := &greeted{Conn: newBatched(nc, t.cfg.Ping), settled: make(chan struct{})}
	cc, err := t.http.NewClientConn(context.WithValue(ctx, dialledKey{}, net.Conn(g)), t.scheme, endpoint)
	if err != nil {
		_ = g.Close() // it may be closed
		return nil, err
	}
	select {
	case <-g.settled:
		if err = g.err; err == nil {
			return cc, nil
		}
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	_ = cc.Close() // it never was one
	return nil, err
}

// greeted is a connection whose first frame is looked at as it is read.
type greeted struct {
	net.Conn
	first   []byte // what was read, up to the settings' header
	read    int
	done    bool
	settled chan struct{} // closed once the settings were read, or will not be
	err     error         // read once settled is closed
}

const frameHeader = 9

// Close waits for the last writes.
func (g *greeted) Close() error {
	err := g.Conn.Close()
	if b, ok := g.Conn.(*batched); ok {
		b.Wait()
	}
	return err
}

// Read is called by one goroutine, which reads again once it has understood what
// it has: then the settings are in force.
func (g *greeted) Read(p []byte) (int, error) {
	if !g.done && len(g.first) == frameHeader {
		if length := int(g.first[0])<<16 | int(g.first[1])<<8 | int(g.first[2]); g.read >= frameHeader+length {
			g.settle(nil)
		}
	}
	n, err := g.Conn.Read(p)
	if g.done {
		return n, err
	}
	g.read += n
	g.first = append(g.first, p[:min(n, frameHeader-len(g.first))]...)
	const settings = 4
	switch {
	case strings.HasPrefix(string(g.first), "HTTP/"):
		g.settle(ErrNoHTTP2)
	case len(g.first) == frameHeader && g.first[3] != settings:
		g.settle(ErrNoHTTP2)
	case err != nil:
		g.settle(errors.New("the target closed the connection before it greeted in HTTP/2"))
	}
	return n, err
}

func (g *greeted) settle(err error) {
	g.done, g.err, g.first = true, err, nil
	close(g.settled)
}
