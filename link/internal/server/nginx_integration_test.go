//go:build integration

package server

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/lsm/fiso/link/internal/urlpath"
)

// nginx is a real nginx that closes a connection after every seventh request, in front
// of a backend that counts requests.
type nginx struct {
	t       *testing.T
	dir     string
	address string
	process *os.Process

	mu   sync.Mutex
	made map[string]int // number of requests, by the field X-Case
}

const nginxConf = `daemon off;
user root;
worker_processes 2;
pid nginx.pid;
error_log error.log warn;
events { worker_connections 1024; }
http {
  log_format seen escape=json '["$request_uri","$uri","$http_x_case"]';
  access_log access.log seen;
  client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
  keepalive_requests 7;
  keepalive_timeout 5s;
  client_max_body_size 0;
  merge_slashes on;
  gzip on; gzip_types text/plain; gzip_min_length 100;
  types { text/plain txt; } default_type application/octet-stream;
  server {
    listen LISTEN;
    location /files/ { root .; }
    location /none { return 204; }
    location ~ ^/backend/(echo|tail)$ {
      proxy_pass http://BACKEND; proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection "upgrade";
    }
    location /backend/ { proxy_pass http://BACKEND; proxy_http_version 1.1; proxy_request_buffering off; proxy_buffering off; proxy_set_header Connection ""; }
    location / { return 200 "hello"; }
  }
}
`

// startNginx runs nginx on a free port of 127.0.0.1 until the test ends.
func startNginx(t *testing.T) *nginx {
	t.Helper()
	return startNginxFor(t, "")
}

// startNginxFor is startNginx in front of the test's own backend.
func startNginxFor(t *testing.T, behind string) *nginx {
	t.Helper()
	program, err := exec.LookPath("nginx")
	if err != nil {
		if _, err := os.Stat("/usr/sbin/nginx"); err != nil {
			t.Skip("a real nginx is needed: install the package nginx")
		}
		program = "/usr/sbin/nginx"
	}
	n := &nginx{t: t, dir: t.TempDir(), made: map[string]int{}}
	if behind == "" {
		backend := httptest.NewServer(http.HandlerFunc(n.backend))
		t.Cleanup(backend.Close)
		behind = backend.Listener.Addr().String()
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n.address = l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	conf := strings.NewReplacer("LISTEN", n.address, "BACKEND", behind).Replace(nginxConf)
	n.write("nginx.conf", []byte(conf))
	if err := os.Mkdir(filepath.Join(n.dir, "files"), 0o755); err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	cmd := exec.Command(program, "-p", n.dir, "-c", "nginx.conf", "-e", "error.log")
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	n.process = cmd.Process
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }() // its log says how it ended
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended by itself
		<-ended
	})
	eventually(t, "nginx", func() bool {
		select {
		case <-ended:
			t.Fatal("nginx ended: ", said.String(), n.read("error.log"))
		default:
		}
		c, err := net.Dial("tcp", n.address)
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	})
	return n
}

func (n *nginx) write(name string, data []byte) {
	n.t.Helper()
	if err := os.WriteFile(filepath.Join(n.dir, name), data, 0o644); err != nil {
		n.t.Fatal(err)
	}
}

func (n *nginx) read(name string) string {
	b, _ := os.ReadFile(filepath.Join(n.dir, name)) // a missing file counts as empty
	return string(b)
}

// backend answers with the digest of the request, and counts it.
func (n *nginx) backend(w http.ResponseWriter, r *http.Request) {
	n.mu.Lock()
	n.made[r.Header.Get("X-Case")]++
	n.mu.Unlock()
	sum := sha256.New()
	if _, err := io.Copy(sum, r.Body); err != nil {
		return
	}
	w.Header().Set("Content-Type", "text/plain")
	_ = http.NewResponseController(w).Flush() // in chunks
	_, _ = io.WriteString(w, hex.EncodeToString(sum.Sum(nil)))
	for range 4 {
		_ = http.NewResponseController(w).Flush()
		_, _ = io.WriteString(w, ".")
	}
}

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// unknown hides the length of a body, so that it is sent in chunks.
type unknown struct{ io.Reader }

// send makes a call as an application does.
func (l *link) send(client *http.Client, method, path, name string, body io.Reader, fields ...string) (*http.Response, []byte, error) {
	r, err := http.NewRequestWithContext(l.t.Context(), method, "http://"+l.calls+"/link/nginx"+path, body)
	if err != nil {
		return nil, nil, err
	}
	r.Header.Set("X-Case", name)
	for i := 0; i < len(fields); i += 2 {
		r.Header.Set(fields[i], fields[i+1])
	}
	resp, err := client.Do(r)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	return resp, b, err
}

