package server

import (
	"bufio"
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/lsm/fiso/common/config"
	"github.com/lsm/fiso/link/spec"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// book is a log that tests can read while it is written.
type book struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *book) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *book) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// link is a fiso-link server under test.
type link struct {
	t            testing.TB
	file         string
	log          book
	calls, admin string
	stop         func() error
	i            *Server
	looks        int
}

// start runs a server with these targets until the test ends. adjust changes settings
// that the file does not have.
func start(t testing.TB, targets string, adjust ...func(*Server)) *link {
	t.Helper()
	l := &link{t: t, file: filepath.Join(t.TempDir(), "config.yaml")}
	l.write(targets)
	up := make(chan struct{})
	i, err := New(Options{
		File: l.file, Logger: slog.New(slog.NewTextHandler(&l.log, &slog.HandlerOptions{Level: slog.LevelDebug})), PollInterval: 5 * time.Millisecond,
		OnListening: func(calls, admin net.Addr) { l.calls, l.admin = calls.String(), admin.String(); close(up) },
	})
	if err != nil {
		t.Fatal(err)
	}
	l.i = i
	for _, a := range adjust {
		a(i)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- i.Run(ctx) }()
	<-up
	l.stop = sync.OnceValue(func() error { cancel(); return <-ended })
	t.Cleanup(func() {
		if err := l.stop(); err != nil {
			t.Error(err)
		}
		http.DefaultClient.CloseIdleConnections() //nolint:forbidigo // of the tests above
	})
	return l
}

// byHand disables polling: the test checks the file with look.
func byHand(i *Server) {
	o := i.o
	o.PollInterval = time.Hour
	i.files = follow(o)
	i.files.First(context.Background())
}

// look checks the file n times, as far apart as a content must stay unchanged.
func (l *link) look(times int) {
	for range times {
		l.looks++
		found, _ := l.i.files.Look(l.t.Context(), time.Time{}.Add(time.Duration(l.looks)*time.Hour))
		l.i.apply(found)
	}
}

const head = "listenAddr: 127.0.0.1:0\nmetricsAddr: 127.0.0.1:0\ndrainTimeout: 300ms\n"

// write replaces the file as editors do: write a second file and rename it.
func (l *link) write(targets string) {
	l.t.Helper()
	beside := l.file + ".new"
	if err := errors.Join(os.WriteFile(beside, []byte(head+targets), 0o600), os.Rename(beside, l.file)); err != nil {
		l.t.Fatal(err)
	}
}

func get(t testing.TB, url string) (int, string) {
	t.Helper()
	resp, err := http.Get(url) //nolint:forbidigo // a test on loopback, bounded by its own end
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

func (l *link) call(path string) (int, string) {
	l.t.Helper()
	return get(l.t, "http://"+l.calls+"/link/"+path)
}

func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !holds(); {
		if time.Now().After(end) {
			t.Fatal("waited in vain for " + what)
		}
		select {
		case <-time.After(5 * time.Millisecond):
		case <-t.Context().Done():
		}
	}
}

// shows waits until the metrics have all these lines, and returns the metrics. A call
// is counted shortly after the application has its answer.
func (l *link) shows(lines ...string) (metrics string) {
	l.t.Helper()
	for _, want := range lines {
		eventually(l.t, want, func() bool {
			_, metrics = get(l.t, "http://"+l.admin+"/metrics")
			return strings.Contains(metrics, want)
		})
	}
	return metrics
}

// upstream answers with its name and what it was sent.
func upstream(t *testing.T, name string) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s %s %s", name, r.URL.Path, r.Header.Get("Authorization"))
	}))
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

func aTarget(name, address, more string) string {
	return fmt.Sprintf("  - {name: %s, protocol: http, host: '%s'%s}\n", name, address, more)
}

