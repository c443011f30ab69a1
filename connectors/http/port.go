package http

import (
	"context"
	"net"
	"os"
	"time"
)

// replacedTimeout is how long the connections of a replaced listener may take to be
// answered. It exceeds the default answerTimeout.
const replacedTimeout = 2 * time.Minute

// replace stops a listener, which may be nil, before another one of its address is
// started. It returns what the next one takes over, so that a reload that changes the
// port's settings refuses nobody: the port, in whose queue callers wait meanwhile, and
// the paths with the requests under way. The port is nil if the listener has failed, or
// on a system that cannot duplicate it.
func (ls *Listeners) replace(l *listener) (*os.File, *paths) {
	if l == nil {
		return nil, newPaths()
	}
	port := l.duplicatePort()
	if port == nil {
		ls.shut(l)
		return nil, newPaths()
	}
	delete(ls.open, l.address)
	if l.timer != nil {
		l.timer.Stop()
	}
	// Not Shutdown, which would close connections with a new request unanswered.
	_ = l.bounded.Close() // port keeps the socket open
	l.server.SetKeepAlivesEnabled(false)
	<-l.done
	if ls.stopReplaced == nil {
		ls.stopReplaced = make(chan struct{})
	}
	ls.replaced.Go(func() { l.drain(ls.stopReplaced) })
	return port, l.paths
}

// duplicatePort returns the port of a listener under a descriptor of its own; nil: it
// cannot.
func (l *listener) duplicatePort() *os.File {
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

// drain waits up to replacedTimeout until all connections of a replaced listener are
// answered, and shuts it.
func (l *listener) drain(end <-chan struct{}) {
	tick, limit := time.NewTicker(slowTimeout/10), time.NewTimer(replacedTimeout)
	defer tick.Stop()
	defer limit.Stop()
	for stop := false; !stop && l.bounded.Len() > 0; {
		select {
		case <-tick.C:
		case <-limit.C:
			stop = true
		case <-end:
			stop = true
		}
	}
	l.shut()
}

// shut stops the server of a listener. Answers being written get a second to finish.
func (l *listener) shut() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if l.server.Shutdown(ctx) != nil {
		// No source is left to answer the connections that are still open. Close fails
		// only for a socket that is closed already.
		_ = l.server.Close()
	}
	<-l.done
}

// open opens the port of an address, or continues with the one that is open.
func open(address string, port *os.File) (net.Listener, error) {
	if port != nil {
		return net.FileListener(port)
	}
	return net.Listen("tcp", address)
}

// serve starts to answer requests.
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
