package http

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	nethttp "net/http"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lsm/fiso/common/cloudevent"
	"github.com/lsm/fiso/common/config"
	"github.com/lsm/fiso/common/connector"
)

// senders are the ways to send one event.
var senders = []struct {
	name, mode string
	send       func(*Sink, context.Context, *cloudevent.Event) error
}{
	{"structured", ModeStructured, (*Sink).Send},
	{"binary", ModeBinary, (*Sink).Send},
	{"batch of one", ModeBatch, (*Sink).Send},
	{"batch", ModeBatch, func(s *Sink, ctx context.Context, e *cloudevent.Event) error {
		return errors.Join(s.SendBatch(ctx, []*cloudevent.Event{e, e})...)
	}},
	{"SendBatch without batch mode", ModeStructured, func(s *Sink, ctx context.Context, e *cloudevent.Event) error {
		return errors.Join(s.SendBatch(ctx, []*cloudevent.Event{e})...)
	}},
}

// U19: a second 200 that arrived after the first was read was taken for the answer to
// the next event, which the server refused.
func TestSink_aSecondAnswerNeverCountsForTheNextEvent(t *testing.T) {
	for _, how := range senders {
		t.Run(how.name, func(t *testing.T) {
			late, written := make(chan struct{}), make(chan struct{})
			p := newPeer(t, func(n int64, c net.Conn, r *nethttp.Request) bool {
				if n > 1 {
					return says(status("503 Service Unavailable", ""))(n, c, r)
				}
				_, _ = io.WriteString(c, okAnswer)
				<-late
				defer close(written)
				return says(okAnswer)(n, c, r)
			})
			cfg := sinkConfig(p.url)
			cfg.Mode = how.mode
			s := newSink(t, cfg)
			if err := how.send(s, t.Context(), order("1")); err != nil {
				t.Fatal(err)
			}
			close(late)
			<-written
			err := how.send(s, t.Context(), order("2"))
			if se, ok := errors.AsType[*StatusError](err); !ok || se.Status != 503 {
				t.Errorf("the second event has the verdict %v; want the 503 that it got", err)
			}
			if p.conns.Load() != 2 || p.requests.Load() != 2 {
				t.Errorf("%d connections, %d requests; want 2 of each", p.conns.Load(), p.requests.Load())
			}
		})
	}
}

// cork holds written bytes back until release, so that they arrive in one piece.
type cork struct {
	net.Conn
	held *bytes.Buffer // nil: nothing is held back
}

func (c *cork) Write(p []byte) (int, error) {
	if c.held != nil {
		return c.held.Write(p)
	}
	return c.Conn.Write(p)
}

func (c *cork) release() error {
	_, err := c.held.WriteTo(c.Conn)
	c.held = nil
	return err
}

// U19: TLS reads ahead, so a second answer may already be in this process, where a look
// at the socket does not find it.
func TestSink_aSecondAnswerThatTLSHoldsNeverCountsForTheNextEvent(t *testing.T) {
	ca, certFile, keyFile := certificates(t)
	cert, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		t.Fatal(err)
	}
	for name, version := range map[string]uint16{"TLS 1.2": tls.VersionTLS12, "TLS 1.3": tls.VersionTLS13} {
		t.Run(name, func(t *testing.T) {
			wrap := func(c net.Conn) net.Conn {
				return tls.Server(&cork{Conn: c}, &tls.Config{Certificates: []tls.Certificate{cert}, MaxVersion: version})
			}
			p := newPeerOn(t, wrap, func(n int64, c net.Conn, r *nethttp.Request) bool {
				if n > 1 {
					return says(status("503 Service Unavailable", ""))(n, c, r)
				}
				below := c.(*tls.Conn).NetConn().(*cork)
				below.held = new(bytes.Buffer)
				_, _ = io.WriteString(c, okAnswer)
				_, _ = io.WriteString(c, okAnswer) // in a separate TLS record
				return below.release() == nil
			})
			cfg := sinkConfig(strings.Replace(p.url, "http://", "https://", 1))
			cfg.TLS = config.TLS{CAFile: ca}
			s := newSink(t, cfg)
			if err := s.Send(t.Context(), order("1")); err != nil {
				t.Fatal(err)
			}
			for id := range 3 {
				err = s.Send(t.Context(), order(fmt.Sprint(id+2)))
				if se, ok := errors.AsType[*StatusError](err); !ok || se.Status != 503 {
					t.Errorf("the verdict is %v; want the 503 that the event got", err)
				}
			}
			if p.conns.Load() != 2 {
				t.Errorf("%d connections; want one for the first event and one for the rest", p.conns.Load())
			}
		})
	}
}

