//go:build synctests

package simulation

import (
	"context"
	"errors"
	"net"
	"sync"

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
	wire *wire
}

func newWire(n *kfake.VirtualNetwork) *wire { return &wire{net: n, conns: map[*wired]struct{}{}} }

var errCut = errors.New("network is unreachable")

// Dial is what the member opens connections with.
func (w *wire) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	w.mu.Lock()
	down := w.down
	w.mu.Unlock()
	if down {
		return nil, errCut
	}
	c, err := w.net.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	out := &wired{Conn: c, wire: w}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.down {
		_ = c.Close() // a pipe
		return nil, errCut
	}
	w.conns[out] = struct{}{}
	return out, nil
}

func (c *wired) Close() error {
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