func TestServer_callsItsTargetsWithTheirCredential(t *testing.T) {
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("s3cret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	l := start(t, "targets:\n"+aTarget("crm", upstream(t, "crm"), ", auth: {type: bearer, secretRef: {filePath: "+token+"}}"))
	if code, body := l.call("crm/api"); code != 200 || body != "crm /api Bearer s3cret" {
		t.Errorf("%d %s", code, body)
	}
	if code, _ := l.call("nobody/api"); code != 404 {
		t.Error(code)
	}
	metrics := l.shows(
		`fiso_link_requests_total{method="GET",mode="sync",status="200",target="crm"} 1`, `fiso_link_requests_total{method="GET",mode="sync",status="404",target="unknown"} 1`,
		`fiso_link_circuit_state{target="crm"} 0`, `fiso_link_auth_refresh_total{status="success",target="crm"} 1`, `fiso_link_request_duration_seconds_count{method="GET",target="crm"} 1`,
	)
	if strings.Contains(metrics+l.log.String(), "s3cret") {
		t.Error("the secret is in metrics or log")
	}
	if code, body := get(t, "http://"+l.admin+"/readyz?verbose"); code != 200 || !strings.Contains(body, "[ok] target crm") {
		t.Errorf("%d %s", code, body)
	}
}

// UL11: a failing target leaves the Pod in service; the log and /readyz say what is
// wrong.
func TestServer_countsRetriesAndShowsTheBreaker(t *testing.T) {
	l := start(t, "targets:\n"+aTarget("gone", "127.0.0.1:1", ", retry: {initialInterval: 1ms}, circuitBreaker: {failureThreshold: 1}"))
	if code, body := l.call("gone/"); code != 502 || !strings.Contains(body, "CONNECT_FAILED") {
		t.Errorf("%d %s", code, body)
	}
	l.shows(`fiso_link_retries_total{attempt="2",target="gone"} 1`, `fiso_link_retries_total{attempt="3",target="gone"} 1`, `fiso_link_circuit_state{target="gone"} 2`)
	if code, body := get(t, "http://"+l.admin+"/readyz?verbose"); code != 200 || body != "[ok] listener\n[degraded] target gone: circuit open\nready\n" {
		t.Errorf("%d %s", code, body)
	}
	if want := `level=WARN msg="call failed" target=gone method=GET status=502`; !strings.Contains(l.log.String(), want) {
		t.Error("the log does not tell why the call failed")
	}
	if !strings.Contains(l.log.String(), "circuit breaker") {
		t.Error("the log does not tell of the breaker")
	}
}

// F14, https://github.com/kubernetes/kubernetes/issues/93686: a ConfigMap is swapped by
// a symbolic link to a folder, and only the content counts.
func TestServer_followsItsFileThroughLinksThatAreSwapped(t *testing.T) {
	dir := t.TempDir()
	write := func(version, targets string) {
		t.Helper()
		v := filepath.Join(dir, version)
		err := errors.Join(os.Mkdir(v, 0o700), os.WriteFile(filepath.Join(v, "config.yaml"), []byte(head+targets), 0o600),
			os.Symlink(version, filepath.Join(dir, "tmp")), os.Rename(filepath.Join(dir, "tmp"), filepath.Join(dir, "..data")))
		if err != nil {
			t.Fatal(err)
		}
	}
	a, b := upstream(t, "a"), upstream(t, "b")
	write("v1", "targets:\n"+aTarget("x", a, ""))
	l := start(t, "targets: []\n")
	if err := errors.Join(os.Remove(l.file), os.Symlink(filepath.Join(dir, "..data", "config.yaml"), l.file)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the first version", func() bool { _, body := l.call("x/"); return strings.HasPrefix(body, "a ") })
	write("v2", "targets:\n"+aTarget("x", b, "")+aTarget("y", a, ""))
	eventually(t, "the second version", func() bool { _, body := l.call("x/"); return strings.HasPrefix(body, "b ") })
	if _, body := l.call("y/"); !strings.HasPrefix(body, "a ") {
		t.Error(body)
	}
}

// F14, https://github.com/kubernetes/kubernetes/issues/93686: a file that is written in
// place is incomplete for a moment, and may still be valid.
func TestServer_neverTakesAHalfWrittenFile(t *testing.T) {
	up := upstream(t, "a")
	l := start(t, "targets:\n"+aTarget("x", up, ""), byHand)
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(l.file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, half := range []string{"", head, head + "targets:\n", head + "targets:\n" + aTarget("y", up, "")} {
		write(half)
		l.look(1)
		if code, _ := l.call("x/"); code != 200 {
			t.Fatalf("%q was taken", half)
		}
	}
	write(head + "targets:\n" + aTarget("y", up, "") + aTarget("x", up, ""))
	l.look(2)
	if code, _ := l.call("y/"); code != 200 || strings.Contains(l.log.String(), "configuration rejected") {
		t.Errorf("%d: the whole file is not taken, or half of it was: %s", code, l.log.String())
	}
}

// UL21: an emptied file, for example after a failed template or on a full disk, removed
// all targets: it was valid.
func TestServer_keepsItsTargetsWhereTheFileHasNone(t *testing.T) {
	l := start(t, "targets:\n"+aTarget("x", upstream(t, "a"), ""), byHand)
	for name, text := range map[string]string{"empty": "", "a comment": "# to do\n", "cut off": head, "cut off in targets": head + "targets:\n"} {
		if err := os.WriteFile(l.file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		l.look(2)
		if code, _ := l.call("x/"); code != 200 {
			t.Errorf("%s: it was taken: %d", name, code)
		}
		if _, body := get(t, "http://"+l.admin+"/readyz?verbose"); !strings.Contains(body, `missing key "targets"`) {
			t.Errorf("%s: got %s", name, body)
		}
	}
	l.write("targets: []\n")
	l.look(2)
	if code, _ := l.call("x/"); code != 404 {
		t.Errorf("a file that says that there are none: %d", code)
	}
}

// U16: a named pipe in the file's place blocked the goroutine that polls, for good.
func TestServer_saysThatItsFileIsNone(t *testing.T) {
	up := upstream(t, "a")
	l := start(t, "targets:\n"+aTarget("x", up, ""), byHand)
	content, err := os.ReadFile(l.file)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Remove(l.file), syscall.Mkfifo(l.file, 0o600)); err != nil {
		t.Fatal(err)
	}
	l.look(2)
	want := l.file + " is a named pipe: only a regular file can be read"
	if _, body := get(t, "http://"+l.admin+"/readyz?verbose"); !strings.Contains(body, want) {
		t.Errorf("got %s, want %s", body, want)
	}
	if err := errors.Join(os.Remove(l.file), os.WriteFile(l.file, content, 0o600)); err != nil {
		t.Fatal(err)
	}
	l.look(2)
	if _, body := get(t, "http://"+l.admin+"/readyz?verbose"); strings.Contains(body, "note: ") {
		t.Error(body)
	}
	if code, _ := l.call("x/"); code != 200 {
		t.Error(code)
	}
}

func TestServer_keepsGoingWithAFileThatIsNotValid(t *testing.T) {
	up := upstream(t, "a")
	l := start(t, "targets:\n"+aTarget("x", up, ""))
	for name, bad := range map[string]string{
		"a wrong key":                   "targetz: []\n",
		"a certificate that is no file": "targets: [{name: x, host: a, tls: {caFile: /nowhere/ca.pem}}]\n",
	} {
		l.write(bad)
		eventually(t, name, func() bool {
			_, body := get(t, "http://"+l.admin+"/readyz?verbose")
			return strings.Contains(body, "note: ")
		})
		if code, _ := l.call("x/"); code != 200 {
			t.Errorf("%s: %d", name, code)
		}
		l.write("targets:\n" + aTarget("x", up, "") + "# " + name + "\n")
		eventually(t, "a good file again", func() bool {
			_, body := get(t, "http://"+l.admin+"/readyz?verbose")
			return !strings.Contains(body, "note: ")
		})
	}
	l.shows(`fiso_link_reloads_total{status="failure"} 2`, `fiso_link_reloads_total{status="success"} 2`)
	if err := os.WriteFile(l.file, []byte("listenAddr: 127.0.0.1:1\nmetricsAddr: 127.0.0.1:0\ntargets: []\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	eventually(t, "words about the address", func() bool { return strings.Contains(l.log.String(), "restart needed") })
}

// L13, https://github.com/caddyserver/caddy/issues/6420: a stream of a target that
// did not change survives a reload; one of a changed target ends by the drain
// timeout.
func TestServer_cutsNoStreamOfATargetThatStays(t *testing.T) {
	next := make(chan string)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for {
			_ = http.NewResponseController(w).Flush()
			select {
			case text := <-next:
				fmt.Fprintf(w, "data: %s\n", text)
			case <-r.Context().Done():
				return
			}
		}
	}))
	defer s.Close()
	up := s.Listener.Addr().String()
	l := start(t, "targets:\n"+aTarget("stays", up, "")+aTarget("goes", up, ""))
	stream := func(name string) (*bufio.Reader, func()) {
		resp, err := http.Get("http://" + l.calls + "/link/" + name + "/") //nolint:forbidigo // a test on loopback, bounded by its own end
		if err != nil {
			t.Fatal(err)
		}
		return bufio.NewReader(resp.Body), func() { _ = resp.Body.Close() }
	}
	goes, closeGoes := stream("goes")
	defer closeGoes()
	l.write("targets:\n" + aTarget("stays", up, ""))
	eventually(t, "the reload", func() bool { return strings.Contains(l.log.String(), "configuration reloaded") })
	if _, err := goes.ReadString('\n'); err == nil {
		t.Error("the stream of the removed target goes on")
	}
	stays, closeStays := stream("stays")
	defer closeStays()
	l.write("targets:\n" + aTarget("stays", up, "") + aTarget("new", up, ""))
	eventually(t, "the other reload", func() bool { return strings.Count(l.log.String(), "configuration reloaded") == 2 })
	next <- "still here"
	if got, err := stays.ReadString('\n'); err != nil || got != "data: still here\n" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestServer_letsCallsFinishWhenItStops(t *testing.T) {
	begun, finish := make(chan struct{}), make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(begun)
		<-finish
		_, _ = io.WriteString(w, "done")
	}))
	defer s.Close()
	l := start(t, "targets:\n"+aTarget("x", s.Listener.Addr().String(), ""), func(i *Server) { i.cfg.DrainTimeout = 10 * time.Second }) // even on a slow machine
	answer := make(chan string, 1)
	go func() { _, body := l.call("x/"); answer <- body }()
	<-begun
	ended := make(chan error, 1)
	go func() { ended <- l.stop() }()
	eventually(t, "not ready", func() bool {
		code, body := get(t, "http://"+l.admin+"/readyz?verbose")
		return code == 503 && strings.Contains(body, "stopping")
	})
	close(finish)
	if got := <-answer; got != "done" {
		t.Errorf("the call that was under way got %q", got)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestServer_cutsOffWhatOutlastsTheDrain(t *testing.T) {
	begun, never := make(chan struct{}), make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(begun)
		select {
		case <-never:
		case <-r.Context().Done():
		}
	}))
	defer s.Close()
	l := start(t, "targets:\n"+aTarget("x", s.Listener.Addr().String(), ""))
	failed := make(chan error, 1)
	go func() {
		resp, err := http.Get("http://" + l.calls + "/link/x/") //nolint:forbidigo // a test on loopback, bounded by its own end
		if err == nil {
			_ = resp.Body.Close()
		}
		failed <- err
	}()
	<-begun
	if err := l.stop(); err != nil {
		t.Error(err)
	}
	if err := <-failed; err == nil {
		t.Error("a call that never ended was answered")
	}
	if !strings.Contains(l.log.String(), "cut off") {
		t.Error("the log does not tell of it")
	}
}

