package http

import (
	"context"
	"errors"
	"io"
	"net"
	nethttp "net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lsm/fiso/common/connector"
)

// pipes is a server on in-memory connections, for tests with a fake clock.
type pipes struct {
	dialled atomic.Int64
	closed  atomic.Int64 // by the client
}

func (p *pipes) dial(context.Context, string, string) (net.Conn, error) {
	p.dialled.Add(1)
	client, server := net.Pipe()
	go func() {
		defer p.closed.Add(1)
		(&peer{}).serve(server, says(okAnswer))
	}()
	return client, nil
}

func TestSink_closesIdleConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &pipes{}
		cfg := sinkConfig("http://x")
		cfg.IdleTimeout = 10 * time.Second
		s := newSink(t, cfg, SinkOptions{Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
			time.Sleep(time.Millisecond) // in fake time, so that two concurrent calls dial twice
			return p.dial(ctx, network, address)
		}})
		send := func() {
			if err := s.Send(t.Context(), order("1")); err != nil {
				t.Error(err)
			}
		}
		state := func(when string, dialled, closed int64) {
			t.Helper()
			synctest.Wait()
			if p.dialled.Load() != dialled || p.closed.Load() != closed {
				t.Errorf("%s: %d dialled, %d closed; want %d and %d", when, p.dialled.Load(), p.closed.Load(), dialled, closed)
			}
		}
		var both sync.WaitGroup
		both.Go(send)
		both.Go(send)
		both.Wait()
		time.Sleep(6 * time.Second)
		send()
		state("one was used after 6 s", 2, 0)
		time.Sleep(5 * time.Second)
		state("the other was idle for 11 s", 2, 1)
		time.Sleep(5 * time.Second)
		state("the first is idle for 10 s now", 2, 2)
		send()
		state("a new call dials", 3, 2)
	})
}

func TestSink_replacesAnOldConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &pipes{}
		cfg := sinkConfig("http://x")
		cfg.MaxAge = time.Minute
		s := newSink(t, cfg, SinkOptions{Dial: p.dial})
		for range 100 {
			if err := s.Send(t.Context(), order("1")); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
		}
		synctest.Wait()
		if p.dialled.Load() != 2 || p.closed.Load() != 1 {
			t.Errorf("%d dialled, %d closed in 100 s with a life of 60 s", p.dialled.Load(), p.closed.Load())
		}
	})
}

func TestSink_sendsNothingOnceClosed(t *testing.T) {
	p := &pipes{}
	var s *Sink
	dial := func(ctx context.Context, network, address string) (net.Conn, error) {
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		_ = s.Close(ended) // while the call dials: Close does not wait for it
		return p.dial(ctx, network, address)
	}
	s = newSink(t, sinkConfig("http://x"), SinkOptions{Dial: dial})
	if err := s.Send(t.Context(), order("1")); !errors.Is(err, connector.ErrClosed) {
		t.Errorf("error is %v", err)
	}
	eventually(t, "the connection is closed", func() bool { return p.closed.Load() == 1 })
}

// deaf is a connection that refuses deadlines.
type deaf struct {
	net.Conn
	readOnly bool
}

func (d deaf) SetDeadline(time.Time) error {
	if d.readOnly {
		return nil
	}
	return errors.New("deaf")
}

func (d deaf) SetReadDeadline(time.Time) error { return errors.New("deaf") }

func TestSink_doesNotUseAConnectionItCannotBound(t *testing.T) {
	p := newPeer(t, func(_ int64, c net.Conn, _ *nethttp.Request) bool {
		_, err := io.WriteString(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
		return err == nil
	})
	for _, readOnly := range []bool{false, true} {
		var dialled int
		dial := func(ctx context.Context, network, address string) (net.Conn, error) {
			dialled++
			c, err := new(net.Dialer).DialContext(ctx, network, address)
			return deaf{c, readOnly}, err
		}
		s := newSink(t, sinkConfig(p.url), SinkOptions{Dial: dial})
		for range 2 {
			// Once the answer has begun, only the wait for the body ends.
			if err := s.Send(t.Context(), order("1")); (err == nil) != readOnly {
				t.Errorf("error is %v", err)
			}
		}
		if dialled != 2 {
			t.Errorf("dialled %d times", dialled)
		}
	}
}
