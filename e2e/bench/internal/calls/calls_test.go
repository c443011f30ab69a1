package calls

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lsm/fiso/e2e/internal/process"
	"github.com/lsm/fiso/link/spec"
)

func TestParse_namesTheKnownScenarios(t *testing.T) {
	if opts, list, err := parse([]string{"--only", "idle,small-1", "--quick"}, io.Discard); err != nil || len(list) != 2 || opts.Rounds != 1 {
		t.Error(opts, list, err)
	}
	if _, list, err := parse(nil, io.Discard); err != nil || len(list) != len(Scenarios) {
		t.Error(list, err)
	}
	if _, _, err := parse([]string{"--only", "smal"}, io.Discard); err == nil || !strings.Contains(err.Error(), "there are small-64, small-1") {
		t.Error(err)
	}
	for _, args := range [][]string{{"--rounds", "0"}, {"--scale", "-1"}, {"more"}, {"--what"}} {
		if _, _, err := parse(args, io.Discard); err == nil {
			t.Errorf("%v was accepted", args)
		}
	}
	if !Role([]string{roleProxy, "{}"}) || Role([]string{"--quick"}) || Role(nil) {
		t.Error("a role was not recognized")
	}
}

func newCandidate(t *testing.T) candidate {
	t.Helper()
	return candidate{dir: t.TempDir(), upstream: addresses{"127.0.0.1:1", "127.0.0.1:2"}, listen: "127.0.0.1:3", metrics: "127.0.0.1:4"}
}

func TestConfiguration_isValidForFisoLinkAndNginx(t *testing.T) {
	s := newCandidate(t)
	if _, err := spec.Parse("link.yaml", []byte(s.linkConfig())); err != nil {
		t.Error(err)
	}
	program := findNginx()
	if program == "" {
		t.Skip("nginx is not installed (Debian package nginx)")
	}
	for _, s.rpc = range []bool{false, true} {
		file, err := s.write("nginx.conf", s.nginxConfig())
		if err != nil {
			t.Fatal(err)
		}
		if output, err := exec.CommandContext(t.Context(), program, "-t", "-c", file, "-p", s.dir).CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, output)
		}
	}
}

// role runs a role of the benchmark until the test ends.
func role(t *testing.T, do func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		if err := do(ctx); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() { cancel(); running.Wait() })
}

func beginUpstream(t *testing.T) (at addresses) {
	t.Helper()
	r, w := io.Pipe()
	role(t, func(ctx context.Context) error { return Main(ctx, []string{roleUpstream}, w, io.Discard) })
	if err := json.NewDecoder(r).Decode(&at); err != nil {
		t.Fatal(err)
	}
	return at
}

