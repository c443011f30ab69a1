package harness

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/lsm/fiso/e2e/faults/internal/ledger"
	"github.com/lsm/fiso/e2e/internal/process"
)

// commitSlack is how much longer than commitInterval a commit may take on a busy machine.
const commitSlack = time.Second

// Member is one run of a fiso-flow process. Each run delivers to its own path, so that the
// service knows which process calls.
type Member struct {
	// Name is the same in every run.
	Name string
	// Static uses Name as instanceId.
	Static bool

	env     *Env
	id      int
	version int
	dir     string
	text    string // its own flow file; "": the flow of the stage
	proc    *process.Process
	admin   string // address of metrics and health

	mu      sync.Mutex
	mayExit bool // the process may end
}

// Start starts a process and returns at once.
func (s *Env) Start(ctx context.Context, name string, static bool) (*Member, error) {
	return s.start(ctx, &Member{Name: name, Static: static})
}

// StartFile starts a process with its own flow file.
func (s *Env) StartFile(ctx context.Context, name, text string) (*Member, error) {
	return s.start(ctx, &Member{Name: name, text: text})
}

func (s *Env) start(ctx context.Context, m *Member) (*Member, error) {
	s.mu.Lock()
	s.started++
	m.env, m.id = s, s.started
	m.dir = filepath.Join(s.dir, fmt.Sprintf("%s-%d", m.Name, m.id))
	s.mu.Unlock()
	if err := os.MkdirAll(m.dir, 0o755); err != nil {
		return nil, fmt.Errorf("create a directory for flow files: %w", err)
	}
	if err := m.write(); err != nil {
		return nil, err
	}
	var err error
	if m.admin, err = process.FreeAddr(ctx); err != nil {
		return nil, err
	}
	command := append(slices.Clone(s.Wrapper), s.binary, "run", "--log-level", "info", "--metrics-addr", m.admin, m.dir)
	if m.proc, err = process.Start(ctx, io.Discard, nil, command...); err != nil {
		return nil, err
	}
	s.mu.Lock()
	s.members = append(s.members, m)
	s.mu.Unlock()
	return m, nil
}

// StartDelivering starts a process and waits until it delivers.
func (s *Env) StartDelivering(ctx context.Context, name string, static bool) (*Member, error) {
	m, err := s.Start(ctx, name, static)
	if err != nil {
		return nil, err
	}
	return m, m.WaitDelivered(ctx, 1)
}

// write replaces the flow file atomically, as an editor does.
func (m *Member) write() error {
	file := filepath.Join(m.dir, "flow.yaml")
	text := m.text
	if text == "" {
		text = m.env.Flow.file(m.env, m)
	}
	if err := os.WriteFile(file+".new", []byte(text), 0o600); err != nil {
		return fmt.Errorf("write the flow: %w", err)
	}
	if err := os.Rename(file+".new", file); err != nil {
		return fmt.Errorf("write the flow: %w", err)
	}
	return nil
}

// WaitDelivered waits until the process has delivered n more events.
func (m *Member) WaitDelivered(ctx context.Context, n int) error {
	target := m.env.Service.Count(m.id) + n
	return m.env.WaitUntil(ctx, fmt.Sprintf("%s delivering", m.Name), time.Minute, func() bool { return m.env.Service.Count(m.id) >= target })
}

// Reload changes the flow file and returns its new version.
func (m *Member) Reload() (version int, err error) {
	m.version++
	return m.version, m.write()
}

// WaitVersion waits until the service gets events from that version of the flow.
func (m *Member) Reached(ctx context.Context, version int) error {
	return m.env.WaitUntil(ctx, fmt.Sprintf("%s delivering by version %d of the flow", m.Name, version), time.Minute,
		func() bool { return m.env.Service.Version(m.id) >= version })
}

// Ready reports whether /readyz answers 200.
func (m *Member) Ready(ctx context.Context) bool {
	status, _ := m.get(ctx, "/readyz")
	return status == http.StatusOK
}

// Problem returns the answer of /readyz?verbose.
func (m *Member) Problem(ctx context.Context) string {
	_, text := m.get(ctx, "/readyz?verbose")
	return text
}

// Metric returns the sum of a counter or gauge over its labels.
func (m *Member) Metric(ctx context.Context, name string) (sum float64) {
	_, text := m.get(ctx, "/metrics")
	for line := range strings.Lines(text) {
		metric, value, ok := strings.Cut(strings.TrimSpace(line), " ")
		if n, err := strconv.ParseFloat(value, 64); ok && err == nil && (metric == name || strings.HasPrefix(metric, name+"{")) {
			sum += n
		}
	}
	return sum
}

func (m *Member) get(ctx context.Context, path string) (status int, text string) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+m.admin+path, nil)
	if err != nil {
		return 0, ""
	}
	resp, err := (&http.Client{Timeout: 5 * time.Second}).Do(req)
	if err != nil {
		return 0, ""
	}
	defer resp.Body.Close() //nolint:errcheck // only read
	body, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(body)
}

// Resident returns the resident memory in bytes.
func (m *Member) Resident() (int64, error) { return m.proc.Resident() }

// Read returns how many bytes the process has read so far, mostly from brokers.
func (m *Member) Read() (int64, error) { return m.proc.Read() }

// Stop stops the process cleanly, and fails unless it exits with 0.
func (m *Member) Stop(ctx context.Context) error {
	m.expectExit()
	if err := m.proc.Stop(ctx); err != nil {
		return fmt.Errorf("%s after SIGTERM: %w", m.Name, err)
	}
	return nil
}

// Kill kills the process without a clean stop.
func (m *Member) Kill() {
	m.expectExit()
	m.crash()
	m.proc.Kill()
}

// Pause stops the process with SIGSTOP until Continue.
func (m *Member) Pause() {
	m.crash()
	m.proc.Signal(syscall.SIGSTOP)
}

// Continue continues a paused process.
func (m *Member) Continue() { m.proc.Signal(syscall.SIGCONT) }

// crash records in the ledger what may be repeated. Call it before the crash.
func (m *Member) crash() {
	m.env.Ledger.Crashed(m.id, ledger.Crash{
		At: time.Now(), InFlight: m.env.Flow.MaxInFlight * Partitions, Uncommitted: m.env.Flow.commitInterval() + commitSlack,
	})
}

// expectExit removes the process from the members that must live.
func (m *Member) expectExit() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mayExit = true
}

// unexpectedExit returns why the process ended unexpectedly, or nil.
func (m *Member) unexpectedExit() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.mayExit {
		return nil
	}
	select {
	case <-m.proc.Ended():
		return fmt.Errorf("%s exited unexpectedly: %w", m.Name, m.proc.Failure())
	default:
		return nil
	}
}

// running returns the members that must be running.
func (s *Env) running() []*Member {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []*Member
	for _, m := range s.members {
		m.mu.Lock()
		if !m.mayExit {
			all = append(all, m)
		}
		m.mu.Unlock()
	}
	return all
}

// lastLogs returns the last log lines of the running members.
func (s *Env) lastLogs() string {
	logs := ""
	for _, m := range s.running() {
		log := m.proc.Output()
		logs += fmt.Sprintf("\n--- log of %s:\n%s", m.Name, log[max(0, len(log)-3000):])
	}
	return logs
}