func plainClient(t *testing.T) *http.Client {
	c := &http.Client{Transport: &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 16}, Timeout: 30 * time.Second}
	t.Cleanup(c.CloseIdleConnections)
	return c
}

// L11, https://github.com/golang/go/issues/19943: nginx often closes its connections;
// no unkeyed POST is executed twice because of that, and none fails.
func TestRealNginx_thatClosesOftenDoublesAndFailsNoPOST(t *testing.T) {
	n := startNginx(t)
	l := start(t, "targets:\n"+aTarget("nginx", n.address, ""))
	client := plainClient(t)
	var all sync.WaitGroup
	for worker := range 8 {
		all.Go(func() {
			for i := range 60 {
				name := fmt.Sprintf("%d-%d", worker, i)
				var body io.Reader = strings.NewReader(name)
				if i%2 == 1 {
					body = unknown{body}
				}
				resp, b, err := l.send(client, "POST", "/backend/", name, body)
				if err != nil || resp.StatusCode != 200 || string(b) != digest([]byte(name))+"...." {
					t.Errorf("%s: %v %v %s", name, err, resp, b)
				}
			}
		})
	}
	all.Wait()
	n.mu.Lock()
	defer n.mu.Unlock()
	for name, times := range n.made {
		if times != 1 {
			t.Errorf("%s was made %d times", name, times)
		}
	}
	if len(n.made) != 480 {
		t.Errorf("%d calls arrived", len(n.made))
	}
}

func TestRealNginx_carriesBodiesWholeBothWays(t *testing.T) {
	n := startNginx(t)
	big := make([]byte, 8<<20)
	for i := range big {
		big[i] = byte(rand.Uint32())
	}
	n.write("files/big", big)
	text := bytes.Repeat([]byte("nobody expects this text to be compressed\n"), 1000)
	n.write("files/a.txt", text)
	l := start(t, "targets:\n"+aTarget("nginx", n.address, ""))
	client := plainClient(t)
	for name, body := range map[string]io.Reader{"by length": bytes.NewReader(big), "in chunks": unknown{bytes.NewReader(big)}} {
		if _, b, err := l.send(client, "PUT", "/backend/", name, body); err != nil || string(b) != digest(big)+"...." {
			t.Errorf("8 MiB up, %s: %s, %v", name, b, err)
		}
	}
	resp, b, err := l.send(client, "GET", "/files/big", "down", nil)
	if err != nil || digest(b) != digest(big) || resp.ContentLength != int64(len(big)) {
		t.Errorf("8 MiB down: %d bytes, length %d, %v", len(b), resp.ContentLength, err)
	}
	modified := resp.Header.Get("Last-Modified")
	resp, b, err = l.send(client, "GET", "/files/a.txt", "gzip", nil, "Accept-Encoding", "gzip")
	if err != nil || resp.Header.Get("Content-Encoding") != "gzip" || len(b) >= len(text) {
		t.Fatalf("compressed: %v %d bytes, %v", resp, len(b), err)
	}
	z, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	if plain, err := io.ReadAll(z); err != nil || !bytes.Equal(plain, text) {
		t.Errorf("what was compressed is %d bytes, %v", len(plain), err)
	}
	if resp, b, err = l.send(client, "GET", "/files/big", "range", nil, "Range", "bytes=10-19"); err != nil || resp.StatusCode != 206 || !bytes.Equal(b, big[10:20]) {
		t.Errorf("a range: %v %v", resp, err)
	}
	for range 3 { // each must leave the connection usable
		if resp, b, err = l.send(client, "HEAD", "/files/big", "head", nil); err != nil || resp.StatusCode != 200 || resp.ContentLength != int64(len(big)) || len(b) != 0 {
			t.Errorf("HEAD: %v, %v", resp, err)
		}
		if resp, b, err = l.send(client, "GET", "/files/big", "304", nil, "If-Modified-Since", modified); err != nil || resp.StatusCode != 304 || len(b) != 0 {
			t.Errorf("304: %v, %v", resp, err)
		}
		if resp, b, err = l.send(client, "GET", "/none", "204", nil); err != nil || resp.StatusCode != 204 || len(b) != 0 {
			t.Errorf("204: %v, %v", resp, err)
		}
	}
}

