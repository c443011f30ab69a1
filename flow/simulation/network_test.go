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

// network is the network of one run of a member. It can be cut.
type network struct {
	net *kfake.VirtualNetwork

	mu    sync.Mutex
	down  bool
	conns map[*networkConn]struct{}
}

type networkConn struct {
	net.Conn
	network *network
	closed  atomic.Bool // closed by its owner
}

func newNetwork(n *kfake.VirtualNetwork) *network {
	return &network{net: n, conns: map[*networkConn]struct{}{}}
}

// dialError is an error of the operating system. franz-go treats other errors differently, and may
// dial again without a pause.
func dialError(why syscall.Errno) error {
	return &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", why)}
}

// Dial opens the connections of the member.
func (n *network) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	n.mu.Lock()
	down := n.down
	n.mu.Unlock()
	if down {
		return nil, dialError(syscall.ENETUNREACH)
	}
	c, err := n.net.DialContext(ctx, network, address)
	if err != nil {
		if ctx.Err() == nil {
			err = dialError(syscall.ECONNREFUSED)
		}
		return nil, err
	}
	out := &networkConn{Conn: c, network: n}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.down {
		_ = c.Close() // a pipe
		return nil, dialError(syscall.ENETUNREACH)
	}
	n.conns[out] = struct{}{}
	return out, nil
}

func (c *networkConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	return n, c.asRealError("read", err)
}

// writeLatency is how long a write takes. Without it, a request that fails and is repeated at once
// would stop the virtual time.
const writeLatency = 100 * time.Microsecond

func (c *networkConn) Write(b []byte) (int, error) {
	time.Sleep(writeLatency) // virtual time
	n, err := c.Conn.Write(b)
	return n, c.asRealError("write", err)
}

// asRealError converts an error of a pipe to the one of a real connection, because franz-go takes pipe
// errors as permanent.
func (c *networkConn) asRealError(op string, err error) error {
	switch {
	case !errors.Is(err, io.ErrClosedPipe):
		return err
	case c.closed.Load():
		return &net.OpError{Op: op, Net: "tcp", Err: net.ErrClosed}
	}
	return &net.OpError{Op: op, Net: "tcp", Err: os.NewSyscallError(op, syscall.ECONNRESET)}
}

func (c *networkConn) Close() error {
	c.closed.Store(true)
	c.network.mu.Lock()
	delete(c.network.conns, c)
	c.network.mu.Unlock()
	return c.Conn.Close()
}

// cut closes all connections and refuses new ones.
func (n *network) cut() {
	n.mu.Lock()
	n.down = true
	conns := n.conns
	n.conns = map[*networkConn]struct{}{}
	n.mu.Unlock()
	for c := range conns {
		_ = c.Conn.Close() // a pipe
	}
}

func (n *network) restore() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.down = false
}

func (n *network) isCut() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.down
}

// brokerConns are the connections that brokers accepted, by address. A broker that is removed closes
// them. kfake would continue to answer on them as a broker that leads nothing, even after a broker
// with that name is back.
type brokerConns struct {
	net *kfake.VirtualNetwork

	mu    sync.Mutex
	conns map[string][]net.Conn
}

type brokerListener struct {
	net.Listener
	all     *brokerConns
	address string
}

func (s *brokerConns) Listen(network, address string) (net.Listener, error) {
	ln, err := s.net.Listen(network, address)
	if err != nil {
		return nil, err
	}
	return &brokerListener{Listener: ln, all: s, address: address}, nil
}

func (l *brokerListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil {
		l.all.mu.Lock()
		defer l.all.mu.Unlock()
		l.all.conns[l.address] = append(l.all.conns[l.address], c)
	}
	return c, err
}

// close closes the connections that an address accepted.
func (s *brokerConns) close(address string) {
	s.mu.Lock()
	conns := s.conns[address]
	delete(s.conns, address)
	s.mu.Unlock()
	for _, c := range conns {
		_ = c.Close() // a pipe
	}
}
