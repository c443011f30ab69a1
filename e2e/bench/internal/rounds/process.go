package rounds

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// process is one of the two sides, while it runs.
type process struct {
	cmd   *exec.Cmd
	log   bytes.Buffer // what it said on stderr
	ended chan struct{}
	err   error // once ended
}

// start starts a command whose stdout goes to out.
func start(ctx context.Context, out io.Writer, env []string, args ...string) (*process, error) {
	p := &process{ended: make(chan struct{})}
	p.cmd = exec.CommandContext(ctx, args[0], args[1:]...)
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stdout, p.cmd.Stderr = out, &p.log
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

// stop asks the process to end, and fails unless it does so well and in time.
func (p *process) stop(ctx context.Context) error {
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may have ended, which is seen below
	select {
	case <-p.ended:
	case <-time.After(30 * time.Second):
		_ = p.cmd.Process.Kill() // the same
		return errors.New("did not end within 30 s of SIGTERM")
	case <-ctx.Done():
		return ctx.Err()
	}
	return p.failure()
}

// failure is why an ended process ended, if not well.
func (p *process) failure() error {
	if p.err == nil {
		return nil
	}
	said := p.log.Bytes()
	return fmt.Errorf("%w; it said:\n%s", p.err, said[max(0, len(said)-2000):])
}

// ticks is the unit of the kernel's accounts in /proc: USER_HZ, which is 100
// on every Linux that Go runs on.
const ticks = 100

// cpu is what the process has spent, user and system.
func (p *process) cpu() (time.Duration, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		return 0, fmt.Errorf("read the accounts of the process: %w", err)
	}
	return parseStat(string(data))
}

func parseStat(stat string) (time.Duration, error) {
	// The name, in parentheses, may hold anything; utime and stime are the
	// 12th and 13th field after it.
	_, rest, _ := strings.Cut(stat[max(0, strings.LastIndex(stat, ")")):], " ")
	all := strings.Fields(rest)
	if len(all) < 13 {
		return 0, fmt.Errorf("these accounts of a process are not understood: %q", stat)
	}
	user, err1 := strconv.ParseInt(all[11], 10, 64)
	system, err2 := strconv.ParseInt(all[12], 10, 64)
	return time.Duration(user+system) * time.Second / ticks, errors.Join(err1, err2)
}

// peak is the most resident memory that the process had, in bytes.
func (p *process) peak() (int64, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0, fmt.Errorf("read the accounts of the process: %w", err)
	}
	return parsePeak(string(data))
}

func parsePeak(status string) (int64, error) {
	_, rest, _ := strings.Cut(status, "VmHWM:")
	size, _, found := strings.Cut(rest, "kB")
	kb, err := strconv.ParseInt(strings.TrimSpace(size), 10, 64)
	if !found || err != nil {
		return 0, errors.New("the accounts of the process do not say its memory")
	}
	return kb << 10, nil
}

// mallocs is the count of allocations that a page of metrics shows.
func mallocs(ctx context.Context, addr string) (float64, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/metrics", nil)
	if err != nil {
		return 0, err
	}
	resp, err := (&http.Client{Timeout: 10 * time.Second}).Do(req)
	if err != nil {
		return 0, fmt.Errorf("ask for metrics: %w", err)
	}
	defer resp.Body.Close() //nolint:errcheck // only read from
	page, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, fmt.Errorf("ask for metrics: %w", err)
	}
	return parseMallocs(string(page))
}

func parseMallocs(page string) (float64, error) {
	for line := range strings.Lines(page) {
		if value, ok := strings.CutPrefix(line, "go_memstats_mallocs_total "); ok {
			return strconv.ParseFloat(strings.TrimSpace(value), 64)
		}
	}
	return 0, errors.New("the metrics do not count allocations")
}

// freeAddr is an address on which nobody listens.
func freeAddr(ctx context.Context) (string, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("look for a free port: %w", err)
	}
	return l.Addr().String(), l.Close()
}
