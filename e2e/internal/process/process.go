// Package process runs programs for those of this module that judge them, and
// reads what the kernel accounts to them.
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

// Flow is the package of fiso-flow's command.
const Flow = "github.com/lsm/fiso/flow/cmd/fiso-flow"

// Link is the package of fiso-link's command.
const Link = "github.com/lsm/fiso/link/cmd/fiso-link"

// patience is how long a process may take to end after SIGTERM.
const patience = 30 * time.Second

// Process is a program while it runs, and how it ended.
type Process struct {
	cmd   *exec.Cmd
	said  tail // on stderr
	ended chan struct{}
	err   error // once ended
}

// Start starts a command whose stdout goes to out. It is killed when ctx ends.
func Start(ctx context.Context, out io.Writer, env []string, args ...string) (*Process, error) {
	p := &Process{ended: make(chan struct{})}
	p.cmd = exec.CommandContext(ctx, args[0], args[1:]...)
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stdout, p.cmd.Stderr = out, &p.said
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

// Signal sends a signal. A process that has ended does not get it, which Ended
// and Failure tell.
func (p *Process) Signal(s syscall.Signal) { _ = p.cmd.Process.Signal(s) }

// Kill ends the process at once and waits for its end.
func (p *Process) Kill() {
	p.Signal(syscall.SIGKILL)
	<-p.ended
}

// Stop asks the process to end, and fails unless it does so well and in time.
func (p *Process) Stop(ctx context.Context) error {
	p.Signal(syscall.SIGTERM)
	limit := time.NewTimer(patience)
	defer limit.Stop()
	select {
	case <-p.ended:
	case <-limit.C:
		p.Kill()
		return fmt.Errorf("did not end within %v of SIGTERM; it said:\n%s", patience, p.Said())
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return p.Failure()
}

// Ended is closed when the process has ended.
func (p *Process) Ended() <-chan struct{} { return p.ended }

// Failure is why an ended process ended, if not well.
func (p *Process) Failure() error {
	if p.err == nil {
		return nil
	}
	return fmt.Errorf("%w; it said:\n%s", p.err, p.Said())
}

// Said is the end of what it wrote to stderr.
func (p *Process) Said() string { return p.said.String() }

// tail keeps the end of what is written to it.
type tail struct {
	mu   sync.Mutex
	kept []byte
}

const tailKept = 16 << 10

// Write takes all there is.
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

// FreeAddr is an address on which nobody listens.
func FreeAddr(ctx context.Context) (string, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("look for a free port: %w", err)
	}
	addr := l.Addr().String()
	return addr, errors.Join(l.Close())
}
