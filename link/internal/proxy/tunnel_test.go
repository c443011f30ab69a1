package proxy

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lsm/fiso/common/http1"
	"github.com/lsm/fiso/link/internal/call"
	"github.com/lsm/fiso/link/internal/target"
)

// tunnelled makes a call that becomes a WebSocket: app and up are its two ends.
func tunnelled(ctx context.Context, t *testing.T, change func(w *recorder)) (app, up net.Conn, done <-chan CallRecord) {
	t.Helper()
	app, near := net.Pipe()
	up, far := net.Pipe()
	return app, up, tunnelBetween(ctx, t, near, far, change)
}

// tunnelBetween makes a call that becomes a WebSocket between two connections.
func tunnelBetween(ctx context.Context, t *testing.T, near, far io.ReadWriteCloser, change func(w *recorder)) (done <-chan CallRecord) {
	t.Helper()
	to := newTargetOf(t, "timeout: 10s\ntimeouts: {idle: 30s}", target.Parts{Transport: trip(func(_ context.Context, _ string, out *http1.Outgoing, _ func(int, http1.Header)) (*http1.Answer, error) {
		if out.Upgrade != "websocket" {
			t.Errorf("upgrade %q", out.Upgrade)
		}
		a := answer(101, "", "Sec-WebSocket-Accept", "x")
		a.Upgraded = far
		return a, nil
	})})
	r := request("GET", "/link/crm/", "")
	r.Upgrade = "WebSocket"
	w := &recorder{upgraded: near}
	if change != nil {
		change(w)
	}
	records := make(chan CallRecord, 1)
	go func() { records <- serveTo(ctx, to, w, r) }()
	return records
}

// halves is a connection whose two directions end separately.
type halves struct {
	*io.PipeReader
	*io.PipeWriter
}

func (h halves) CloseWrite() error { return h.PipeWriter.Close() }
func (h halves) Close() error      { return errors.Join(h.PipeWriter.Close(), h.PipeReader.Close()) }

func newHalves() (one, other halves) {
	r1, w1 := io.Pipe()
	r2, w2 := io.Pipe()
	return halves{r1, w2}, halves{r2, w1}
}

// UL1: the end of one direction neither ends the other nor loses what was sent in it.
func TestTunnel_oneSideEndsAlone(t *testing.T) {
	for _, first := range []string{"target", "application"} {
		t.Run(first, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				app, near := newHalves()
				up, far := newHalves()
				done := tunnelBetween(t.Context(), t, near, far, nil)
				begins, follows := up, app
				if first == "application" {
					begins, follows = app, up
				}
				go func() {
					_, _ = io.WriteString(begins, "the tail")
					_ = begins.CloseWrite()
				}()
				if b, err := io.ReadAll(follows); string(b) != "the tail" || err != nil {
					t.Errorf("%q, %v", b, err)
				}
				go func() {
					_, _ = io.WriteString(follows, "still here")
					_ = follows.CloseWrite()
				}()
				if b, err := io.ReadAll(begins); string(b) != "still here" || err != nil {
					t.Errorf("after its own end it reads %q, %v", b, err)
				}
				if record := <-done; record.Status != 101 {
					t.Error(record)
				}
			})
		})
	}
}

func TestTunnel_carriesBothWaysAndEndsWithEitherSide(t *testing.T) {
	for _, by := range []string{"application", "target", "context"} {
		t.Run(by, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				app, up, done := tunnelled(ctx, t, nil)
				for range 5 {
					time.Sleep(20 * time.Second) // longer than the total timeout, shorter than idle
					send(t, app, "ping")
					read(t, up, "ping")
					send(t, up, "pong")
					read(t, app, "pong")
				}
				switch by {
				case "application":
					_ = app.Close()
				case "target":
					_ = up.Close()
				default:
					cancel()
				}
				record := <-done
				if record.Status != 101 || record.Mode != "stream" || record.Attempts != 1 {
					t.Error(record)
				}
				for side, c := range map[string]net.Conn{"application": app, "target": up} {
					if _, err := c.Read(make([]byte, 1)); err == nil {
						t.Errorf("the %s's side is open", side)
					}
				}
			})
		})
	}
}

func TestTunnel_endsWhenNothingMovesInEitherDirection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		app, up, done := tunnelled(t.Context(), t, nil)
		began := time.Now()
		time.Sleep(25 * time.Second)
		send(t, up, "x")
		read(t, app, "x")
		time.Sleep(25 * time.Second)
		send(t, app, "y")
		read(t, up, "y")
		<-done
		if took := time.Since(began); took != 80*time.Second {
			t.Error(took)
		}
		if _, err := app.Read(make([]byte, 1)); err == nil {
			t.Error("the application's side is open")
		}
	})
}

func TestTunnel_closesTheTargetWhereTheApplicationIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, up, done := tunnelled(t.Context(), t, func(w *recorder) { w.fail = errBroken })
		if record := <-done; record.Status != 499 {
			t.Error(record)
		}
		if _, err := up.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Error(err)
		}
	})
}

func TestTunnel_endsWhereWhatItCarriesCannotBeDelivered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		app, up, done := tunnelled(t.Context(), t, func(w *recorder) { w.upgraded = deaf{w.upgraded} })
		send(t, up, "x")
		<-done
		if _, err := app.Read(make([]byte, 1)); err == nil {
			t.Error("the application's side is open")
		}
	})
}

// deaf is a connection that accepts no bytes.
type deaf struct{ io.ReadWriteCloser }

func (deaf) Write([]byte) (int, error) { return 0, errBroken }

// A handshake is not an ordinary GET: it reaches the target at most once.
func TestTunnel_isNotRetried(t *testing.T) {
	to := newTargetOf(t, "", target.Parts{Transport: always(503, "")})
	r := request("GET", "/link/crm/", "")
	r.Upgrade = "websocket"
	if _, record := makeCall(t.Context(), to, r); record.Attempts != 1 || record.Status != 503 {
		t.Error(record)
	}
}

// L6: the path of a WebSocket is checked like any other.
func TestTunnel_isOnlyWhereItMayBe(t *testing.T) {
	to := newTargetOf(t, "allowedPaths: [/ws]", target.Parts{Transport: always(200, "")})
	r := request("GET", "/link/crm/admin", "")
	r.Upgrade = "websocket"
	if _, record := makeCall(t.Context(), to, r); record.Code != call.PathNotAllowed {
		t.Error(record)
	}
}

// L6: https://github.com/golang/go/issues/80416, over real connections: bytes after a
// dropped upgrade are the next request, and are checked.
func TestTunnel_anUpgradeToH2CIsDroppedOnTheWire(t *testing.T) {
	up := upstream(t, func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%q %q %q", r.URL.Path, r.Header["Upgrade"], r.Header["Http2-Settings"])
	})
	c := dial(t, serve(t, &Proxy{}, newTarget(t, up, "allowedPaths: [/a]")))
	fmt.Fprint(c, "GET /link/crm/a HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAA\r\n\r\n"+
		"GET /link/crm/admin HTTP/1.1\r\nHost: localhost\r\n\r\n")
	in := bufio.NewReader(c)
	for _, want := range []struct {
		status int
		body   string
	}{{200, `"/a" [] []`}, {403, ""}} {
		resp, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != want.status || want.body != "" && string(b) != want.body {
			t.Error(resp.StatusCode, string(b), err)
		}
	}
}
