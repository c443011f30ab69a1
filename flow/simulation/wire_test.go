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

// wire is the network of one life of a member. It can be cut.
type wire struct {
	net *kfake.VirtualNetwork

	mu    sync.Mutex
	down  bool
	conns map[*wired]struct{}
}

type wired struct {
	net.Conn
	wire   *wire
	closed atomic.Bool // closed by its owner
}

func newWire(n *kfake.VirtualNetwork) *wire { return &wire{net: n, conns: map[*wired]struct{}{}} }

// dialError is an error of the operating system. franz-go treats other errors differently, and may
// dial again without a pause.
func dialError(why syscall.Errno) error {
	return &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", why)}
}

// Dial opens the connections of the member.
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

// wayThere is how long a write takes. Without it, a request that fails and is repeated at once
// would stop the virtual time.
const wayThere = 100 * time.Microsecond

func (c *wired) Write(b []byte) (int, error) {
	time.Sleep(wayThere) // virtual time
	n, err := c.Conn.Write(b)
	return n, c.real("write", err)
}

// real converts an error of a pipe to the one of a real connection, because franz-go takes pipe
// errors as permanent.
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

// cut closes all connections and refuses new ones.
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

// sockets are the connections that brokers accepted, by address. A broker that is removed closes
// them. kfake would continue to answer on them as a broker that leads nothing, even after a broker
// with that name is back.
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

// close closes the connections that an address accepted.
func (s *sockets) close(address string) {
	s.mu.Lock()
	conns := s.conns[address]
	delete(s.conns, address)
	s.mu.Unlock()
	for _, c := range conns {
		_ = c.Close() // a pipe
	}
}
