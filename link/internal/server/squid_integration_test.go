//go:build integration

package server

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// UL10: through a real proxy, with a password, by a name that only the proxy can
// resolve.
func TestRealSquid_tunnelsCallsWithAPassword(t *testing.T) {
	const helper = "/usr/lib/squid/basic_ncsa_auth"
	program, err := exec.LookPath("/usr/sbin/squid")
	if err != nil {
		t.Skip("squid is needed; on Debian: apt-get install squid")
	}
	dir, err := os.MkdirTemp("", "squid") //nolint:usetesting // a helper of squid runs as another user, which must read it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o777); err != nil { //nolint:gosec // the other user writes its log there
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	_ = l.Close() // squid listens there next
	at := func(name string) string { return filepath.Join(dir, name) }
	for name, text := range map[string]string{
		"hosts":     "127.0.0.1 crm.invalid\n",
		"passwords": "anna:$apr1$fisotest$98fqDDS25gwgOXVtOumlZ/\n", // pr0xy
		"squid.conf": fmt.Sprintf(`http_port %s
hosts_file %s
auth_param basic program %s %s
acl known proxy_auth REQUIRED
acl CONNECT method CONNECT
http_access deny !CONNECT
http_access allow known
http_access deny all
access_log stdio:%s
cache_log %s
pid_filename none
netdb_filename none
cache deny all
shutdown_lifetime 0 seconds
`, address, at("hosts"), helper, at("passwords"), at("access.log"), at("cache.log")),
	} {
		if err := os.WriteFile(at(name), []byte(text), 0o644); err != nil { //nolint:gosec // as above
			t.Fatal(err)
		}
	}
	squid := exec.CommandContext(context.WithoutCancel(t.Context()), program, "-N", "-f", at("squid.conf")) // ended below
	var said bytes.Buffer
	squid.Stdout, squid.Stderr = &said, &said
	if err := squid.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = squid.Process.Signal(syscall.SIGTERM) // it may have ended by itself
		_ = squid.Wait()                          // the process was terminated
		if t.Failed() {
			log, _ := os.ReadFile(at("cache.log"))
			t.Logf("squid: %s%s", said.String(), log)
		}
	})
	eventually(t, "squid", func() bool {
		c, err := net.Dial("tcp", address)
		if err == nil {
			_ = c.Close() // squid listens
		}
		return err == nil
	})
	_, port, _ := net.SplitHostPort(upstream(t, "crm"))
	auth := ", auth: {type: bearer, secretRef: {filePath: " + secretFile(t, "s3cret") + "}}"
	proxy := func(password string) string {
		return ", retry: {maxAttempts: 1}, proxy: {url: 'http://" + address + "', username: anna, secretRef: {filePath: " + secretFile(t, password) + "}}"
	}
	link := start(t, "targets:\n"+aTarget("crm", "crm.invalid:"+port, proxy("pr0xy")+auth)+aTarget("wrong", "crm.invalid:"+port, proxy("guess"))+
		aTarget("nowhere", "nowhere.invalid:"+port, proxy("pr0xy")))
	for range 2 {
		if code, body := link.call("crm/api"); code != 200 || body != "crm /api Bearer s3cret" {
			t.Fatalf("%d %s", code, body)
		}
	}
	for name, want := range map[string]string{"wrong": "it answers 407", "nowhere": "it answers 50"} {
		if code, body := link.call(name + "/"); code != 502 || !strings.Contains(body, "the proxy http://"+address+": "+want) || name == "nowhere" && !strings.Contains(body, "can it connect to nowhere.invalid:"+port+"?") {
			t.Errorf("%s: %d %s", name, code, body)
		}
	}
}
