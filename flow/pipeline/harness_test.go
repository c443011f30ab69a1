package pipeline

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"

	"github.com/lsm/fiso/common/reload"
	"github.com/lsm/fiso/connectors/kafka/kafkatest"
	"github.com/lsm/fiso/flow/metrics"
	"github.com/lsm/fiso/flow/supervisor"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience limits the wait for a condition. It is long, because only a failing test uses all of
// it.
const patience = 30 * time.Second

// service is the application that a flow delivers to.
type service struct {
	*httptest.Server
	mu     sync.Mutex
	bodies []string
	heads  []http.Header
	answer func(body string) int // nil: 200
}

func newService(t *testing.T) *service {
	t.Helper()
	s := &service{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		s.mu.Lock()
		answer := s.answer
		s.mu.Unlock()
		status := http.StatusOK
		if answer != nil {
			status = answer(string(body))
		}
		if status == http.StatusOK {
			s.mu.Lock()
			s.bodies = append(s.bodies, string(body))
			s.heads = append(s.heads, r.Header.Clone())
			s.mu.Unlock()
		}
		w.WriteHeader(status)
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *service) answers(f func(body string) int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = f
}

// got counts how often each text was part of a delivered body.
func (s *service) got(text string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, b := range s.bodies {
		if strings.Contains(b, text) {
			n++
		}
	}
	return n
}

func (s *service) all() int { return s.got("") }

// log is a buffer for concurrent writers.
type log struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// instance is fiso-flow without its command line: an embedded broker, a service, a directory of
// flow files, and a supervisor.
type instance struct {
	t       *testing.T
	kafka   *kafkatest.Cluster
	service *service
	dir     string
	reg     *prometheus.Registry
	loader  *Loader
	sup     *supervisor.Supervisor
	log     *log
	stop    func()
}

// prepare creates everything except the supervisor.
func prepare(t *testing.T) *instance {
	t.Helper()
	return &instance{
		t: t, service: newService(t), dir: t.TempDir(), log: &log{}, reg: prometheus.NewRegistry(),
		kafka: kafkatest.Embedded(t, kafkatest.Options{Topics: map[string]int32{"orders": 1, "other": 1}}),
	}
}

// start runs the supervisor on the flow files.
func (in *instance) start(o Options) {
	in.t.Helper()
	o.Logger = slog.New(slog.NewTextHandler(in.log, nil))
	m, err := metrics.New(in.reg)
	if err != nil {
		in.t.Fatal(err)
	}
	o.Metrics = m
	in.loader = NewLoader(o)
	watcher, err := reload.NewWatcher(o.Logger)
	if err != nil {
		in.t.Fatal(err)
	}
	in.sup, err = supervisor.New(supervisor.Options{
		Paths: []string{in.dir}, Load: in.loader.Load, Watcher: watcher, Recorder: m, Logger: o.Logger,
		Debounce: 20 * time.Millisecond, Poll: time.Second,
	})
	if err != nil {
		in.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- in.sup.Run(ctx) }()
	in.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			in.t.Errorf("supervisor: %v", err)
		}
		in.loader.Close()
	})
	defer in.until("the start", func() bool { return len(in.sup.Report().Flows) > 0 })
	in.t.Cleanup(func() {
		in.stop()
		if in.t.Failed() {
			in.t.Logf("log:\n%s", in.log)
		}
	})
}

// flow returns a flow from Kafka to the service, followed by more.
func (in *instance) flow(topic, more string) string {
	return fmt.Sprintf(`name: orders
source:
  type: kafka
  config: {brokers: %q, topic: %s, consumerGroup: g, startOffset: earliest, commitInterval: 50ms}
sink:
  type: http
  config: {url: %q}
%s
`, strings.Join(in.kafka.Brokers(), ","), topic, in.service.URL, more)
}

// put replaces a flow file atomically, as an editor does.
func (in *instance) put(name, text string) {
	in.t.Helper()
	tmp := filepath.Join(in.dir, "."+name)
	if err := os.WriteFile(tmp, []byte(text), 0o600); err != nil {
		in.t.Fatal(err)
	}
	if err := os.Rename(tmp, filepath.Join(in.dir, name)); err != nil {
		in.t.Fatal(err)
	}
}

// produce writes a record to partition 0.
func (in *instance) produce(topic, key, value string, headers ...kgo.RecordHeader) {
	in.t.Helper()
	r := &kgo.Record{Topic: topic, Value: []byte(value), Headers: headers}
	if key != "" {
		r.Key = []byte(key)
	}
	if err := in.kafka.Produce(in.t.Context(), r); err != nil {
		in.t.Fatal(err)
	}
}

// until waits for a condition.
func (in *instance) until(what string, holds func() bool) {
	in.t.Helper()
	limit := time.After(patience)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-limit:
			in.t.Fatalf("waited in vain for: %s\nreport: %+v", what, in.sup.Report())
		}
	}
}

// reloaded waits until n reloads of the flow have succeeded.
func (in *instance) reloaded(n float64) {
	in.t.Helper()
	in.until(fmt.Sprintf("reload %v", n), func() bool {
		return in.metric("fiso_flow_reloads_total", map[string]string{"flow": "orders", "status": "success"}) == n
	})
}

func (in *instance) committed() int64 {
	in.t.Helper()
	at, err := in.kafka.Committed(in.t.Context(), "g", "orders")
	if err != nil {
		in.t.Fatal(err)
	}
	return at[0]
}

// metric returns the value of a metric, or the count of a histogram, or -1 if there is none.
func (in *instance) metric(name string, labels map[string]string) float64 {
	in.t.Helper()
	families, err := in.reg.Gather()
	if err != nil {
		in.t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			got := map[string]string{}
			for _, l := range m.GetLabel() {
				got[l.GetName()] = l.GetValue()
			}
			if maps.Equal(got, labels) {
				return m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
			}
		}
	}
	return -1
}
