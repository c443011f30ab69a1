package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	okHead  = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"
	chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
	// The application's view of an answer, beside fiso-link's codes.
	cutOff = "cut off"
	whole  = "whole"
)

// faulty lists the ways in which a target fails, stage by stage, and the application's
// view of each.
var faulty = []struct {
	name  string
	treat func(p *peer)
	sees  string
	slow  bool // the call takes its whole timeout
}{
	{"accept, closed", func(*peer) {}, "UPSTREAM_RESET", false},
	{"accept, reset", (*peer).reset, "UPSTREAM_RESET", false},
	{"accept, stalls", (*peer).stall, "UPSTREAM_TIMEOUT", true},
	{"in the request's head, reset", func(p *peer) { _, _ = p.in.ReadByte(); p.reset() }, "UPSTREAM_RESET", false},
	{"after the request's head, reset", func(p *peer) { p.head(); p.reset() }, "UPSTREAM_RESET", false},
	{"after the request's head, stalls", func(p *peer) { p.head(); p.stall() }, "UPSTREAM_TIMEOUT", true},
	{"before the head, closed", func(p *peer) { p.request() }, "UPSTREAM_RESET", false},
	{"before the head, reset", func(p *peer) { p.request(); p.reset() }, "UPSTREAM_RESET", false},
	{"before the head, stalls", func(p *peer) { p.request(); p.stall() }, "UPSTREAM_TIMEOUT", true},
	{"before the head, half-closed", func(p *peer) { p.request(); _ = p.CloseWrite(); p.stall() }, "UPSTREAM_RESET", false},
	{"in the head, closed", func(p *peer) { p.request(); p.say("HTTP/1.1 200 OK\r\nX: ") }, "UPSTREAM_RESET", false},
	{"in the head, reset", func(p *peer) { p.request(); p.say("HTTP/1.1 200"); p.reset() }, "UPSTREAM_RESET", false},
	{"in the head, stalls", func(p *peer) { p.request(); p.say("HTTP/1.1 200"); p.stall() }, "UPSTREAM_TIMEOUT", true},
	{"endless head", func(p *peer) { p.request(); p.say("HTTP/1.1 200 OK\r\n"); p.endlessly("X-More: more\r\n") }, "UPSTREAM_GARBAGE", false},
	{"endless line", func(p *peer) { p.request(); p.endlessly("HTTP/1.1 200 ") }, "UPSTREAM_GARBAGE", false},
	{"endless 1xx", func(p *peer) { p.request(); p.endlessly("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n") }, "UPSTREAM_GARBAGE", false},
	{"1xx with a body", func(p *peer) {
		p.request()
		p.say("HTTP/1.1 103 Early Hints\r\nContent-Length: 5\r\n\r\nhello" + okHead + "hello")
	}, "UPSTREAM_GARBAGE", false},
	{"101 that nobody asked for", func(p *peer) { p.request(); p.say("HTTP/1.1 101 OK\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n") }, "UPSTREAM_GARBAGE", false},
	{"another protocol", func(p *peer) { p.say("SSH-2.0-OpenSSH_9.6\r\n\r\n"); p.request() }, "UPSTREAM_GARBAGE", false},
	{"noise", func(p *peer) { p.request(); p.say("\x00\x16\x03\x01\r\n\r\n") }, "UPSTREAM_GARBAGE", false},
	{"two lengths", func(p *peer) {
		p.request()
		p.say("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!")
	}, "UPSTREAM_GARBAGE", false},
	{"a length below zero", func(p *peer) { p.request(); p.say("HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nhello") }, "UPSTREAM_GARBAGE", false},
	{"a length and chunks", func(p *peer) {
		p.request()
		p.say("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
	}, "UPSTREAM_GARBAGE", false},
	{"in the body, closed", func(p *peer) { p.request(); p.say(okHead + "hell") }, cutOff, false},
	{"in the body, reset", func(p *peer) { p.request(); p.say(okHead + "hell"); p.reset() }, cutOff, false},
	{"in the body, stalls", func(p *peer) { p.request(); p.say(okHead + "hell"); p.stall() }, cutOff, true},
	{"in a chunk, closed", func(p *peer) { p.request(); p.say(chunked + "5\r\nhell") }, cutOff, false},
	{"in a chunk, reset", func(p *peer) { p.request(); p.say(chunked + "5\r\nhell"); p.reset() }, cutOff, false},
	{"in a chunk, stalls", func(p *peer) { p.request(); p.say(chunked + "5\r\nhell"); p.stall() }, cutOff, true},
	{"between chunks, closed", func(p *peer) { p.request(); p.say(chunked + "5\r\nhello\r\n") }, cutOff, false},
	{"a chunk of no size", func(p *peer) { p.request(); p.say(chunked + "5\r\nhello\r\nZ\r\n"); p.stall() }, cutOff, false},
	{"a chunk too long", func(p *peer) { p.request(); p.say(chunked + "5\r\nhello!\r\n0\r\n\r\n"); p.stall() }, cutOff, false},
	{"a chunk's size is endless", func(p *peer) { p.request(); p.say(chunked + "5\r\nhello\r\n"); p.endlessly("0") }, cutOff, false},
	{"in the trailer, closed", func(p *peer) { p.request(); p.say(chunked + "5\r\nhello\r\n0\r\nX-Sum: ") }, cutOff, false},
	{"in the trailer, reset", func(p *peer) { p.request(); p.say(chunked + "5\r\nhello\r\n0\r\nX-Sum: 1\r\n"); p.reset() }, cutOff, false},
	{"in the trailer, stalls", func(p *peer) { p.request(); p.say(chunked + "5\r\nhello\r\n0\r\nX-Sum: 1\r\n"); p.stall() }, cutOff, true},
	{"a trailer that is none", func(p *peer) { p.request(); p.say(chunked + "5\r\nhello\r\n0\r\nX Sum: 1\r\n\r\n"); p.stall() }, cutOff, false},
	{"endless trailer", func(p *peer) { p.request(); p.say(chunked + "5\r\nhello\r\n0\r\n"); p.endlessly("X-Sum: 1\r\n") }, cutOff, false},
	{"endless body", func(p *peer) { p.request(); p.say(chunked); p.endlessly("5\r\nhello\r\n") }, cutOff, true},
	{"a body until the end, reset", func(p *peer) { p.request(); p.say("HTTP/1.0 200 OK\r\n\r\nhello"); p.drained(); p.reset() }, cutOff, false},
	{"more than its length", func(p *peer) { p.request(); p.say(okHead + "hello, and HTTP/1.1 200 OK\r\n\r\n") }, whole, false},
	{"answers before it was asked all", func(p *peer) {
		p.head()
		p.say("HTTP/1.1 413 Too Large\r\nContent-Length: 5\r\n\r\nhello")
		_ = p.CloseWrite()
		p.stall()
	}, whole, false},
	{"503 each time", func(p *peer) { p.request(); p.say("HTTP/1.1 503 No\r\nContent-Length: 5\r\n\r\nhello") }, whole, false},
}

// drained waits until the other side could read what was sent: a reset discards what it
// has not read.
func (p *peer) drained() {
	_ = p.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
	_, _ = p.in.ReadByte()
}

// asked lists calls of each kind, with how often the target may receive them: at most
// the configured attempts.
var asked = []struct {
	name, method string
	body         func() io.Reader
	key          bool
	most         func(attempts int, unsafe bool) int
}{
	{"GET", "GET", nil, false, func(n int, _ bool) int { return n }},
	{"PUT", "PUT", small, false, func(n int, _ bool) int { return n }},
	{"POST", "POST", small, false, once},
	{"POST with a key", "POST", small, true, func(n int, _ bool) int { return n }},
	{"POST in chunks", "POST", inChunks, false, once},
	{"POST in chunks with a key", "POST", inChunks, true, func(n int, _ bool) int { return n }},
	{"POST too large to keep", "POST", large, false, once},
	{"PUT too large to keep", "PUT", large, false, func(n int, _ bool) int { return n }}, // while only little of it was read
}

func small() io.Reader    { return strings.NewReader("hello") }
func inChunks() io.Reader { return io.MultiReader(strings.NewReader("hel"), strings.NewReader("lo")) }
func large() io.Reader    { return io.MultiReader(strings.NewReader(strings.Repeat("x", 100<<10))) }

func once(attempts int, unsafe bool) int {
	if unsafe {
		return attempts
	}
	return 1
}

// also lists outcomes that depend on timing: a reset may arrive during the connect, and
// discards what was not read; and a machine may be slow.
func also(sees string, slow bool, got string) bool {
	return sees == cutOff && got == "UPSTREAM_RESET" || sees == cutOff && slow && got == "UPSTREAM_TIMEOUT" || sees == "UPSTREAM_RESET" && got == "CONNECT_FAILED"
}

// L11, https://github.com/golang/go/issues/19943 and
// https://github.com/traefik/traefik/issues/8990: wherever a target fails, it never
// receives a call twice that could do harm, and an answer that broke off never looks
// whole.
func TestFaults_ofATargetAreNeverDoneTwiceAndNeverLookWhole(t *testing.T) {
	t.Parallel() // mostly waiting
	retries := []struct {
		name, text string
		attempts   int
		unsafe     bool
	}{
		{"by-default", "{initialInterval: 1ms, budget: 1}", 3, false},
		{"never", "{maxAttempts: 1}", 1, false},
		{"unsafe", "{initialInterval: 1ms, budget: 1, maxAttempts: 2, unsafe: true}", 2, true},
	}
	text := "targets:\n"
	targets := map[string]*raw{}
	name := func(stage int, retry string) string { return fmt.Sprintf("s%d-%s", stage, retry) }
	for i, stage := range faulty {
		for _, retry := range retries {
			n, timeout := name(i, retry.name), "20s"
			if stage.slow {
				timeout = "400ms"
			}
			targets[n] = newRaw(t, stage.treat)
			text += aTarget(n, targets[n].address, fmt.Sprintf(", timeout: %s, circuitBreaker: {enabled: false}, retry: %s", timeout, retry.text))
		}
	}
	l := start(t, text)
	for i, stage := range faulty {
		t.Run(stage.name, func(t *testing.T) {
			var all sync.WaitGroup // concurrently, because some take the whole timeout
			for _, retry := range retries {
				most := 0
				for _, call := range asked {
					most += call.most(retry.attempts, retry.unsafe)
					all.Go(func() {
						n := name(i, retry.name)
						where := fmt.Sprintf("retry %s, %s", retry.name, call.name)
						got := l.outcome(t, call.method, n, call.name, call.body, call.key)
						if got != stage.sees && !also(stage.sees, stage.slow, got) {
							t.Errorf("%s: the application sees %q, want %q", where, got, stage.sees)
						}
						if made, most := targets[n].counted(call.name), call.most(retry.attempts, retry.unsafe); made > most {
							t.Errorf("%s: it was made %d times, at most %d are safe", where, made, most)
						}
					})
				}
			}
			all.Wait()
			for _, retry := range retries {
				if n := targets[name(i, retry.name)].connections(); n > retry.attempts*len(asked) {
					t.Errorf("retry %s: %d connections", retry.name, n)
				}
			}
		})
	}
}

// outcome returns the application's view of a call: a code of fiso-link, cut off, or
// whole.
func (l *link) outcome(t *testing.T, method, target, name string, body func() io.Reader, key bool) string {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{ // without a hook net/http gives up after five interim answers
		Got1xxResponse: func(int, textproto.MIMEHeader) error { return nil },
	})
	var b io.Reader
	if body != nil {
		b = body()
	}
	r, err := http.NewRequestWithContext(ctx, method, "http://"+l.calls+"/link/"+target+"/", b)
	if err != nil {
		return err.Error()
	}
	r.Header.Set("X-Case", name)
	if key {
		r.Header.Set("Idempotency-Key", name)
	}
	transport := &http.Transport{DisableKeepAlives: true}
	defer transport.CloseIdleConnections()
	resp, err := transport.RoundTrip(r)
	if err != nil {
		return "no answer: " + err.Error()
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	switch code := resp.Header.Get("fiso-error"); {
	case errors.Is(err, context.DeadlineExceeded):
		return "no end"
	case err != nil:
		return cutOff
	case code != "":
		return code
	case string(text) != "hello":
		return fmt.Sprintf("%d %.20q", resp.StatusCode, text)
	}
	return whole
}

// L11, https://github.com/golang/go/issues/19943: when a target closes a connection
// just as it is used again, libraries may send a request twice.
func TestFaults_aConnectionThatClosesAsItIsUsedAgainDoublesNothing(t *testing.T) {
	up := newRaw(t, func(p *peer) {
		for n := 0; p.request(); n++ {
			p.say(okHead + "hello")
			switch p.raw.connections() % 4 {
			case 0:
				return // at once, without Connection: close
			case 1:
				_, _ = p.in.Peek(1) // while the next request is on its way
				p.reset()
				return
			case 2:
				p.head() // after it was read
				return
			}
			if n == 2 {
				return
			}
		}
	})
	l := start(t, "targets:\n"+aTarget("x", up.address, ", circuitBreaker: {enabled: false}, retry: {initialInterval: 1ms}"))
	lost := 0
	for n := range 200 {
		name := fmt.Sprint(n)
		got := l.outcome(t, "POST", "x", name, small, false)
		switch made := up.counted(name); {
		case made > 1:
			t.Errorf("call %d was made %d times", n, made)
		case got == whole && made != 1:
			t.Errorf("call %d was answered, and made %d times", n, made)
		case got == "UPSTREAM_RESET":
			lost++
		case got != whole:
			t.Errorf("call %d: %s", n, got)
		}
	}
	if lost == 0 || lost > 150 {
		t.Errorf("%d of 200 calls met a connection that closed: the test says little", lost)
	}
}
