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

// ErrNoHTTP2 says that the target can be reached and speaks another protocol.
var ErrNoHTTP2 = errors.New("the target does not offer HTTP/2")

// connect dials, makes the TLS handshake if configured, and waits for the settings of
// the target. They say how many streams the target allows, and a target that begins
// with something else gets no request.
func (t *Transport) connect(ctx context.Context, endpoint string) (connection, *handshakeConn, error) {
	ctx, cancel := context.WithTimeout(ctx, t.cfg.ConnectTimeout)
	defer cancel()
	nc, err := t.cfg.Dial(ctx, "tcp", endpoint)
	if err != nil {
		return nil, nil, err
	}
	if t.cfg.TLS != nil {
		secure := tls.Client(nc, withRoots(t.cfg.TLS, t.cfg.Roots))
		err := secure.HandshakeContext(ctx)
		if err == nil && secure.ConnectionState().NegotiatedProtocol != "h2" {
			err = ErrNoHTTP2
		}
		if err != nil {
			_ = nc.Close() // err says what is wrong
			return nil, nil, err
		}
		nc = secure
	}
	writes := newCoalescer(nc, t.cfg.Ping)
	reads := newGuardedConn(writes, 0)
	reads.heads = newResponseHeadChecker(t.cfg.MaxHead)
	g := &handshakeConn{Conn: reads, writes: writes, heads: reads.heads, preface: len(http2.ClientPreface), resolved: make(chan struct{})}
	cc, err := t.http.NewClientConn(context.WithValue(ctx, dialledKey{}, net.Conn(g)), t.scheme, endpoint)
	if err != nil {
		_ = g.Close() // it may be closed already
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
	withTimeout(t.cfg.ReleaseTimeout, g, func() { _ = cc.Close() }) // it was never used
	return nil, nil, err
}

// withRoots returns c with the current authorities.
func withRoots(c *tls.Config, roots func() *x509.CertPool) *tls.Config {
	if roots == nil {
		return c
	}
	c = c.Clone()
	c.RootCAs = roots()
	return c
}

// handshakeConn is a connection to a target. It checks the first frame that it reads,
// and knows the stream of the last head that was written.
type handshakeConn struct {
	net.Conn
	writes   *coalescer
	heads    *responseHeadChecker // checks what is read
	first    []byte               // the bytes read of the first frame's header
	read     int
	done     bool
	once     sync.Once
	resolved chan struct{} // closed when the settings are applied, or will not be
	err      error         // read once resolved is closed

	preface int          // bytes of the preface still to be written
	out     frameScanner // of what is written
	stream  uint32
}

var errSettings = errors.New("the target closed the connection before it sent HTTP/2 settings, or they are not valid")

// Close waits for the last writes. The library closes a connection whose settings are
// not valid.
func (g *handshakeConn) Close() error {
	err := g.Conn.Close()
	g.resolve(errSettings)
	if g.writes != nil {
		g.writes.Wait()
	}
	return err
}

// Write is called by one goroutine at a time, which holds the write lock of the
// library.
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

// Read is called by one goroutine. It calls Read again once it has processed what it
// has: then the settings are applied.
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

// settingsCame ends the inspection of the first frame.
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
