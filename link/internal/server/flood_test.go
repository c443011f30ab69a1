package server

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/lsm/fiso/common/http1"
)

// flood opens connections that never finish their request, and keeps them open until
// the test ends.
func flood(t *testing.T, address string, n int, say func(i int) string) []net.Conn {
	t.Helper()
	all := make([]net.Conn, 0, n)
	t.Cleanup(func() {
		for _, c := range all {
			_ = c.Close()
		}
	})
	for i := range n {
		c, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, c)
		_, _ = io.WriteString(c, say(i)) // it may be closed by now
	}
	return all
}

// manyFiles skips the test if the limit on open files is too low for a flood.
func manyFiles(t *testing.T, n uint64) {
	t.Helper()
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if limit.Cur < n {
		t.Skipf("it takes %d open files, and %d may be: raise the limit (ulimit -n)", n, limit.Cur)
	}
}

// honest makes calls, each on its own connection, and returns the median of their
// times. Every call must be answered.
func honest(t *testing.T, url string, n int) time.Duration {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 8 * time.Second} // waiting for a half-open connection would take ten
	took := make([]time.Duration, n)
	for i := range took {
		began := time.Now()
		resp, err := client.Get(url)
		if err != nil {
			t.Fatalf("call %d: %v", i, err)
		}
		b, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil || resp.StatusCode != 200 {
			t.Fatalf("call %d: %d %s %v", i, resp.StatusCode, b, err)
		}
		took[i] = time.Since(began)
	}
	slices.Sort(took)
	return took[n/2]
}

// inUse returns the memory of heap and stacks.
func inUse() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapInuse + m.StackInuse)
}

// L14, https://nvd.nist.gov/vuln/detail/CVE-2007-6750 (Slowloris): half-open
// connections, more than there may be, on both ports.
func TestFlood_ofHalfOpenConnectionsKeepsNobodyOut(t *testing.T) {
	manyFiles(t, 5000)
	l := start(t, "maxConnections: 1000\ntargets:\n"+aTarget("x", upstream(t, "x"), ""))
	call, probe := "http://"+l.calls+"/link/x/a", "http://"+l.admin+"/healthz"
	before, memory := honest(t, call, 100), inUse()
	half := func(i int) string {
		return []string{"", "GET /link/x/a HTTP/1.1\r\nHost: localhost\r\nX-Half:", "P"}[i%3]
	}
	flood(t, l.calls, 2000, half)
	flood(t, l.admin, 500, half)
	during := honest(t, call, 100)
	grown := inUse() - memory
	honest(t, probe, 20)
	t.Logf("median of a call: %v before, %v during; %d KiB more in use", before, during, grown>>10)
	if during > 100*before+time.Second {
		t.Errorf("a call takes %v during the flood, and %v before", during, before)
	}
	// Both ends of the flood live in this process: the clients' are small.
	if grown > 64<<20 {
		t.Errorf("1,000 half-open connections of 2,000 hold %d MiB", grown>>20)
	}
}

// L14, https://nvd.nist.gov/vuln/detail/CVE-2007-6750: a slow client gets an HTTP error
// if HTTP has one for the case, and is then disconnected.
func TestFlood_ofSlowCallersEndsByItself(t *testing.T) {
	t.Parallel() // mostly waiting
	manyFiles(t, 6000)
	up := newRaw(t, func(p *peer) {
		if p.request() {
			p.say(okHead + "hello")
		}
	})
	l := start(t, "targets:\n"+aTarget("x", up.address, ", timeout: 1s, maxConcurrent: 400"), func(i *Server) {
		i.server.Limits = http1.Limits{HeadTimeout: 2 * time.Second}
	})
	const n = 2100
	kinds := []struct{ says, answer, code string }{
		{"", "", ""},
		{"GET /link/x/a HTTP/1.1\r\nHost: loc", "HTTP/1.1 408 ", "REQUEST_TIMEOUT"},
		{"POST /link/x/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhe", "HTTP/1.1 408 ", "REQUEST_TIMEOUT"},
	}
	conns := flood(t, l.calls, n, func(i int) string { return kinds[i%len(kinds)].says })
	var dripping, reading sync.WaitGroup
	ctx, cancel := context.WithCancel(t.Context())
	defer dripping.Wait()
	defer cancel()
	for i := range 30 { // some send a byte now and then, which changes nothing
		dripping.Go(func() {
			for tick := time.NewTicker(100 * time.Millisecond); ctx.Err() == nil; <-tick.C {
				_, _ = io.WriteString(conns[i*len(kinds)+1], "a")
			}
		})
	}
	tooMany := make(chan struct{}, n)
	for i, c := range conns {
		kind := kinds[i%len(kinds)]
		reading.Go(func() {
			_ = c.SetReadDeadline(time.Now().Add(20 * time.Second))
			b, err := io.ReadAll(c)
			got := string(b)
			switch {
			case strings.Contains(got, "TOO_MANY_CALLS") && kind.says != "":
				tooMany <- struct{}{}
			case err != nil && got == "", !strings.HasPrefix(got, kind.answer), kind.answer == "" && got != "", !strings.Contains(got, kind.code):
				t.Errorf("%.20q was answered %q, %v", kind.says, got, err)
			}
		})
	}
	reading.Wait()
	if len(tooMany) > n/3-400 { // fewer where some have ended before others begin
		t.Errorf("%d of the %d with half a body were above maxConcurrent of 400", len(tooMany), n/3)
	}
	if got := l.outcome(t, "GET", "x", "after", nil, false); got != whole {
		t.Error("after it:", got)
	}
	if up.connections() > 1 {
		t.Error("half a request reached the target")
	}
}

