package http

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"io"
	"net"
	nethttp "net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/lsm/fiso/common/config"
	"github.com/lsm/fiso/common/connector"
)

// secured makes a source listen with TLS, and returns the client configuration that
// trusts it.
func secured(t *testing.T, cfg *SourceConfig) *tls.Config {
	t.Helper()
	ca, cert, key := certificates(t)
	cfg.TLS = config.TLS{CertFile: cert, KeyFile: key}
	text, err := os.ReadFile(ca)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		t.Fatal("no certificate")
	}
	return &tls.Config{RootCAs: pool}
}

// http2 returns a client that sends all requests over one connection.
func http2(t *testing.T, trust *tls.Config) *nethttp.Client {
	t.Helper()
	transport := &nethttp.Transport{TLSClientConfig: trust, ForceAttemptHTTP2: true}
	t.Cleanup(transport.CloseIdleConnections)
	return &nethttp.Client{Transport: transport, Timeout: 20 * time.Second}
}

func secure(url string) string { return strings.Replace(url, "http://", "https://", 1) }

// post sends a request in the background and returns its status or error.
func post(ctx context.Context, c *nethttp.Client, url string, body io.Reader) <-chan answered {
	out := make(chan answered, 1)
	go func() {
		r, err := nethttp.NewRequestWithContext(ctx, "POST", url, body)
		if err == nil {
			var resp *nethttp.Response
			if resp, err = c.Do(r); err == nil {
				text, _ := io.ReadAll(resp.Body)
				_ = resp.Body.Close()
				out <- answered{resp, string(text)}
				return
			}
		}
		out <- answered{&nethttp.Response{Header: nethttp.Header{}}, err.Error()}
	}()
	return out
}

// U12: over HTTP/2 a caller can leave by resetting its stream.
func TestSource_aCallerThatWaitsForItsTurnMayDisconnect(t *testing.T) {
	messages, blocked := make(chan *connector.Message, 2), make(chan struct{})
	cfg := sourceConfig()
	trust := secured(t, &cfg)
	s := startSource(t, cfg, SourceOptions{}, func(_ context.Context, m *connector.Message) {
		messages <- m
		<-blocked
		m.Settle(nil)
	})
	c := http2(t, trust)
	first := post(t.Context(), c, secure(s.url), strings.NewReader("1"))
	<-messages
	ctx, cancel := context.WithCancel(t.Context())
	second := post(ctx, c, secure(s.url), strings.NewReader("2"))
	eventually(t, "the second waits", func() bool { return s.inFlight() == 2 })
	cancel()
	if a := <-second; a.StatusCode != 0 {
		t.Errorf("the second was answered: %d", a.StatusCode)
	}
	eventually(t, "the second is gone", func() bool { return s.inFlight() == 1 })
	close(blocked)
	(<-first).want(t, 200, "")
	if len(messages) != 0 {
		t.Error("an event was handed over whose caller had left before its turn")
	}
}

// U12: an event that was handed over is settled even if its stream is reset.
func TestSource_anEventIsSettledThoughItsStreamIsReset(t *testing.T) {
	messages := make(chan *connector.Message, 1)
	cfg := sourceConfig()
	trust := secured(t, &cfg)
	s := startSource(t, cfg, SourceOptions{}, func(_ context.Context, m *connector.Message) { messages <- m })
	ctx, cancel := context.WithCancel(t.Context())
	gone := post(ctx, http2(t, trust), secure(s.url), strings.NewReader("1"))
	m := <-messages
	cancel()
	if a := <-gone; a.StatusCode != 0 {
		t.Errorf("answered: %d", a.StatusCode)
	}
	if m.IsSettled() || s.inFlight() != 1 {
		t.Error("the event ended with its caller")
	}
	m.Settle(nil)
	if s.inFlight() != 0 {
		t.Error("the event is still in flight")
	}
}

// frame returns an HTTP/2 frame.
func frame(kind, flags byte, stream uint32, payload string) string {
	b := binary.BigEndian.AppendUint32(nil, uint32(len(payload)))[1:]
	b = append(b, kind, flags)
	return string(binary.BigEndian.AppendUint32(b, stream)) + payload
}

const (
	frameHeaders, frameSettings, frameContinuation = 1, 4, 9
	preface                                        = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
)

