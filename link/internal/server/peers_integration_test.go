//go:build integration

package server

import (
	"bufio"
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// foreign is a program in another language, in testdata/peers.
func foreign(ctx context.Context, t *testing.T, file string, args ...string) *exec.Cmd {
	t.Helper()
	home := os.Getenv("FISO_PEERS_HOME")
	if home == "" {
		t.Skip("clients and servers of other languages are needed: set FISO_PEERS_HOME to a folder with node_modules and python in it (go tool mage integration -module=link makes one)")
	}
	program := "node"
	if filepath.Ext(file) == ".py" {
		program = "python3"
	}
	cmd := exec.CommandContext(ctx, program, append([]string{filepath.Join("testdata", "peers", file)}, args...)...)
	cmd.Env = append(os.Environ(), "NODE_PATH="+filepath.Join(home, "node_modules"), "PYTHONPATH="+filepath.Join(home, "python"), "PYTHONDONTWRITEBYTECODE=1")
	return cmd
}

// servedBy runs a peer that serves until the test ends, and returns its address.
func servedBy(t *testing.T, file string, args ...string) string {
	t.Helper()
	cmd := foreign(context.WithoutCancel(t.Context()), t, file, args...)
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGKILL) // it may have ended by itself
		_ = cmd.Wait()                          // it was killed
	})
	port, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("%s: %v: %s", file, err, said.String())
	}
	return "127.0.0.1:" + strings.TrimSpace(port)
}

// UL1: servers order the fields of their 101 differently, and may close first while the
// application still sends; nothing that they sent is lost.
func TestRealWebSockets_ofNodeAndPythonWorkDirectlyAndBehindNginx(t *testing.T) {
	for _, server := range []string{"ws-server.js", "ws_server.py"} {
		address := servedBy(t, server)
		n := startNginxFor(t, address)
		l := start(t, "targets:\n"+aTarget("direct", address, ", timeout: 2s")+aTarget("nginx", n.address, ", basePath: /backend, timeout: 2s"))
		for _, client := range []string{"ws-client.js", "ws_client.py"} {
			for _, target := range []string{"direct", "nginx"} {
				t.Run(client+" to "+server+" "+target, func(t *testing.T) {
					ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
					defer cancel()
					if out, err := foreign(ctx, t, client, "ws://"+l.calls+"/link/"+target).CombinedOutput(); err != nil || strings.TrimSpace(string(out)) != "ok" {
						t.Errorf("%v: %s", err, out)
					}
				})
			}
		}
	}
}
