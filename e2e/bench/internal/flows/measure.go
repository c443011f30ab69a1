package flows

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/lsm/fiso/e2e/bench/internal/rounds"
	"github.com/lsm/fiso/e2e/internal/process"
)

// templates are the flow files, with placeholders for number, brokers and listen address.
var templates = map[string]string{
	"kafka": `name: flow-{n}
source: {type: kafka, config: {brokers: "{brokers}", topic: topic-{n}, consumerGroup: group-{n}}}
transform: {cel: '{"order_id": data.legacy_id, "timestamp": time, "status": data.order_status}'}
sink: {type: http, config: {url: "http://127.0.0.1:9/x"}}
`,
	"http": `name: flow-{n}
source: {type: http, config: {listen: "{listen}", path: /flow-{n}}}
transform: {cel: '{"order_id": data.legacy_id, "timestamp": time, "status": data.order_status}'}
sink: {type: http, config: {url: "http://127.0.0.1:9/x"}}
errorHandling: {onExhausted: block}
`,
}

// bench is the environment of the measured processes.
type bench struct {
	options
	dir     string
	broker  *process.Process
	brokers []string
}

// open starts the broker and builds fiso-flow.
func (a *bench) open(ctx context.Context) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	if a.binary == "" {
		a.binary = filepath.Join(a.dir, "fiso-flow")
		if err := process.Build(ctx, a.binary, process.Flow); err != nil {
			return err
		}
	}
	r, w := io.Pipe()
	if a.broker, err = process.Start(ctx, w, nil, self, rounds.RoleBroker); err != nil {
		return err
	}
	if err := json.NewDecoder(r).Decode(&a.brokers); err != nil {
		return fmt.Errorf("start the broker: %w", err)
	}
	most := 0
	for _, n := range a.counts {
		most = max(most, n)
	}
	return a.topics(ctx, most)
}

func (a *bench) close() {
	if a.broker != nil {
		a.broker.Kill()
	}
}

func (a *bench) topics(ctx context.Context, n int) error {
	cl, err := kgo.NewClient(kgo.SeedBrokers(a.brokers...))
	if err != nil {
		return fmt.Errorf("create topics: %w", err)
	}
	defer cl.Close()
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("topic-%d", i)
	}
	if _, err := kadm.NewClient(cl).CreateTopics(ctx, 1, 1, nil, names...); err != nil {
		return fmt.Errorf("create topics: %w", err)
	}
	return nil
}

// figures are the costs of a process with a number of flows.
type figures struct {
	source       string
	flows        int
	ready        time.Duration
	resident     int64
	cores        float64 // while idle
	sockets      int
	goroutines   int
	collections  float64 // garbage collections per minute, while idle
	metricsBytes int
	metricsLines int
	collected    int // garbage collections so far
}

const (
	patience = 5 * time.Minute  // until all flows are ready
	settle   = 10 * time.Second // until the effects of the start are over
)

// measure runs a process and measures it while it is idle.
func (a *bench) measure(ctx context.Context, source string, n int) (f figures, err error) {
	f = figures{source: source, flows: n}
	dir, err := a.write(ctx, source, n)
	if err != nil {
		return f, err
	}
	addr, err := process.FreeAddr(ctx)
	if err != nil {
		return f, err
	}
	begun := time.Now()
	p, err := process.Start(ctx, io.Discard, nil, a.binary, "run", "--metrics-addr", addr, "--log-level", "warn", "--start-timeout", "5m", dir)
	if err != nil {
		return f, err
	}
	defer p.Kill()
	if err := a.ready(ctx, p, addr); err != nil {
		return f, err
	}
	f.ready = time.Since(begun)
	if err := pause(ctx, settle); err != nil {
		return f, err
	}
	before, err := p.CPU()
	if err != nil {
		return f, err
	}
	if err := f.scrape(ctx, addr); err != nil {
		return f, err
	}
	collected := f.collected
	begun = time.Now()
	if err := pause(ctx, a.rest); err != nil {
		return f, err
	}
	after, err := p.CPU()
	if err != nil {
		return f, err
	}
	rest := time.Since(begun)
	f.cores = (after - before).Seconds() / rest.Seconds()
	if f.resident, err = p.Resident(); err != nil {
		return f, err
	}
	if f.sockets, err = p.Sockets(); err != nil {
		return f, err
	}
	if err := f.scrape(ctx, addr); err != nil {
		return f, err
	}
	f.collections = float64(f.collected-collected) / rest.Minutes()
	return f, p.Stop(ctx)
}

// write creates a directory of flow files.
func (a *bench) write(ctx context.Context, source string, n int) (string, error) {
	dir := filepath.Join(a.dir, fmt.Sprintf("%s-%d", source, n))
	if err := os.Mkdir(dir, 0o700); err != nil {
		return "", fmt.Errorf("create a directory of flow files: %w", err)
	}
	port, err := process.FreeAddr(ctx)
	if err != nil {
		return "", err
	}
	for i := range n {
		file := filepath.Join(dir, fmt.Sprintf("flow-%d.yaml", i))
		if err := os.WriteFile(file, []byte(flowFile(source, i, a.brokers, port)), 0o600); err != nil {
			return "", fmt.Errorf("write a flow file: %w", err)
		}
	}
	return dir, nil
}

func flowFile(source string, n int, brokers []string, listen string) string {
	return strings.NewReplacer("{n}", strconv.Itoa(n), "{brokers}", strings.Join(brokers, ","), "{listen}", listen).Replace(templates[source])
}

// ready waits until all flows are ready.
func (a *bench) ready(ctx context.Context, p *process.Process, addr string) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		if _, status, err := get(ctx, addr, "/readyz"); err == nil && status == http.StatusOK {
			return nil
		}
		select {
		case <-p.Ended():
			return fmt.Errorf("the process ended: %w", p.Failure())
		default:
		}
		if err := pause(ctx, 50*time.Millisecond); err != nil {
			body, _, _ := get(context.WithoutCancel(ctx), addr, "/readyz?verbose")
			return fmt.Errorf("not ready after %v: %.1000s", patience, body)
		}
	}
}

var (
	goroutines  = regexp.MustCompile(`(?m)^go_goroutines (\d+)`)
	collections = regexp.MustCompile(`(?m)^go_gc_duration_seconds_count (\d+)`)
)

// scrape reads the metrics.
func (f *figures) scrape(ctx context.Context, addr string) error {
	body, _, err := get(ctx, addr, "/metrics")
	if err != nil {
		return err
	}
	f.metricsBytes, f.metricsLines = len(body), strings.Count(string(body), "\n")
	g, c := goroutines.FindSubmatch(body), collections.FindSubmatch(body)
	if g == nil || c == nil {
		return errors.New("the metrics lack go_goroutines or go_gc_duration_seconds_count")
	}
	f.goroutines, err = strconv.Atoi(string(g[1]))
	if err == nil {
		f.collected, err = strconv.Atoi(string(c[1]))
	}
	return err
}

var client = &http.Client{Timeout: 30 * time.Second}

func get(ctx context.Context, addr, path string) ([]byte, int, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+path, nil)
	if err != nil {
		return nil, 0, fmt.Errorf("get %s: %w", path, err)
	}
	res, err := client.Do(req)
	if err != nil {
		return nil, 0, fmt.Errorf("get %s: %w", path, err)
	}
	defer func() { _ = res.Body.Close() }() // only read
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return nil, 0, fmt.Errorf("read %s: %w", path, err)
	}
	return body, res.StatusCode, nil
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