// rawHTTP2 opens a connection and reads the server's settings.
func rawHTTP2(t *testing.T, trust *tls.Config, url string) (net.Conn, map[uint16]uint32) {
	t.Helper()
	trust = trust.Clone()
	trust.NextProtos = []string{"h2"}
	c, err := tls.Dial("tcp", strings.TrimSuffix(strings.TrimPrefix(url, "http://"), "/"), trust)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if _, err := io.WriteString(c, preface+frame(frameSettings, 0, 0, "")); err != nil {
		t.Fatal(err)
	}
	var head [9]byte
	if _, err := io.ReadFull(c, head[:]); err != nil || head[3] != frameSettings {
		t.Fatalf("%v, %v", head, err)
	}
	payload := make([]byte, int(head[1])<<8|int(head[2]))
	if _, err := io.ReadFull(c, payload); err != nil {
		t.Fatal(err)
	}
	settings := map[uint16]uint32{}
	for ; len(payload) >= 6; payload = payload[6:] {
		settings[binary.BigEndian.Uint16(payload)] = binary.BigEndian.Uint32(payload[2:])
	}
	return c, settings
}

// U20: an HTTP/2 head that never ended was kept for the idle timeout, 121 s.
// https://nvd.nist.gov/vuln/detail/CVE-2023-45288
func TestSource_endsAHeadOfHTTP2ThatNeverEnds(t *testing.T) {
	cfg := sourceConfig()
	cfg.HeaderTimeout = 100 * time.Millisecond
	trust := secured(t, &cfg)
	s := startSource(t, cfg, SourceOptions{}, new(collect).handle)
	c, _ := rawHTTP2(t, trust, s.url)
	if _, err := io.WriteString(c, frame(frameHeaders, 0, 1, "\x83")); err != nil { // :method POST, without END_HEADERS
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	if err := c.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	go func() {
		_, err := io.Copy(io.Discard, c)
		ended <- err
	}()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case err := <-ended:
			if errors.Is(err, os.ErrDeadlineExceeded) {
				t.Error("the connection is open for ever")
			}
			return
		case <-tick.C:
			_, _ = io.WriteString(c, frame(frameContinuation, 0, 1, "")) // until the server closes
		}
	}
}

// U15: data that a connection may send without being asked is held outside the budget,
// and is bounded.
func TestSource_boundsWhatAConnectionOfHTTP2MayDo(t *testing.T) {
	cfg := sourceConfig()
	trust := secured(t, &cfg)
	s := startSource(t, cfg, SourceOptions{}, new(collect).handle)
	_, settings := rawHTTP2(t, trust, s.url)
	for _, row := range []struct {
		name string
		id   uint16
		most uint32
	}{{"streams at once", 3, 100}, {"window of a stream", 4, 64 << 10}, {"frame", 5, 16 << 10}, {"header", 6, 64<<10 + 320}} {
		if got, said := settings[row.id]; !said || got > row.most {
			t.Errorf("%s: %d (%v); want at most %d", row.name, got, said, row.most)
		}
	}
}

// U15: a refusal ends its stream, and not the connection with all other streams.
func TestSource_aRefusalOverHTTP2EndsNoOtherStream(t *testing.T) {
	messages := make(chan *connector.Message, 1)
	cfg := sourceConfig()
	trust := secured(t, &cfg)
	s := startSource(t, cfg, SourceOptions{}, func(_ context.Context, m *connector.Message) { messages <- m })
	c := http2(t, trust)
	first := post(t.Context(), c, secure(s.url), strings.NewReader("1"))
	m := <-messages
	(<-post(t.Context(), c, secure(s.url)+"none", strings.NewReader("2"))).want(t, 404, "NOT_FOUND")
	third := post(t.Context(), c, secure(s.url), strings.NewReader("3"))
	(<-messages).Settle(nil)
	(<-third).want(t, 200, "")
	m.Settle(nil)
	(<-first).want(t, 200, "")
	if n := s.listener(t).bounded.Len(); n != 1 {
		t.Errorf("%d connections; want 1", n)
	}
}

// U15: a caller that resets its stream while it waits for bytes leaves the queue.
func TestSource_aCallerThatWaitsForMemoryMayDisconnect(t *testing.T) {
	messages := make(chan *connector.Message, 2)
	cfg := sourceConfig()
	cfg.MaxBodyBytes, cfg.MaxBufferedBytes = 10, 1
	trust := secured(t, &cfg)
	s := startSource(t, cfg, SourceOptions{}, func(_ context.Context, m *connector.Message) { messages <- m })
	c := http2(t, trust)
	first := post(t.Context(), c, secure(s.url), strings.NewReader("1"))
	m := <-messages
	ctx, cancel := context.WithCancel(t.Context())
	second := post(ctx, c, secure(s.url), strings.NewReader("2"))
	path := s.path(t)
	eventually(t, "the second waits", func() bool { _, waiting, _ := path.holds(); return waiting == 1 })
	cancel()
	if a := <-second; a.StatusCode != 0 {
		t.Errorf("the second was answered: %d", a.StatusCode)
	}
	eventually(t, "the second is gone", func() bool { _, waiting, arrivals := path.holds(); return waiting+arrivals == 0 })
	m.Settle(nil)
	(<-first).want(t, 200, "")
	if len(messages) != 0 {
		t.Error("an event was handed over whose caller had left")
	}
}
