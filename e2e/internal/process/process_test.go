package process

import (
	"context"
	"io"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestAccounts_areRead(t *testing.T) {
	if d, err := parseStat("12 (a) b) (c) S 1 2 3 4 5 6 7 8 9 10 150 50 0 0 20"); err != nil || d != 2*time.Second {
		t.Error(d, err)
	}
	if _, err := parseStat("12 (a)"); err == nil {
		t.Error("too short a line was accepted")
	}
	if n, err := parseSize("Name:\tx\nVmHWM:\t  2048 kB\nVmRSS:\t 1024 kB\n", "VmHWM:"); err != nil || n != 2<<20 {
		t.Error(n, err)
	}
	if _, err := parseSize("Name:\tx\n", "VmRSS:"); err == nil {
		t.Error("no memory was accepted")
	}
}

func shell(t *testing.T, script string) *Process {
	t.Helper()
	if _, err := exec.LookPath("sh"); err != nil {
		t.Skip("sh is missing")
	}
	p, err := Start(t.Context(), io.Discard, []string{"GREETING=hello"}, "sh", "-c", script)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestProcess_tellsHowItEnded(t *testing.T) {
	p := shell(t, `echo "$GREETING and good-bye" >&2; exit 3`)
	<-p.Ended()
	if err := p.Stop(t.Context()); err == nil || !strings.Contains(err.Error(), "exit status 3; last output:\nhello and good-bye") {
		t.Error(err)
	}
	p = shell(t, `trap 'exit 0' TERM; while :; do sleep 0.01; done`)
	if n, err := p.Resident(); err != nil || n <= 0 {
		t.Error(n, err)
	}
	if n, err := p.Read(); err != nil || n <= 0 {
		t.Error(n, err)
	}
	if n, err := p.Sockets(); err != nil || n != 0 {
		t.Errorf("%d sockets, %v", n, err)
	}
	if _, err := p.Peak(); err != nil {
		t.Error(err)
	}
	if _, err := p.CPU(); err != nil {
		t.Error(err)
	}
	p.Kill()
	if p.Failure() == nil {
		t.Error("a killed process ended well")
	}
	if _, err := p.CPU(); err == nil {
		t.Error("a process that ended has figures")
	}
	p.Signal(syscall.SIGTERM) // has no effect
}

func TestProcess_stopWaitsNoLongerThanItsContext(t *testing.T) {
	p := shell(t, `trap '' TERM; while :; do sleep 0.01; done`)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := p.Stop(ctx); err == nil {
		t.Error("it ignores SIGTERM, and was stopped")
	}
	p.Kill()
}

func TestStart_refusesWhatIsNotThere(t *testing.T) {
	if _, err := Start(t.Context(), io.Discard, nil, "/no/such/program"); err == nil {
		t.Error("it was started")
	}
	if err := Build(t.Context(), t.TempDir()+"/x", "example.invalid/no/such"); err == nil {
		t.Error("it was built")
	}
	if addr, err := FreeAddr(t.Context()); err != nil || !strings.HasPrefix(addr, "127.0.0.1:") {
		t.Error(addr, err)
	}
}

func TestTail_keepsTheEnd(t *testing.T) {
	var tl tail
	for range 10 {
		_, _ = tl.Write([]byte(strings.Repeat("x", tailKept/2)))
	}
	_, _ = tl.Write([]byte("the end"))
	if s := tl.String(); len(s) != tailKept || !strings.HasSuffix(s, "xthe end") {
		t.Error(len(s))
	}
}

func TestTree_includesTheChildren(t *testing.T) {
	p := shell(t, `sleep 2 >/dev/null 2>&1 & sleep 2 >/dev/null 2>&1 & wait`)
	for {
		_, family, err := p.Tree()
		alone, err2 := p.Resident()
		if err == nil && err2 == nil && family > alone {
			break // the children are running
		}
		if t.Context().Err() != nil {
			t.Fatal(family, alone, err, err2)
		}
	}
	p.Kill()
	if _, _, err := p.Tree(); err == nil {
		t.Error("a process that ended has figures")
	}
}
