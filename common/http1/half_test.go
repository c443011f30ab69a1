package http1

import (
	"context"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// UL9: an application that ends its side of the connection after its request
// (RFC 9112, section 9.6) lost its answer when that took longer than 200 ms.
func TestServer_answersAnApplicationThatHasEndedItsSide(t *testing.T) {
	for _, row := range []struct{ name, raw, before string }{
		{"HTTP/1.1", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 100 Continue\r\n\r\n"},
		{"HTTP/1.1 with a body", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi", "HTTP/1.1 100 Continue\r\n\r\n"},
		{"HTTP/1.0", "GET / HTTP/1.0\r\nHost: a\r\n\r\n", ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			a := dial(t, serve(t, &Server{Handler: handlerFunc(func(ctx context.Context, w ResponseWriter, r *Request) {
				_, _ = io.ReadAll(r.Body)
				select {
				case <-ctx.Done():
					t.Error("the call was cancelled")
				case <-time.After(3 * watchAfter): // the watch has seen the end by then
				}
				_ = reply(w, 200, "fine")
			})}))
			a.say(row.raw)
			if err := a.Conn.(*net.TCPConn).CloseWrite(); err != nil {
				t.Fatal(err)
			}
			b, err := io.ReadAll(a.in)
			got, whole := strings.CutPrefix(string(b), row.before+"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n")
			if err != nil || !whole || !strings.HasSuffix(got, "\r\nfine") {
				t.Errorf("got %q, %v", b, err)
			}
		})
	}
}

// UL9: the server still notices an application that has closed its connection, and ends
// its call, even in a silent stream of events.
func TestServer_noticesAnApplicationThatHasClosedItsConnection(t *testing.T) {
	for name, events := range map[string]bool{"before it is answered": false, "in a silent stream of events": true} {
		t.Run(name, func(t *testing.T) {
			ended := make(chan struct{})
			a := dial(t, serve(t, &Server{Handler: handlerFunc(func(ctx context.Context, w ResponseWriter, _ *Request) {
				defer close(ended)
				if events {
					_ = w.Head(200, Header{{Name: "Content-Type", Value: "text/event-stream"}}, -1)
					_ = w.Flush()
				}
				<-ctx.Done()
			})}))
			a.say("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
			if events {
				a.line()
			}
			if err := a.Close(); err != nil {
				t.Fatal(err)
			}
			select {
			case <-ended:
			case <-time.After(patience):
				t.Fatal("the call goes on")
			}
		})
	}
}
