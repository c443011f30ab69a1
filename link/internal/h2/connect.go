package h2

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"strings"
	"sync"

	"golang.org/x/net/http2"
)

// ErrNoHTTP2 is a target that can be reached and speaks something else.
var ErrNoHTTP2 = errors.New("the target does not offer HTTP/2")

// connect dials, shakes hands where TLS is asked for, and waits for the target's
// greeting: its settings say how many streams it takes, and what greets
// otherwise gets no request.
func (t *Transport) connect(ctx context.Context, endpoint string) (connection, *handshakeConn, error) {
	ctx, cancel := context.WithTimeout(ctx, t.cfg.ConnectTimeout)
	defer cancel()
	nc, err := t.cfg.Dial(ctx, "tcp", endpoint)
	if err != nil {
		return nil, nil, err
	}
	if t.cfg.TLS != nil {
		secure := tls.Client(nc, trusting(t.cfg.TLS, t.cfg.Roots))
		err := secure.HandshakeContext(ctx)
		if err == nil && secure.ConnectionState().NegotiatedProtocol != "h2" {
			err = ErrNoHTTP2
		}
		if err != nil {
			_ = nc.Close() // the handshake says what is wrong
			return nil, nil, err
		}
		nc = secure
	}
	writes := newBatched(nc, t.cfg.Ping)
	reads := newBounded(writes, 0)
	reads.heads = newHeads(t.cfg.MaxHead)
	g := &handshakeConn{Conn: reads, writes: writes, heads: reads.heads, preface: len(http2.ClientPreface), resolved: make(chan struct{})}
	cc, err := t.http.NewClientConn(context.WithValue(ctx, dialledKey{}, net.Conn(g)), t.scheme, endpoint)
	if err != nil {
		_ = g.Close() // it may be closed
		return nil, nil, err
	}
	select {
	case <-g.resolved:
		if err = g.err; err == nil {
			return cc, g, nil
		}
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	withTimeout(t.cfg.LetGo, g, func() { _ = cc.Close() }) // it never was one
	return nil, nil, err
}

// trusting is c with the authorities of now.
func trusting(c *tls.Config, roots func() *x509.CertPool) *tls.Config {
	if roots == nil {
		return c
	}
	c = c.Clone()
	c.RootCAs = roots()
	return c
}

// handshakeConn is a connection to a target, whose first frame is looked at as it is
// read. It knows the stream that a head was written to last.
type handshakeConn struct {
	net.Conn
	writes   *coalescer
	heads    *responseHeadChecker // of what is read
	first    []byte               // what was read, up to the settings' header
	read     int
	done     bool
	once     sync.Once
	resolved chan struct{} // closed once the settings were in force, or will not be
	err      error         // read once settled is closed

	preface int          // of the bytes that are yet to be written
	out     frameScanner // over those that were
	stream  uint32
}

var errSettings = errors.New("the target closed the connection before it greeted in HTTP/2, or its settings break the rules")

// Close waits for the last writes. The library closes a connection whose settings
// are no settings.
func (g *handshakeConn) Close() error {
	err := g.Conn.Close()
	g.resolve(errSettings)
	if g.writes != nil {
		g.writes.Wait()
	}
	return err
}

// Write is called by one goroutine at a time, which holds the library's lock for
// writes.
func (g *handshakeConn) Write(p []byte) (int, error) {
	n := min(g.preface, len(p))
	g.preface -= n
	for rest := p[n:]; len(rest) > 0; {
		var begins bool
		if rest, _, begins = g.out.next(rest); begins && g.out.kind() == http2.FrameHeaders {
			g.stream = g.out.stream()
		}
	}
	return g.Conn.Write(p)
}

// Read is called by one goroutine, which reads again once it has understood what
// it has: then the settings are in force.
func (g *handshakeConn) Read(p []byte) (int, error) {
	if !g.done && len(g.first) == frameHeader {
		if length := int(g.first[0])<<16 | int(g.first[1])<<8 | int(g.first[2]); g.read >= frameHeader+length {
			g.settingsCame(nil)
		}
	}
	n, err := g.Conn.Read(p)
	if g.done {
		return n, err
	}
	g.read += n
	g.first = append(g.first, p[:min(n, frameHeader-len(g.first))]...)
	switch {
	case strings.HasPrefix(string(g.first), "HTTP/"):
		g.settingsCame(ErrNoHTTP2)
	case len(g.first) == frameHeader && (http2.FrameType(g.first[3]) != http2.FrameSettings || http2.Flags(g.first[4]).Has(http2.FlagSettingsAck)):
		g.settingsCame(ErrNoHTTP2)
	case err != nil:
		g.settingsCame(errSettings)
	}
	return n, err
}

// settingsCame is the end of the greeting, as far as Read goes.
func (g *handshakeConn) settingsCame(err error) {
	g.done, g.first = true, nil
	g.resolve(err)
}

func (g *handshakeConn) resolve(err error) {
	g.once.Do(func() {
		g.err = err
		close(g.resolved)
	})
}
