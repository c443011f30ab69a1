package http

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/lsm/fiso/common/connector"
)

func TestSource_answersBusyWhenItHasEnough(t *testing.T) {
	messages := make(chan *connector.Message, 2)
	cfg := sourceConfig()
	cfg.MaxRequests = 2
	s := startSource(t, cfg, SourceOptions{}, func(_ context.Context, m *connector.Message) { messages <- m })
	answers := make(chan answered, 2)
	for range 2 {
		go func() { answers <- ask(t, "POST", s.url, "x") }()
	}
	first, second := <-messages, <-messages
	a := ask(t, "POST", s.url, "x")
	a.want(t, 503, "BUSY")
	if a.Header.Get("Retry-After") != "1" {
		t.Errorf("Retry-After is %q", a.Header.Get("Retry-After"))
	}
	first.Settle(nil)
	second.Settle(nil)
	for range 2 {
		(<-answers).want(t, 200, "")
	}
}

func TestSource_aCallerDoesNotWaitForEver(t *testing.T) {
	messages := make(chan *connector.Message, 2)
	blocked := make(chan struct{})
	cfg := sourceConfig()
	cfg.AnswerTimeout = 10 * time.Millisecond
	s := startSource(t, cfg, SourceOptions{}, func(_ context.Context, m *connector.Message) {
		messages <- m
		if string(m.Value) == "block" {
			<-blocked
			m.Settle(nil)
		}
	})
	ask(t, "POST", s.url, "late").want(t, 503, "NOT_SETTLED")
	(<-messages).Settle(nil) // it can still be settled

	answers := make(chan answered, 1)
	go func() { answers <- ask(t, "POST", s.url, "block") }()
	<-messages
	ask(t, "POST", s.url, "behind").want(t, 503, "NOT_SETTLED") // it is never handed over
	close(blocked)
	<-answers
	if len(messages) != 0 {
		t.Error("an event was handed over whose caller had been told to send it again")
	}
}

// L14: slow headers and slow bodies do not hold a connection for ever.
// https://github.com/golang/go/issues/65051 (CVE-2023-45288)
// L7: a request with two lengths is refused. https://github.com/golang/go/issues/71988
func TestSource_boundsSlowCallers(t *testing.T) {
	cfg := sourceConfig()
	cfg.HeaderTimeout, cfg.ReadTimeout = 20*time.Millisecond, 40*time.Millisecond
	cfg.MaxHeaderBytes = 4 << 10
	s := startSource(t, cfg, SourceOptions{}, new(collect).handle)
	address := strings.TrimSuffix(strings.TrimPrefix(s.url, "http://"), "/")
	for _, row := range []struct{ name, send, want string }{
		{"half a header", "POST / HTTP/1.1\r\nHost: 127.0.0.1\r\n", ""},
		{"half a body", "POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 10\r\n\r\nhalf", "HTTP/1.1 408"},
		{"a huge header", "POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: " + strings.Repeat("x", 16<<10) + "\r\n\r\n", "HTTP/1.1 431"},
		{"two lengths", "POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx", "HTTP/1.1 400"},
		{"bad chunks", "POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "HTTP/1.1 400"},
	} {
		t.Run(row.name, func(t *testing.T) {
			c, err := net.Dial("tcp", address)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = c.Close() }()
			if _, err := io.WriteString(c, row.send); err != nil {
				t.Fatal(err)
			}
			if err := c.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
				t.Fatal(err)
			}
			text, err := io.ReadAll(c) // ends when the server closes
			var timeout net.Error
			if errors.As(err, &timeout) && timeout.Timeout() || !strings.HasPrefix(string(text), row.want) {
				t.Errorf("answer is %q (%v); want %q", text, err, row.want)
			}
		})
	}
}

func TestSource_aCallerThatWaitsIsNotTakenForSlow(t *testing.T) {
	cfg := sourceConfig()
	cfg.HeaderTimeout, cfg.ReadTimeout = 20*time.Millisecond, 20*time.Millisecond
	s := startSource(t, cfg, SourceOptions{}, func(_ context.Context, m *connector.Message) {
		time.AfterFunc(100*time.Millisecond, func() { m.Settle(nil) })
	})
	ask(t, "POST", s.url, "x").want(t, 200, "")
}

// L9: any web page can send requests to a port on loopback.
// https://github.com/golang/go/issues/23993
// https://github.com/modelcontextprotocol/go-sdk/issues/760
func TestSource_keepsBrowsersOut(t *testing.T) {
	var c collect
	s := startSource(t, sourceConfig(), SourceOptions{}, c.handle)
	_, port, _ := net.SplitHostPort(strings.Trim(strings.TrimPrefix(s.url, "http://"), "/"))
	ask(t, "POST", s.url, "x", "Host", "evil.example:"+port).want(t, 403, "FORBIDDEN")
	ask(t, "POST", s.url, "x", "Host", "evil.example").want(t, 403, "FORBIDDEN")
	ask(t, "POST", s.url, "x", "Origin", "https://evil.example").want(t, 403, "FORBIDDEN")
	ask(t, "POST", s.url, "x", "Sec-Fetch-Site", "cross-site").want(t, 403, "FORBIDDEN")
	if len(c.messages()) != 0 {
		t.Error("an event got in")
	}
	for _, host := range []string{"localhost:" + port, "LOCALHOST", "127.0.0.1", "[::1]:" + port, "[::1]"} {
		ask(t, "POST", s.url, "x", "Host", host).want(t, 200, "")
	}
	cfg := sourceConfig()
	cfg.Hosts = []string{"Orders.example"}
	s = startSource(t, cfg, SourceOptions{}, c.handle)
	ask(t, "POST", s.url, "x", "Host", "orders.example:"+port).want(t, 200, "")
	ask(t, "POST", s.url, "x", "Host", "localhost").want(t, 403, "FORBIDDEN")
}