// L14, https://nvd.nist.gov/vuln/detail/CVE-2023-45288 and similar: a request that is
// too large is refused with a readable error.
func TestFlood_ofLargeHeadsIsRefusedInWords(t *testing.T) {
	l := start(t, "targets:\n"+aTarget("x", upstream(t, "x"), ""))
	var fields strings.Builder
	for i := range 300 {
		fmt.Fprintf(&fields, "X-%d: %d\r\n", i, i)
	}
	for name, test := range map[string]struct{ address, says, want string }{
		"a long field":           {l.calls, "GET /link/x/a HTTP/1.1\r\nHost: localhost\r\nX: " + strings.Repeat("a", 64<<10), "HTTP/1.1 431 "},
		"a long line":            {l.calls, "GET /link/x/" + strings.Repeat("a", 64<<10), "HTTP/1.1 431 "},
		"many fields":            {l.calls, "GET /link/x/a HTTP/1.1\r\nHost: localhost\r\n" + fields.String() + "\r\n", "HTTP/1.1 431 "},
		"a malformed head":       {l.calls, "GET /link/x/a HTTP/1.1\r\nHost: localhost\r\nX : a\r\n\r\n", "HTTP/1.1 400 "},
		"on the metrics port":    {l.admin, "GET /metrics HTTP/1.1\r\nHost: localhost\r\nX: " + strings.Repeat("a", 20<<10), "HTTP/1.1 431 "},
		"a body that is no body": {l.calls, "POST /link/x/a HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nhello\r\n", "HTTP/1.1 400 "},
	} {
		t.Run(name, func(t *testing.T) {
			c := flood(t, test.address, 1, func(int) string { return "" })[0]
			go func() { _, _ = io.WriteString(c, test.says) }() // it need not be read to its end
			_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
			if line, err := bufio.NewReader(c).ReadString('\n'); !strings.HasPrefix(line, test.want) {
				t.Errorf("answered %q, %v", line, err)
			}
		})
	}
}

func TestServer_aRequestOfAStreamMayPauseAsLongAsItsTargetSays(t *testing.T) {
	t.Parallel() // mostly waiting
	up := newRaw(t, func(p *peer) {
		r, ok := p.head()
		if !ok {
			return
		}
		p.say("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\ndata: begun\n")
		b, err := io.ReadAll(r.Body)
		p.say(fmt.Sprintf("data: %s %v\n", b, err))
	})
	l := start(t, "targets:\n"+aTarget("x", up.address, ", timeout: 300ms, timeouts: {idle: 1m}"), func(i *Server) {
		i.server.Limits = http1.Limits{Body: 100 * time.Millisecond}
	})
	c := flood(t, l.calls, 1, func(int) string {
		return "POST /link/x/ HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"
	})[0]
	_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
	in := bufio.NewReader(c)
	until := func(want string) {
		t.Helper()
		for {
			line, err := in.ReadString('\n')
			if err != nil {
				t.Fatalf("%q and no %q: %v", line, want, err)
			}
			if line == want+"\n" {
				return
			}
		}
	}
	until("data: begun")
	<-time.After(500 * time.Millisecond) // the application pauses
	_, _ = io.WriteString(c, "0\r\n\r\n")
	until("data: hello <nil>")
}
