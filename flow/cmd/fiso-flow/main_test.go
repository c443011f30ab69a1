//go:build unix

package main

import (
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// TestMain is the program itself in a process of its own, and the tests else.
func TestMain(m *testing.M) {
	if os.Getenv("RUN_THE_PROGRAM") != "" {
		main()
	}
	m.Run()
}

// U34: the customary request for a reload ended the process without a drain.
func TestMain_goesOnAfterSIGHUP(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file.yaml")
	if err := os.WriteFile(file, []byte("{name: f, source: {type: http, config: {listen: '127.0.0.1:0'}}, sink: {type: stdout}, errorHandling: {onExhausted: block}}"), 0o600); err != nil {
		t.Fatal(err)
	}
	admin := freeAddress(t)
	c := exec.CommandContext(t.Context(), os.Args[0], "run", "--metrics-addr", admin, file)
	c.Env = append(os.Environ(), "RUN_THE_PROGRAM=1")
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- c.Wait() }()
	for end := time.Now().Add(20 * time.Second); !healthy(admin); {
		if time.Now().After(end) {
			t.Fatal("it does not start")
		}
	}
	for _, s := range []syscall.Signal{syscall.SIGHUP, syscall.SIGTERM} {
		if err := c.Process.Signal(s); err != nil {
			t.Fatal(err)
		}
		if s == syscall.SIGHUP && !healthy(admin) {
			t.Fatal("it does not answer after SIGHUP")
		}
	}
	if err := <-ended; err != nil {
		t.Errorf("it ended with: %v", err)
	}
}

func healthy(address string) bool {
	client := http.Client{Timeout: 10 * time.Second}
	r, err := client.Get("http://" + address + "/healthz")
	if err != nil {
		return false
	}
	return r.Body.Close() == nil && r.StatusCode == http.StatusOK
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() //nolint:errcheck // a test
	return l.Addr().String()
}
