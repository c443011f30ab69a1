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
