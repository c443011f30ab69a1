//go:build synctests

package simulation

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
)

// wire is the network as one life of a member has it. It can be cut.
type wire struct {
	net *kfake.VirtualNetwork

	mu    sync.Mutex
	down  bool
	conns map[*wired]struct{}
}

type wired struct {
	net.Conn
	wire   *wire
	closed atomic.Bool // by its owner
}

func newWire(n *kfake.VirtualNetwork) *wire { return &wire{net: n, conns: map[*wired]struct{}{}} }

// dialError is one of the operating system: franz-go treats an error that is
// none of the network's in another way, and may dial again without a pause.
func dialError(why syscall.Errno) error {
	return &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", why)}
}

// Dial is what the member opens connections with.
func (w *wire) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	w.mu.Lock()
	down := w.down
	w.mu.Unlock()
	if down {
		return nil, dialError(syscall.ENETUNREACH)
	}
	c, err := w.net.DialContext(ctx, network, address)
	if err != nil {
		if ctx.Err() == nil {
			err = dialError(syscall.ECONNREFUSED)
		}
		return nil, err
	}
	out := &wired{Conn: c, wire: w}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.down {
		_ = c.Close() // a pipe
		return nil, dialError(syscall.ENETUNREACH)
	}
	w.conns[out] = struct{}{}
	return out, nil
}

func (c *wired) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	return n, c.real("read", err)
}

// wayThere is how long what is written takes. Without it a request that fails
// at once, and is made again at once, would stop the time of the bubble.
const wayThere = 100 * time.Microsecond

func (c *wired) Write(b []byte) (int, error) {
	time.Sleep(wayThere) // of the bubble's clock
	n, err := c.Conn.Write(b)
	return n, c.real("write", err)
}

// real is the error that a connection of the operating system would give in
// place of a pipe's, which franz-go takes for none that passes.
func (c *wired) real(op string, err error) error {
	switch {
	case !errors.Is(err, io.ErrClosedPipe):
		return err
	case c.closed.Load():
		return &net.OpError{Op: op, Net: "tcp", Err: net.ErrClosed}
	}
	return &net.OpError{Op: op, Net: "tcp", Err: os.NewSyscallError(op, syscall.ECONNRESET)}
}

func (c *wired) Close() error {
	c.closed.Store(true)
	c.wire.mu.Lock()
	delete(c.wire.conns, c)
	c.wire.mu.Unlock()
	return c.Conn.Close()
}

// cut ends all connections and refuses new ones.
func (w *wire) cut() {
	w.mu.Lock()
	w.down = true
	conns := w.conns
	w.conns = map[*wired]struct{}{}
	w.mu.Unlock()
	for c := range conns {
		_ = c.Conn.Close() // a pipe
	}
}

func (w *wire) mend() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.down = false
}

func (w *wire) isCut() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.down
}

// sockets are the connections that brokers accepted, by the broker's address.
// A broker that goes closes them; kfake by itself would go on answering there
// as one that leads nothing, also when a broker of that name is back.
type sockets struct {
	net *kfake.VirtualNetwork

	mu    sync.Mutex
	conns map[string][]net.Conn
}

type socket struct {
	net.Listener
	all     *sockets
	address string
}

func (s *sockets) Listen(network, address string) (net.Listener, error) {
	ln, err := s.net.Listen(network, address)
	if err != nil {
		return nil, err
	}
	return &socket{Listener: ln, all: s, address: address}, nil
}

func (l *socket) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil {
		l.all.mu.Lock()
		defer l.all.mu.Unlock()
		l.all.conns[l.address] = append(l.all.conns[l.address], c)
	}
	return c, err
}

// close ends what was accepted at an address.
func (s *sockets) close(address string) {
	s.mu.Lock()
	conns := s.conns[address]
	delete(s.conns, address)
	s.mu.Unlock()
	for _, c := range conns {
		_ = c.Close() // a pipe
	}
}