func TestRealNginx_getsABodyThatWaitsFor100Continue(t *testing.T) {
	n := startNginx(t)
	l := start(t, "targets:\n"+aTarget("nginx", n.address, ""))
	c, err := net.Dial("tcp", l.calls)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	fmt.Fprint(c, "POST /link/nginx/backend/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
	in := bufio.NewReader(c)
	if line, err := in.ReadString('\n'); line != "HTTP/1.1 100 Continue\r\n" {
		t.Fatal(line, err)
	}
	_, _ = in.ReadString('\n')
	_, _ = io.WriteString(c, "hello")
	resp, err := http.ReadResponse(in, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if b, err := io.ReadAll(resp.Body); err != nil || string(b) != digest([]byte("hello"))+"...." {
		t.Error(string(b), err)
	}
}

// nginx replaces its workers, and with them all connections, during calls.
func TestRealNginx_thatReloadsFailsNoIdempotentCall(t *testing.T) {
	n := startNginx(t)
	l := start(t, "targets:\n"+aTarget("nginx", n.address, ", retry: {initialInterval: 10ms}"))
	client := plainClient(t)
	done := make(chan struct{})
	var all sync.WaitGroup
	var mu sync.Mutex
	calls := 0
	for range 8 {
		all.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				resp, b, err := l.send(client, "GET", "/x", "", nil)
				if err != nil || resp.StatusCode != 200 || string(b) != "hello" {
					t.Errorf("%v %v %s", err, resp, b)
					return
				}
				mu.Lock()
				calls++
				mu.Unlock()
			}
		})
	}
	so := func() int { mu.Lock(); defer mu.Unlock(); return calls }
	for range 5 {
		at := so()
		if err := n.process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		eventually(t, "calls after a reload", func() bool { return so() > at+300 || t.Failed() })
	}
	close(done)
	all.Wait()
}

// L1 and L2, https://github.com/traefik/traefik/issues/11746 and CVE-2019-9901: nginx
// receives the canonical path, and its own normalised form is still within
// allowedPaths.
func TestRealNginx_seesCanonicalPathsThatAreAllowedAsItReadsThem(t *testing.T) {
	n := startNginx(t)
	l := start(t, "targets:\n"+aTarget("nginx", n.address, ", allowedPaths: [/public/**], encodedSlashes: allow"))
	pieces := []string{
		"/", "/", "public", "admin", "a", ".", "..", "%2e", "%2E%2e", "%252e", "%2f", "%2F", "%5c", `\`, ";", "%3b", ";x=1", "%", "%25", "%00", "%c0%af", "%C3%BC", "?", "?/../", "#",
		"*", ":", "@", "{", "%7b", "%20", "%22", "%u002f", "//", "/./", "/../", "%09", "%0a", "+", "~", "%7E", "%41",
	}
	random := rand.New(rand.NewPCG(5, 6))
	sent := map[string]string{}
	for i := range 1500 {
		var b strings.Builder
		b.WriteString("/public/")
		for range 1 + random.IntN(5) {
			b.WriteString(pieces[random.IntN(len(pieces))])
		}
		name := fmt.Sprint(i)
		sent[name] = b.String()
		c, err := net.Dial("tcp", l.calls)
		if err != nil {
			t.Fatal(err)
		}
		_ = c.SetDeadline(time.Now().Add(10 * time.Second))
		fmt.Fprintf(c, "GET /link/nginx%s HTTP/1.1\r\nHost: localhost\r\nX-Case: %s\r\nConnection: close\r\n\r\n", b.String(), name)
		answer, err := io.ReadAll(c)
		_ = c.Close()
		if err != nil || !bytes.HasPrefix(answer, []byte("HTTP/1.1 ")) {
			t.Fatalf("%q: %q, %v", b.String(), answer, err)
		}
	}
	_ = n.process.Signal(syscall.SIGUSR1) // reopen the log, to be sure that it is written
	arrived := 0
	for line := range strings.Lines(n.read("access.log")) {
		var seen [3]string
		if err := json.Unmarshal([]byte(line), &seen); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		requested, uri := seen[0], seen[1]
		raw, query, hasQuery := strings.Cut(sent[seen[2]], "?")
		want, err := urlpath.Path(raw, true)
		if err != nil {
			t.Errorf("%q arrived, which cannot be read in one way: %v", raw, err)
			continue
		}
		if hasQuery {
			want += "?" + query
		}
		if requested != want {
			t.Errorf("%q arrived as %q, want %q", sent[seen[2]], requested, want)
		}
		if decoded, err := url.PathUnescape(uri); !strings.HasPrefix(uri, "/public/") || err == nil && !strings.HasPrefix(decoded, "/public/") {
			t.Errorf("nginx takes %q for %q", requested, uri)
		}
		arrived++
	}
	if arrived < 150 {
		t.Errorf("only %d of the paths arrived: the test says little", arrived)
	}
}