func TestNew_saysWhatKeepsItFromStarting(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	for name, test := range map[string]struct {
		text string
		o    Options
		want string
	}{
		"no file":             {"", Options{}, "does not exist: name the configuration file"},
		"a fault":             {"targetz: []", Options{}, `did you mean "targets"?`},
		"the address":         {head + "targets: []\n", Options{ListenAddr: taken.Addr().String()}, "is in use by another process"},
		"an odd address":      {head + "targets: []\n", Options{ListenAddr: "256.0.0.1:1"}, "listen for calls on 256.0.0.1:1"},
		"the metrics address": {head + "targets: []\n", Options{MetricsAddr: taken.Addr().String()}, "metricsAddr or --metrics-addr"},
		"a certificate":       {head + "targets: [{name: a, host: a, tls: {caFile: /nowhere}}]", Options{}, "target a: read caFile"},
		"a folder":            {"/", Options{}, "read the configuration"},
	} {
		t.Run(name, func(t *testing.T) {
			test.o.File = filepath.Join(t.TempDir(), "config.yaml")
			switch test.text {
			case "":
			case "/":
				test.o.File = t.TempDir()
			default:
				if err := os.WriteFile(test.o.File, []byte(test.text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			i, err := New(test.o)
			if err == nil {
				_ = i.Close()
			}
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestNew_listensAndGivesAllBack(t *testing.T) {
	file := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(file, []byte(head+"vault: {address: 'http://127.0.0.1:1', auth: {method: token, tokenRef: {envVar: A}}}\ntargets: [{name: a, host: a}]"), 0o600); err != nil {
		t.Fatal(err)
	}
	i, err := New(Options{File: file})
	if err != nil {
		t.Fatal(err)
	}
	if err := i.Close(); err != nil {
		t.Error(err)
	}
}

func TestCheck_saysWhichStepFails(t *testing.T) {
	plain := upstream(t, "a")
	secure := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(401) }))
	defer secure.Close()
	secure.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secure.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = silent.Close() }()
	go func() {
		for {
			c, err := silent.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(c, "220 mail\r\n\r\n")
			_ = c.Close()
		}
	}()
	text := "targets:\n" + aTarget("a-good", plain, "") + aTarget("b-gone", "127.0.0.1:1", "") + aTarget("c-secret", plain, ", auth: {type: bearer, secretRef: {filePath: /nowhere/token}}") +
		aTarget("d-name", "nowhere.invalid", "") + aTarget("e-mail", silent.Addr().String(), "") +
		fmt.Sprintf("  - {name: f-401, host: '%s', tls: {caFile: %s, serverName: example.com}}\n", secure.Listener.Addr(), ca) +
		fmt.Sprintf("  - {name: g-cert, host: '%s'}\n", secure.Listener.Addr()) +
		"  - {name: h-list, protocol: http, host: h.example, endpoints: ['" + plain + "']}\n  - {name: i-srv, protocol: http, host: h.example, srv: _http._tcp.nowhere.invalid}\n"
	cfg, err := spec.Parse("config.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	steps, err := Check(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	last := map[string]Step{}
	for _, s := range steps {
		last[s.Target] = s
	}
	for name, want := range map[string]string{
		"a-good": "", "b-gone": "connection refused", "c-secret": "the file that auth.secretRef.filePath names does not exist", "d-name": "nowhere.invalid", "e-mail": "HTTP",
		"f-401": "is the credential right", "g-cert": "certificate", "h-list": "", "i-srv": "_http._tcp.nowhere.invalid",
	} {
		s := last[name]
		if want == "" && s.Err != nil || want != "" && (s.Err == nil || !strings.Contains(s.Err.Error(), want)) {
			t.Errorf("%s: %s: %v", name, s.Name, s.Err)
		}
	}
	cfg.Vault = &spec.Vault{Address: "http://127.0.0.1:1", Auth: spec.VaultAuth{Method: "token"}, TLS: config.TLS{CAFile: "/nowhere"}}
	if _, err := Check(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "/nowhere") {
		t.Errorf("authorities of Vault that are not there: %v", err)
	}
}

// UL22: an unreadable certificate of one target ended check, so that the others were
// not tested.
func TestCheck_goesOnAfterATargetThatCannotBeMade(t *testing.T) {
	cfg, err := spec.Parse("config.yaml", []byte("targets:\n  - {name: a, host: a.example, tls: {caFile: /nowhere}}\n"+aTarget("b", upstream(t, "b"), "")))
	if err != nil {
		t.Fatal(err)
	}
	steps, err := Check(t.Context(), cfg)
	if err != nil || len(steps) < 2 {
		t.Fatal(steps, err)
	}
	if s := steps[0]; s.Target != "a" || s.Name != "read the files that its settings name" || s.Err == nil || !strings.Contains(s.Err.Error(), "read caFile: open /nowhere") {
		t.Errorf("got %+v", s)
	}
	for _, s := range steps[1:] {
		if s.Target != "b" || s.Err != nil {
			t.Errorf("got %+v", s)
		}
	}
}
