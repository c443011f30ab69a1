package http

import (
	"context"
	"net"
	"os"
	"time"
)

// replacedTimeout is how long the connections of a listener that was replaced may take
// to be answered: as long as a caller may wait, and more.
const replacedTimeout = 2 * time.Minute

// replace ends a listener, of which there may be none, before another one of its
// address. It returns what that goes on with, so that a reload that changes what
// belongs to the port refuses nobody: the port, in whose queue callers wait
// meanwhile, and the paths with the requests that are on their way. The port is
// nil where the listener has failed, and on a system that cannot keep it.
func (ls *Listeners) replace(l *listener) (*os.File, *paths) {
	if l == nil {
		return nil, newPaths()
	}
	port := l.keep()
	if port == nil {
		ls.shut(l)
		return nil, newPaths()
	}
	delete(ls.open, l.address)
	if l.timer != nil {
		l.timer.Stop()
	}
	// Not Shutdown: a request that arrives meanwhile would have no answer.
	_ = l.bounded.Close() // the port is open still
	l.server.SetKeepAlivesEnabled(false)
	<-l.done
	if ls.end == nil {
		ls.end = make(chan struct{})
	}
	ls.ending.Go(func() { l.finish(ls.end) })
	return port, l.paths
}

// keep is the port of a listener under a descriptor of its own.
func (l *listener) keep() *os.File {
	tcp, ok := l.socket.(*net.TCPListener)
	if !ok || l.stopped() {
		return nil
	}
	port, err := tcp.File()
	if err != nil {
		return nil
	}
	return port
}

// finish waits, bounded, until all connections of a listener that takes no more
// have been answered, and shuts it.
func (l *listener) finish(end <-chan struct{}) {
	tick, limit := time.NewTicker(slowTimeout/10), time.NewTimer(replacedTimeout)
	defer tick.Stop()
	defer limit.Stop()
	for ended := false; !ended && l.bounded.Len() > 0; {
		select {
		case <-tick.C:
		case <-limit.C:
			ended = true
		case <-end:
			ended = true
		}
	}
	l.shut()
}

// shut ends the server of a listener. Answers that are being written get a moment.
func (l *listener) shut() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if l.server.Shutdown(ctx) != nil {
		// Connections that are still open have nothing to be answered: all
		// sources have left. Closing a socket twice is its only failure.
		_ = l.server.Close()
	}
	<-l.done
}

// open opens the port of an address, unless it is open.
func open(address string, port *os.File) (net.Listener, error) {
	if port != nil {
		return net.FileListener(port)
	}
	return net.Listen("tcp", address)
}

// serve answers callers.
func (l *listener) serve() {
	go func() {
		defer close(l.done)
		if l.server.TLSConfig != nil {
			l.err = l.server.ServeTLS(l.bounded, "", "")
		} else {
			l.err = l.server.Serve(l.bounded)
		}
	}()
}
