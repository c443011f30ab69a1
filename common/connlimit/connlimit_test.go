package connlimit

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// door is a listener of in-memory pipes, so that tests can use virtual time.
type door struct{ calls chan net.Conn }

func (d door) Accept() (net.Conn, error) {
	c, ok := <-d.calls
	if !ok {
		return nil, io.EOF
	}
	return c, nil
}
func (d door) Close() error { return nil }
func (door) Addr() net.Addr { return nil }

// place is an accepted connection with the caller's end.
type place struct {
	*Conn
	caller net.Conn
}

// closed reports whether the server's end was closed.
func (p place) closed() bool {
	_ = p.caller.SetReadDeadline(time.Now())
	_, err := p.caller.Read(make([]byte, 1))
	return errors.Is(err, io.EOF)
}

const patience = time.Second

// limited fills a Listener with two connections and calls before with them. It then
// opens a third, and calls check with how long that one waited for a slot.
func limited(t *testing.T, before func(first, second place), check func(first, second place, waited time.Duration)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		d := door{make(chan net.Conn, 3)}
		l := New(d, 2, patience)
		defer time.AfterFunc(time.Hour, func() { _ = l.Close() }).Stop() // in case no connection is ever closed
		enter := func() place {
			caller, server := net.Pipe()
			d.calls <- server
			c, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			return place{c.(*Conn), caller}
		}
		first := enter()
		time.Sleep(time.Millisecond)
		second := enter()
		before(first, second)
		began := time.Now()
		third := enter()
		check(first, second, time.Since(began))
		for _, p := range []place{first, second, third} {
			_, _ = p.Close(), p.caller.Close()
		}
		synctest.Wait()
		if l.Len() != 0 {
			t.Errorf("%d places are taken by nobody", l.Len())
		}
	})
}

// U13, U15: which connection makes room, and when.
// U31: connections without a first head make room early, for a flood consists of them.
func TestListener_makesRoom(t *testing.T) {
	for _, row := range []struct {
		name          string
		before        func(first, second place)
		first, second bool // closed
		waited        time.Duration
	}{
		{"neither has said anything: the older one, in time", func(_, _ place) {}, true, false, patience/10 - time.Millisecond},
		{"a first head that does not come, before a body that takes its time", func(first, _ place) {
			first.Receiving()
			time.Sleep(2 * patience)
		}, false, true, 0},
		{"an idle one at once, before an older one", func(_, second place) {
			second.Working()
			ConnState(second.Conn, http.StateIdle)
		}, false, true, 0},
		{"the one that has been idle for longer", func(first, second place) {
			first.Working()
			second.Working()
			ConnState(second.Conn, http.StateIdle)
			time.Sleep(time.Millisecond)
			ConnState(first.Conn, http.StateIdle)
		}, false, true, 0},
		{"a body that takes its time, and not a request that is worked on", func(first, second place) {
			first.Working()
			first.Receiving() // another stream of the connection
			second.Receiving()
		}, false, true, patience},
		{"an answer that is not read", func(first, second place) {
			first.Working()
			second.Working()
			go func() { _, _ = second.Write([]byte("x")) }()
			synctest.Wait()
		}, false, true, patience},
	} {
		t.Run(row.name, func(t *testing.T) {
			limited(t, row.before, func(first, second place, waited time.Duration) {
				if first.closed() != row.first || second.closed() != row.second || waited != row.waited {
					t.Errorf("closed: %v and %v after %v; want %v and %v after %v", first.closed(), second.closed(), waited, row.first, row.second, row.waited)
				}
			})
		})
	}
}

func TestListener_aCallerWaitsWhileAllConnectionsAreBusy(t *testing.T) {
	limited(t, func(first, second place) {
		first.Working()
		second.Working()
		go func() {
			time.Sleep(time.Minute)
			ConnState(first.Conn, http.StateActive) // has no effect
			ConnState(first.Conn, http.StateIdle)
		}()
	}, func(first, second place, waited time.Duration) {
		if !first.closed() || second.closed() || waited != time.Minute {
			t.Errorf("closed: %v and %v after %v", first.closed(), second.closed(), waited)
		}
	})
}

func TestListener_stopsWhileACallerWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := door{make(chan net.Conn, 1)}
		l := New(d, 0, patience)
		caller, server := net.Pipe()
		d.calls <- server
		got := make(chan error, 1)
		go func() { _, err := l.Accept(); got <- err }()
		synctest.Wait()
		if err := errors.Join(l.Close(), <-got); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Accept returned %v", err)
		}
		if _, err := caller.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("the caller heard %v", err)
		}
		close(d.calls)
		if _, err := l.Accept(); !errors.Is(err, io.EOF) {
			t.Errorf("Accept returned %v", err)
		}
	})
}

func TestConn_isFoundUnderTLS(t *testing.T) {
	c := &Conn{listener: New(nil, 1, patience)}
	ctx := ConnContext(t.Context(), tls.Server(c, nil))
	if Of(ctx) != c {
		t.Error("not found")
	}
	_, other := net.Pipe()
	if ctx := ConnContext(context.Background(), other); Of(ctx) != nil {
		t.Error("found what is not there")
	}
	Of(context.Background()).Working() // no effect without a Listener
	Of(context.Background()).Receiving()
}

func TestConn_endsGently(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := New(inner, 1, patience)
	defer func() { _ = l.Close() }()
	caller, err := net.Dial("tcp", inner.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = caller.Close() }()
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.(*Conn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if _, err := caller.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("the caller heard %v", err)
	}
	if _, err := io.WriteString(caller, "x"); err != nil {
		t.Error(err)
	}
	if n, err := c.Read(make([]byte, 1)); n != 1 || err != nil {
		t.Errorf("%d, %v: the other half is closed, too", n, err)
	}
	if err := errors.Join(c.Close(), (&Conn{Conn: wholeConn{}}).CloseWrite()); err != nil {
		t.Error(err)
	}
}

// U15: heads that never ended were kept, each at many times its size.
func TestListener_boundsTheHeadsThatAreNotComplete(t *testing.T) {
	d := door{make(chan net.Conn, 4)}
	l := New(d, 4, patience)
	enter := func(bytes int) place {
		caller, server := net.Pipe()
		d.calls <- server
		c, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		p := place{c.(*Conn), caller}
		t.Cleanup(func() { _, _ = p.Close(), caller.Close() })
		p.receive(bytes)
		return p
	}
	complete := enter(maxHeadBytes)
	complete.Receiving()
	complete.receive(maxHeadBytes) // a body
	large, small := enter(0), enter(maxHeadBytes/4)
	large.receive(maxHeadBytes / 2)
	if l.Len() != 3 || l.headBytes.Load() != 3*maxHeadBytes/4 {
		t.Fatalf("%d connections with heads of %d bytes", l.Len(), l.headBytes.Load())
	}
	ConnState(complete.Conn, http.StateIdle)
	complete.receive(maxHeadBytes/4 + 1) // the next head
	if l.Len() != 2 || !large.closed() || small.closed() || complete.closed() {
		t.Errorf("closed: %v, %v, %v; want the largest head alone to be closed", large.closed(), small.closed(), complete.closed())
	}
	small.Working()
	_ = complete.Close()
	if n := l.headBytes.Load(); n != 0 {
		t.Errorf("%d bytes of no head are counted", n)
	}
}

// receive makes the server read that many bytes.
func (p place) receive(bytes int) {
	go func() { _, _ = p.caller.Write(make([]byte, bytes)) }()
	_, _ = io.ReadFull(p.Conn, make([]byte, bytes))
}

// wholeConn is a connection that cannot close one direction only.
type wholeConn struct{ net.Conn }
