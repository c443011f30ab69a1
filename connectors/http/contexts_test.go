package http

import (
	"context"
	"net"
	nethttp "net/http"
	"testing"
	"time"

	"github.com/lsm/fiso/common/connector"
)

func TestSink_aContextThatEndsCutsOffItsOwnCallsAlone(t *testing.T) {
	release := make(chan struct{})
	p := newPeer(t, func(n int64, c net.Conn, r *nethttp.Request) bool {
		<-release
		return says(okAnswer)(n, c, r)
	})
	s := newSink(t, sinkConfig(p.url))
	mine, cancel := context.WithCancel(t.Context())
	defer cancel()
	others, stop := context.WithCancel(t.Context())
	defer stop()
	cut, kept := make(chan error), make(chan error)
	for range 5 {
		go func() { cut <- s.Send(mine, order("1")) }()
		go func() { kept <- s.Send(others, order("2")) }()
	}
	eventually(t, "all calls wait for an answer", func() bool { return p.requests.Load() == 10 })
	cancel()
	for range 5 {
		wantClass(t, <-cut, connector.Interrupted)
	}
	close(release)
	for range 5 {
		if err := <-kept; err != nil {
			t.Error(err)
		}
	}
	if n := contextsOf(s); n != 1 {
		t.Errorf("%d contexts are kept, for 1 context that goes on", n)
	}
	stop()
	eventually(t, "the last context is let go", func() bool { return contextsOf(s) == 0 })
	for range 2 * 5 { // connections of cancelled calls are not reused
		if err := s.Send(t.Context(), order("3")); err != nil {
			t.Error(err)
		}
	}
}

func TestSink_contextsOfOneCallDoNotPileUp(t *testing.T) {
	p := newPeer(t, says(okAnswer))
	s := newSink(t, sinkConfig(p.url))
	for range 20 {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel() // not before the calls
		if err := s.Send(ctx, order("1")); err != nil {
			t.Fatal(err)
		}
	}
	if n := contextsOf(s); n != 0 {
		t.Errorf("%d contexts are kept", n)
	}
	again, cancel := context.WithCancel(t.Context())
	defer cancel()
	for range 3 {
		for _, ctx := range []context.Context{t.Context(), again} {
			if err := s.Send(ctx, order("1")); err != nil {
				t.Fatal(err)
			}
		}
	}
	if n := contextsOf(s); n != 2 {
		t.Errorf("%d contexts are kept for 2 contexts that are used again and again", n)
	}
	if err := s.Send(context.Background(), order("1")); err != nil || contextsOf(s) != 3 {
		t.Errorf("a context that never ends is kept too: %v, %d contexts", err, contextsOf(s))
	}
}

func contextsOf(s *Sink) int {
	s.contexts.mu.Lock()
	defer s.contexts.mu.Unlock()
	return len(s.contexts.shared)
}

// A server closes only its own direction of an idle connection and goes on reading. The
// call ends no later than its timeout.
func TestSink_aHalfClosedConnectionHoldsNoCallForLongerThanItsTimeout(t *testing.T) {
	p := newPeer(t, func(n int64, c net.Conn, r *nethttp.Request) bool {
		if n > 1 {
			return true // without an answer
		}
		ok := says(okAnswer)(n, c, r)
		return c.(*net.TCPConn).CloseWrite() == nil && ok
	})
	cfg := sinkConfig(p.url)
	cfg.Timeout = 100 * time.Millisecond
	s := newSink(t, cfg)
	if err := s.Send(t.Context(), order("1")); err != nil {
		t.Fatal(err)
	}
	wantClass(t, s.Send(t.Context(), order("2")), connector.Unavailable)
}
