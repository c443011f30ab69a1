package http1

import (
	"context"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"
)

// L14, https://nvd.nist.gov/vuln/detail/CVE-2007-6750 (Slowloris): connections that send
// nothing, or half a head, do not keep others out.
func TestServer_makesRoomByClosingWhoeverAsksForNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		serving, finish := make(chan struct{}), make(chan struct{})
		s := &Server{Handler: waits(serving, finish)}
		const ask = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
		read := func(c net.Conn) { go func() { _, _ = io.Copy(io.Discard, c) }() }
		connect := func(said string) chan struct{} {
			c, gone := pipe(t, s)
			read(c)
			if said != "" { // a pipe delivers empty writes, too
				_, _ = io.WriteString(c, said)
			}
			synctest.Wait()
			time.Sleep(time.Millisecond) // of fake time, so that each is older than the next
			return gone
		}
		busy := connect(ask)
		<-serving
		kept := connect("GET /quick HTTP/1.1\r\nHost: a\r\n\r\n")
		silent := connect("")
		halfway := connect("GET / HTTP/1.1\r\nHo")
		for i, next := range []chan struct{}{silent, halfway, kept} {
			if !open(next) {
				t.Fatalf("%d is closed before its turn", i)
			}
			if !s.MakeRoom() {
				t.Errorf("%d: there is nobody who makes room", i)
			}
			synctest.Wait()
			if open(next) {
				t.Errorf("%d is not the one that makes room", i)
			}
		}
		if s.MakeRoom() || !open(busy) {
			t.Error("a call under way makes room")
		}
		close(finish)
	})
}

func open(gone chan struct{}) bool {
	select {
	case <-gone:
		return false
	default:
		return true
	}
}

// waits answers /quick at once, and everything else when it is released.
func waits(serving, finish chan struct{}) handlerFunc {
	return func(_ context.Context, w ResponseWriter, r *Request) {
		if r.Target != "/quick" {
			close(serving)
			<-finish
		}
		_ = reply(w, 200, "")
	}
}

func TestServer_letsABodyPauseAsLongAsAStreamMay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &Server{Handler: echo}
		s.BodiesMayPause(5 * time.Minute)
		c, _ := pipe(t, s)
		a := newApp(t, c)
		_ = c.SetDeadline(time.Time{})
		a.say("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhe")
		time.Sleep(4 * time.Minute) // of fake time
		a.say("llo")
		a.expect(200, "POST / hello")
	})
}
