//go:build integration

package http

import (
	"bytes"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// hastyNginx closes a connection that is idle for 5 ms, without notice.
const hastyNginx = `daemon off;
worker_processes 2;
pid nginx.pid;
error_log error.log warn;
events {}
http {
  access_log access.log;
  client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
  keepalive_timeout 5ms;
  server { listen LISTEN; location / { return 204; } }
}
`

// startNginx runs a real nginx until the test ends. The result counts the requests that
// it read.
func startNginx(t *testing.T) (address string, access func() int) {
	t.Helper()
	program, err := exec.LookPath("nginx")
	if err != nil {
		// It is not on the PATH of an ordinary user.
		if program, err = exec.LookPath("/usr/sbin/nginx"); err != nil {
			t.Skip("nginx is missing: install the package nginx")
		}
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address = ln.Addr().String()
	if err := ln.Close(); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	conf := strings.Replace(hastyNginx, "LISTEN", address, 1)
	if err := os.WriteFile(filepath.Join(dir, "nginx.conf"), []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), program, "-p", dir, "-c", "nginx.conf", "-e", "error.log")
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Wait() }) // it was told to stop; its exit status does not matter
	eventually(t, "nginx listens", func() bool {
		c, err := net.Dial("tcp", address)
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	})
	return address, func() int {
		log, err := os.ReadFile(filepath.Join(dir, "access.log"))
		if err != nil {
			t.Error(err)
		}
		return bytes.Count(log, []byte("\n"))
	}
}

// U11: events come at about the interval at which the server closes idle connections.
// Of 3,200 such events, 283 failed.
func TestSink_losesNoEventToAServerThatClosesIdleConnections(t *testing.T) {
	address, access := startNginx(t)
	const callers, each = 8, 400
	s := newSink(t, sinkConfig("http://"+address))
	var wg sync.WaitGroup
	for i := range callers {
		wg.Go(func() {
			tick := time.NewTicker(4*time.Millisecond + time.Duration(i)*250*time.Microsecond)
			defer tick.Stop()
			for range each {
				if err := s.Send(t.Context(), order("1")); err != nil {
					t.Error(err)
				}
				<-tick.C
			}
		})
	}
	wg.Wait()
	eventually(t, "all are in the log", func() bool { return access() >= callers*each })
	if n := access(); n != callers*each {
		t.Errorf("nginx read %d requests; want %d, each once", n, callers*each)
	}
}