func beginProxy(t *testing.T, j proxyConfig) string {
	t.Helper()
	addr, err := process.FreeAddr(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	j.Listen = addr
	text, err := json.Marshal(j)
	if err != nil {
		t.Fatal(err)
	}
	role(t, func(ctx context.Context) error {
		return Main(ctx, []string{roleProxy, string(text)}, io.Discard, io.Discard)
	})
	for {
		if c, err := (load{addr: addr}).dial(t.Context(), nil); err == nil {
			_ = c.c.Close()
			return addr
		}
		if t.Context().Err() != nil {
			t.Fatal("the proxy does not listen")
		}
	}
}

func TestCandidates_doTheSameWork(t *testing.T) {
	at := beginUpstream(t)
	places := map[string]string{
		"": "", "floor": beginProxy(t, proxyConfig{Kind: "floor", Upstream: at.HTTP}), "reverse": beginProxy(t, proxyConfig{Kind: "reverse", Upstream: at.HTTP}),
	}
	rpcPlaces := map[string]string{"": "", "reverse": beginProxy(t, proxyConfig{Kind: "reverse", Upstream: at.GRPC, RPC: true})}
	for _, s := range Scenarios {
		proxies, upstream := places, at.HTTP
		if s.Kind == rpc {
			proxies, upstream = rpcPlaces, at.GRPC
		}
		for name, proxy := range proxies {
			t.Run(s.Name+" "+name, func(t *testing.T) {
				l := load{addr: proxy, path: prefix + s.Path, post: s.Post, size: s.Size, conns: min(s.Conns, 4)}
				if proxy == "" {
					l.addr, l.path, l.authorize = upstream, s.Path, true
				}
				f, err := s.measure(t.Context(), l, 0.05, nil)
				if err != nil || s.Kind != idle && f.rate == 0 || s.Kind == plain && f.p50 == 0 {
					t.Error(f, err)
				}
			})
		}
	}
}

func TestUpstream_refusesInvalidCalls(t *testing.T) {
	at := beginUpstream(t)
	for name, l := range map[string]load{
		"no credential":    {addr: at.HTTP, path: "/api/v2/small", size: 1 << 10},
		"path not changed": {addr: at.HTTP, path: prefix + "/api/v2/small", size: 1 << 10, authorize: true},
		"another answer":   {addr: at.HTTP, path: "/api/v2/small", size: 1, authorize: true},
	} {
		l.conns = 1
		if _, _, _, err := l.run(t.Context(), time.Second, time.Second, func() error { return nil }); err == nil || !strings.Contains(err.Error(), "the answer is") {
			t.Errorf("%s: %v", name, err)
		}
	}
	l := load{addr: at.GRPC, size: 8, conns: 1}
	if _, _, _, err := l.rpcs(t.Context(), time.Second, time.Second, func() error { return nil }); err == nil || !strings.Contains(err.Error(),
		"missing credential or wrong method") {
		t.Error(err)
	}
	l = load{addr: at.HTTP, path: "/api/v2/events", conns: 1}
	if _, _, _, err := l.streams(t.Context(), time.Second, time.Second, func() error { return nil }); err == nil || !strings.Contains(err.Error(), "401") {
		t.Error(err)
	}
}

func TestReport_marksGoalsMissed(t *testing.T) {
	b := &bench{opts: Options{Rounds: 2, Command: "go run it"}, missing: map[string]string{"grpc-1" + fiso: "not supported"}}
	small, one, still, events, far := Scenarios[0], Scenarios[1], Scenarios[len(Scenarios)-1], Scenarios[6], Scenarios[9]
	µs := time.Microsecond
	results := []*result{
		{small, map[string][]figures{
			fiso:       {{rate: 80, cpu: 20 * µs, p99: 3 * µs}, {rate: 60, cpu: 30 * µs, p99: 3 * µs}},
			nginx:      {{rate: 100, cpu: 10 * µs}, {rate: 100, cpu: 10 * µs}},
			library:    {{cpu: 100 * µs}, {cpu: 150 * µs}},
			floorProxy: {{p99: 2 * µs}, {p99: 2 * µs}},
		}},
		{one, map[string][]figures{fiso: {{p50: 80 * µs}}, nginx: {{p50: 45 * µs}}, direct: {{p50: 20 * µs}}}},
		{still, map[string][]figures{fiso: {{resident: 50 << 20}}}},
		{events, map[string][]figures{fiso: {{rate: 1}}}},
		{far, map[string][]figures{nginx: {{rate: 7}}}},
	}
	var out bytes.Buffer
	b.report(&out, results)
	for _, want := range []string{
		"`go run it` on ", "to nginx's | 0.70 | ≥ 0.70 |", "CPU a call, to nginx's | 2.50 | **≤ 2.00** |", "ReverseProxy's | 5.0 | ≥ 4.0 |",
		"floor's | 1.50 | ≤ 1.50 |",
		"call's), to nginx's | 2.40 | ≤ 2.50 |", "MiB | 50.0 | **≤ 40.0** |", "| GET 1 KB, 1 connection | 60 | 25 | – | – |",
		"| GET 1 KB, 64 connections | 70 | 100 (0.70) | 0 (",
		"gRPC 1 KB, 1 call at once without fiso-link: not supported.", "| gRPC 1 KB, 1 call at once | – | 7 | – | – |",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the report lacks %q:\n%s", want, out.String())
		}
	}
	out.Reset()
	b.report(&out, []*result{{small, nil}})
	if !strings.Contains(out.String(), "to nginx's | – | ≥ 0.70 |") {
		t.Errorf("without nginx:\n%s", out.String())
	}
}

func TestStart_reportsWhyACandidateEnded(t *testing.T) {
	b := &bench{dir: t.TempDir(), fiso: "/no/such/program", nginx: "false"}
	if _, _, err := b.start(t.Context(), fiso, false); err == nil {
		t.Error("it was started")
	}
	if _, _, err := b.start(t.Context(), nginx, false); err == nil || !strings.Contains(err.Error(), "nginx ended: exit status 1") {
		t.Error(err)
	}
	b.self = filepath.Join(b.dir, "none")
	if _, _, err := b.start(t.Context(), floorProxy, true); err == nil {
		t.Error("it was started")
	}
}
