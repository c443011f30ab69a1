// Package process runs programs under test, and reads what the kernel reports about them.
package process

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// Flow is the package path of fiso-flow.
const Flow = "github.com/lsm/fiso/flow/cmd/fiso-flow"

// Link is the package path of fiso-link.
const Link = "github.com/lsm/fiso/link/cmd/fiso-link"

// stopTimeout is how long a process may take to exit after SIGTERM.
const stopTimeout = 30 * time.Second

// Process is a program that runs or has ended.
type Process struct {
	cmd    *exec.Cmd
	output tail // end of stderr
	ended  chan struct{}
	err    error // set when the process has ended
}

// Start starts a command with stdout out. The process is killed when ctx ends.
func Start(ctx context.Context, out io.Writer, env []string, args ...string) (*Process, error) {
	p := &Process{ended: make(chan struct{})}
	p.cmd = exec.CommandContext(ctx, args[0], args[1:]...)
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stdout, p.cmd.Stderr = out, &p.output
	p.cmd.WaitDelay = time.Second
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", args[0], err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.ended)
	}()
	return p, nil
}

// Signal sends a signal. It has no effect on a process that has ended; Ended and Failure report
// that.
func (p *Process) Signal(s syscall.Signal) { _ = p.cmd.Process.Signal(s) }

// Kill kills the process and waits until it has ended.
func (p *Process) Kill() {
	p.Signal(syscall.SIGKILL)
	<-p.ended
}

// Stop sends SIGTERM. It fails unless the process exits with 0 in time.
func (p *Process) Stop(ctx context.Context) error {
	p.Signal(syscall.SIGTERM)
	limit := time.NewTimer(stopTimeout)
	defer limit.Stop()
	select {
	case <-p.ended:
	case <-limit.C:
		p.Kill()
		return fmt.Errorf("did not end within %v of SIGTERM; last output:\n%s", stopTimeout, p.Output())
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return p.Failure()
}

// Ended is closed when the process has ended.
func (p *Process) Ended() <-chan struct{} { return p.ended }

// Failure returns why an ended process failed, or nil.
func (p *Process) Failure() error {
	if p.err == nil {
		return nil
	}
	return fmt.Errorf("%w; last output:\n%s", p.err, p.Output())
}

// Output returns the end of what the process wrote to stderr.
func (p *Process) Output() string { return p.output.String() }

// tail keeps the last bytes that are written to it.
type tail struct {
	mu   sync.Mutex
	kept []byte
}

const tailKept = 16 << 10

// Write never fails.
func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.kept = append(t.kept, b...)
	if len(t.kept) > 2*tailKept {
		t.kept = append(t.kept[:0], t.kept[len(t.kept)-tailKept:]...)
	}
	return len(b), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.kept[max(0, len(t.kept)-tailKept):])
}

// Build builds a command of this tree.
func Build(ctx context.Context, to, pkg string) error {
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", to, pkg).CombinedOutput(); err != nil {
		return fmt.Errorf("build %s: %w\n%s", pkg, err, out)
	}
	return nil
}

// FreeAddr returns an address on which nothing listens.
func FreeAddr(ctx context.Context) (string, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("find a free port: %w", err)
	}
	addr := l.Addr().String()
	return addr, errors.Join(l.Close())
}