// U19: a second answer arrives while the next request is being sent, before the server
// has all of it.
func TestSink_anAnswerToARequestThatTheServerHasNotReadIsNone(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux tells how much of a request was acknowledged")
	}
	for _, again := range []string{okAnswer, status("400 Bad Request", "")} {
		ends := make(chan struct{})
		p := newPeer(t, func(n int64, c net.Conn, r *nethttp.Request) bool {
			if n > 1 {
				return says(status("503 Service Unavailable", ""))(n, c, r)
			}
			_, _ = io.WriteString(c, okAnswer)
			_, _ = io.ReadFull(c, make([]byte, 1)) // the next request is on its way
			_, _ = io.WriteString(c, again)
			<-ends
			return false
		})
		// The server's receive buffer is small; the client's send buffer takes a whole request.
		dial := func(ctx context.Context, network, address string) (net.Conn, error) {
			c, err := new(net.Dialer).DialContext(ctx, network, address)
			if err == nil {
				err = c.(*net.TCPConn).SetWriteBuffer(4 << 20)
			}
			return c, err
		}
		s := newSink(t, sinkConfig(p.url), SinkOptions{Dial: dial})
		if err := s.Send(t.Context(), order("1")); err != nil {
			t.Fatal(err)
		}
		large := order("2")
		large.Data = cloudevent.Bytes([]byte(`"` + strings.Repeat("x", 300<<10) + `"`))
		err := s.Send(t.Context(), large)
		if se, ok := errors.AsType[*StatusError](err); !ok || se.Status != 503 {
			t.Errorf("the verdict is %v; want the 503 of the server that read the request", err)
		}
		close(ends)
	}
}

// U19: a server that sends first is not an HTTP server.
func TestSink_sendsNothingToAServerThatSpeaksFirst(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	dial := func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := new(net.Dialer).DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		server, err := ln.Accept()
		if err == nil {
			_, err = io.WriteString(server, okAnswer)
		}
		return c, err
	}
	err = newSink(t, sinkConfig("http://"+ln.Addr().String()), SinkOptions{Dial: dial}).Send(t.Context(), order("1"))
	wantClass(t, err, connector.Unavailable)
	if !strings.Contains(err.Error(), "bytes that no request asked for") {
		t.Errorf("error is %v", err)
	}
}

// U19: a connection that cannot be inspected without waiting is read with a wait.
func TestSink_inspectsAConnectionWithAWaitIfItMust(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var dialled int
		dial := func(context.Context, string, string) (net.Conn, error) {
			dialled++
			client, server := net.Pipe()
			go func(first bool) {
				(&peer{}).serve(server, func(n int64, c net.Conn, r *nethttp.Request) bool {
					if n == 3 && first {
						_, _ = io.WriteString(c, okAnswer+okAnswer) // a pipe's reader takes it in parts
						return false
					}
					return says(okAnswer)(n, c, r)
				})
			}(dialled == 1)
			return client, nil
		}
		s := newSink(t, sinkConfig("http://x"), SinkOptions{Dial: dial})
		for range 5 {
			if err := s.Send(t.Context(), order("1")); err != nil {
				t.Error(err)
			}
		}
		if dialled != 2 {
			t.Errorf("dialled %d times; want once more after the second answer", dialled)
		}
	})
}

// U11: servers close idle connections without notice. 200 of 400 events became dead
// letters under maxRetries 0, and no server had seen them.
func TestSink_aServerThatClosesIdleConnectionsCostsNoEvent(t *testing.T) {
	for _, how := range senders {
		t.Run(how.name, func(t *testing.T) {
			p := newPeer(t, func(n int64, c net.Conn, r *nethttp.Request) bool {
				return says(okAnswer)(n, c, r) && n%2 == 1
			})
			cfg := sinkConfig(p.url)
			cfg.Mode = how.mode
			s := newSink(t, cfg)
			for i := range 100 {
				if err := how.send(s, t.Context(), order("1")); err != nil {
					t.Fatalf("event %d: %v", i, err)
				}
			}
			if p.requests.Load() != 100 {
				t.Errorf("%d requests; want 100, each read once", p.requests.Load())
			}
		})
	}
}

