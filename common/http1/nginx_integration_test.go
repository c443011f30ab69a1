//go:build integration

package http1

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

const nginxConf = `daemon off;
user root;
pid nginx.pid;
error_log error.log crit;
events {}
http {
  access_log off;
  client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
  server {
    listen LISTEN;
    location / { proxy_pass http://BACKEND; proxy_http_version 1.1; proxy_buffering off; proxy_set_header Connection ""; proxy_ignore_client_abort on; proxy_read_timeout 1s; }
  }
}
`

// startNginx runs nginx before a backend until the test ends.
func startNginx(t *testing.T, backend string) (addr string) {
	t.Helper()
	program, err := exec.LookPath("nginx")
	if err != nil {
		if program, err = exec.LookPath("/usr/sbin/nginx"); err != nil { // not in the PATH of ordinary users
			t.Skip("a real nginx is needed: install the package nginx")
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr = l.Addr().String()
	_ = l.Close()
	dir := t.TempDir()
	conf := strings.NewReplacer("LISTEN", addr, "BACKEND", backend).Replace(nginxConf)
	if err := os.WriteFile(filepath.Join(dir, "nginx.conf"), []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	cmd := exec.Command(program, "-p", dir, "-c", "nginx.conf", "-e", "error.log")
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }() // its output says how it ended
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended already
		<-ended
	})
	eventually(t, "nginx listens", func() bool {
		select {
		case <-ended:
			t.Fatal("nginx ended: ", said.String())
		default:
		}
		c, err := net.Dial("tcp", addr)
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	})
	return addr
}

// L7: nginx takes and refuses what the tables of README.md say.
func TestDifferential_theTableOfRequestsHoldsForNginx(t *testing.T) {
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set(handled, "1")
		_, _ = io.WriteString(w, "ok")
	}))
	t.Cleanup(backend.Close)
	addr := startNginx(t, backend.Listener.Addr().String())
	s := startServers(t)
	got := map[string][]string{}
	for _, row := range oddRequests {
		in := stream{pieces: []string{row.text}, method: "GET"}
		ours := s.read(s.ours, in)
		word := "takes"
		if refused, answers := ask(t, addr, in); refused {
			word = "refuses"
		} else if answers == 0 {
			word = "no request"
		}
		got[row.rule] = []string{ours.word(), ours.cell(s.read(s.theirs, in)), word}
	}
	holds(t, "requests", got, 3)
}

func TestDifferential_theTableOfAnswersHoldsForNginx(t *testing.T) {
	backend, next := answering(t)
	addr := startNginx(t, backend)
	got := map[string][]string{}
	for _, row := range oddAnswers {
		in := stream{pieces: []string{row.text}}
		next <- in
		ours := ourClient(t, backend, row.method())
		next <- in
		theirs := theirClient(t, backend, row.method())
		next <- in
		word, ngx := "takes", theirClient(t, addr, row.method())
		if ngx.refused || ngx.status == http.StatusBadGateway {
			word = "refuses"
		}
		got[row.rule] = []string{ours.word(), ours.cell(theirs), word}
	}
	holds(t, "answers", got, 3)
}

// L7: nginx takes valid messages as we do.
func TestDifferential_generatedTrafficIsTakenByNginx(t *testing.T) {
	s := startServers(t)
	addr := startNginx(t, s.ours)
	for seed := range uint64(600) {
		in := newGenerator(seed).requests()
		if in.broken || strings.Contains(in.text(), "\t") {
			continue // nginx refuses a tab around a value: see the table
		}
		direct := s.read(s.ours, in)
		through := s.read(addr, in)
		if len(direct.seen) != len(through.seen) || through.word() != "takes" {
			t.Fatalf("seed %d: %q\nread as %v\nby nginx %v", seed, in.text(), direct, through)
		}
	}
}
