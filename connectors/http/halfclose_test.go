package http

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	nethttp "net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/lsm/fiso/common/connector"
)

// raw is a connection on which a test writes its own bytes.
type raw struct {
	net.Conn
	t  *testing.T
	br *bufio.Reader
}

func dialRaw(t *testing.T, url string, trust *tls.Config) *raw {
	t.Helper()
	address := strings.TrimPrefix(url, "http://")
	address, _, _ = strings.Cut(address, "/")
	var c net.Conn
	var err error
	if trust != nil {
		c, err = tls.Dial("tcp", address, trust)
	} else {
		c, err = net.Dial("tcp", address)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return &raw{c, t, bufio.NewReader(c)}
}

func (c *raw) say(text string) {
	c.t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		c.t.Fatal(err)
	}
}

// halfClose closes the writing half.
func (c *raw) halfClose() {
	c.t.Helper()
	if err := c.Conn.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
		c.t.Fatal(err)
	}
}

// silent reports whether no answer arrives for a short time.
func (c *raw) silent() bool {
	_ = c.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	_, err := c.br.Peek(1)
	return errors.Is(err, os.ErrDeadlineExceeded)
}

func (c *raw) answer() answered {
	c.t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(20 * time.Second))
	resp, err := nethttp.ReadResponse(c.br, nil)
	if err != nil {
		c.t.Fatalf("no answer: %v", err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return answered{resp, string(text)}
}

// begin returns the head of a request.
func begin(length int, headers ...string) string {
	return "POST / HTTP/1.1\r\nHost: 127.0.0.1\r\n" + strings.Join(append(headers, ""), "\r\n") + "Content-Length: " + strconv.Itoa(length) + "\r\n\r\n"
}

// U12: a caller that closed its half of the connection got 200 for an event that was
// not delivered: net/http then ends the context of the request, and answers 200 if a
// handler returns without an answer.
func TestSource_aHalfClosedConnectionIsNotADisconnect(t *testing.T) {
	const batch = `[{"specversion":"1.0","id":"1","source":"/","type":"t"},{"specversion":"1.0","id":"2","source":"/","type":"t"}]`
	single, many := begin(1, "Idempotency-Key: i")+"x", begin(len(batch), "Content-Type: application/cloudevents-batch+json")+batch
	for _, row := range []struct {
		name, said string
		err        error
		status     int
		code       string
		body       string
	}{
		{"delivered", single, nil, 200, "", `{"id":"i","status":"accepted"}`},
		{"failed", single, errors.New("x"), 503, "NOT_SETTLED", ""},
		{"failed for good", single, connector.AsPermanent(errors.New("x")), 500, "FAILED", ""},
		{"handed back", single, connector.ErrInterrupted, 503, "NOT_SETTLED", ""},
		{"a batch that is delivered", many, nil, 200, "", `{"results":[{"id":"1","status":200},{"id":"2","status":200}]}`},
		{"a batch that failed", many, errors.New("x"), 503, "",
			`{"results":[{"id":"1","status":503,"detail":"not settled; send it again"},{"id":"2","status":503,"detail":"not settled; send it again"}]}`},
	} {
		for name, encrypted := range map[string]bool{"": false, " with TLS": true} {
			t.Run(row.name+name, func(t *testing.T) {
				messages := make(chan *connector.Message, 2)
				cfg := sourceConfig()
				var trust *tls.Config
				if encrypted {
					trust = secured(t, &cfg)
				}
				s := startSource(t, cfg, SourceOptions{}, func(_ context.Context, m *connector.Message) { messages <- m })
				c := dialRaw(t, s.url, trust)
				c.say(row.said)
				c.halfClose()
				first := <-messages
				if !c.silent() {
					t.Error("answered before the event was settled")
				}
				first.Settle(row.err)
				if row.said == many {
					(<-messages).Settle(row.err)
				}
				a := c.answer()
				if a.StatusCode != row.status || a.Header.Get("Fiso-Error") != row.code || row.body != "" && a.body != row.body {
					t.Errorf("answer is %d %s; want %d %s", a.StatusCode, a.body, row.status, row.body)
				}
			})
		}
	}
}

// U12: the caller of a request that was not handed over always gets 503. It got 200 or
// 503 at random.
func TestSource_answers503ToARequestThatIsHandedBack(t *testing.T) {
	for _, row := range []struct {
		name    string
		timeout time.Duration
		code    string
	}{
		{"the source stops", time.Minute, "STOPPING"},
		{"the wait is too long", 20 * time.Millisecond, "NOT_SETTLED"},
	} {
		t.Run(row.name, func(t *testing.T) {
			messages := make(chan *connector.Message, 1)
			blocked := make(chan struct{})
			cfg := sourceConfig()
			cfg.AnswerTimeout = row.timeout
			s := startSource(t, cfg, SourceOptions{}, func(_ context.Context, m *connector.Message) {
				messages <- m
				<-blocked
				m.Settle(nil)
			})
			defer close(blocked)
			first := dialRaw(t, s.url, nil)
			first.say(begin(1) + "x")
			<-messages
			var waiting []*raw
			for range 20 {
				c := dialRaw(t, s.url, nil)
				c.say(begin(1) + "x")
				c.halfClose()
				waiting = append(waiting, c)
			}
			if row.timeout == time.Minute {
				eventually(t, "all wait for their turn", func() bool { return s.inFlight() == 21 })
				go func() { _ = s.stop() }()
			}
			for _, c := range waiting {
				c.answer().want(t, 503, row.code)
			}
			if len(messages) != 0 {
				t.Error("an event was handed over whose caller had been told to send it again")
			}
		})
	}
}

// U12: a caller gets an answer even if the handler panics.
func TestSource_neverAnswers200AfterAPanic(t *testing.T) {
	s := startSource(t, sourceConfig(), SourceOptions{}, func(context.Context, *connector.Message) { panic("boom") })
	c := dialRaw(t, s.url, nil)
	c.say(begin(1) + "x")
	c.halfClose()
	c.answer().want(t, 503, "NOT_SETTLED")
}