// U11: a call sends again only once, on a new connection, and only before the first
// byte of an answer.
func TestSink_sendsOnceMoreWhatFailsOnAUsedConnection(t *testing.T) {
	const closing = "HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
	for _, row := range []struct {
		name     string
		second   string // the answer to the second request, before the server closes
		requests int64
		want     string // part of the error; "": delivered
	}{
		{"closed without an answer", "", 3, ""},
		{"408 and the end", closing, 3, ""},
		{"408 and no end", status("408 Request Timeout", ""), 2, "408 Request Timeout"},
		{"half an answer", "HTTP/1.1 2", 2, "closed before an answer"},
		{"an answer that is not HTTP", "hello\r\n\r\n", 2, "not HTTP/1.1"},
	} {
		t.Run(row.name, func(t *testing.T) {
			p := newPeer(t, func(n int64, c net.Conn, r *nethttp.Request) bool {
				if n != 2 {
					return says(okAnswer)(n, c, r)
				}
				_, _ = io.WriteString(c, row.second)
				return false
			})
			s := newSink(t, sinkConfig(p.url))
			if err := s.Send(t.Context(), order("1")); err != nil {
				t.Fatal(err)
			}
			err := s.Send(t.Context(), order("2"))
			if row.want == "" && err != nil || row.want != "" && (err == nil || !strings.Contains(err.Error(), row.want)) {
				t.Errorf("error is %v; want %q", err, row.want)
			}
			if n := p.requests.Load(); n != row.requests {
				t.Errorf("%d requests; want %d", n, row.requests)
			}
		})
	}
	t.Run("a new connection that breaks too", func(t *testing.T) {
		p := newPeer(t, func(n int64, c net.Conn, r *nethttp.Request) bool {
			return n == 1 && says(okAnswer)(n, c, r)
		})
		s := newSink(t, sinkConfig(p.url))
		if err := s.Send(t.Context(), order("1")); err != nil {
			t.Fatal(err)
		}
		wantClass(t, s.Send(t.Context(), order("2")), connector.Unavailable)
		if n := p.requests.Load(); n != 3 {
			t.Errorf("%d requests; want 3: the second event twice", n)
		}
	})
	t.Run("no answer in time", func(t *testing.T) {
		ends := make(chan struct{})
		p := newPeer(t, func(n int64, c net.Conn, r *nethttp.Request) bool {
			if n == 1 {
				return says(okAnswer)(n, c, r)
			}
			<-ends
			return false
		})
		defer close(ends)
		cfg := sinkConfig(p.url)
		cfg.Timeout = 50 * time.Millisecond
		s := newSink(t, cfg)
		if err := s.Send(t.Context(), order("1")); err != nil {
			t.Fatal(err)
		}
		if err := s.Send(t.Context(), order("2")); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("error is %v", err)
		}
		if n := p.requests.Load(); n != 2 {
			t.Errorf("%d requests; want 2: the server may be at work on it", n)
		}
	})
	t.Run("nobody answers the new call", func(t *testing.T) {
		p := newPeer(t, func(n int64, c net.Conn, r *nethttp.Request) bool {
			return n == 1 && says(okAnswer)(n, c, r)
		})
		var dialled int
		dial := func(ctx context.Context, network, address string) (net.Conn, error) {
			if dialled++; dialled > 1 {
				return nil, errors.New("refused")
			}
			return new(net.Dialer).DialContext(ctx, network, address)
		}
		cfg := sinkConfig(p.url)
		cfg.MaxConnections = 1
		s := newSink(t, cfg, SinkOptions{Dial: dial})
		if err := s.Send(t.Context(), order("1")); err != nil {
			t.Fatal(err)
		}
		for range 2 { // the slot is free again
			if err := s.Send(t.Context(), order("2")); err == nil || !strings.HasSuffix(err.Error(), ": refused") {
				t.Errorf("error is %v", err)
			}
		}
	})
}

// U19: the setting that README.md recommends.
func TestSink_canGiveEachRequestAConnectionOfItsOwn(t *testing.T) {
	p := newPeer(t, says(okAnswer))
	cfg := sinkConfig(p.url)
	cfg.MaxAge = 1
	s := newSink(t, cfg)
	for range 3 {
		if err := s.Send(t.Context(), order("1")); err != nil {
			t.Error(err)
		}
	}
	if p.conns.Load() != 3 {
		t.Errorf("%d connections for 3 requests", p.conns.Load())
	}
}

// U11: the same with concurrent calls.
func TestSink_outlivesARestartOfTheServerUnderLoad(t *testing.T) {
	var closing sync.Map
	p := newPeer(t, func(n int64, c net.Conn, r *nethttp.Request) bool {
		_, known := closing.LoadOrStore(c, true)
		return says(okAnswer)(n, c, r) && !known
	})
	s := newSink(t, sinkConfig(p.url))
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for range 50 {
				if err := s.Send(t.Context(), order("1")); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if p.requests.Load() != 800 {
		t.Errorf("%d requests", p.requests.Load())
	}
}
