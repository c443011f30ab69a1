package async

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/goleak"

	"github.com/lsm/fiso/common/config"
	"github.com/lsm/fiso/common/http1"
	"github.com/lsm/fiso/connectors/kafka"
	"github.com/lsm/fiso/connectors/kafka/kafkatest"

	"github.com/lsm/fiso/link/internal/discovery"
	"github.com/lsm/fiso/link/internal/proxy"
	"github.com/lsm/fiso/link/internal/target"
	"github.com/lsm/fiso/link/spec"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is a target, a fake Kafka, and a proxy and a worker between them, in one
// process.
type world struct {
	t       testing.TB
	kafka   *kafkatest.Cluster
	brokers kafka.ClientConfig
	to      *target.Target
	proxy   *proxy.Proxy
	worker  *Worker
	up      *httptest.Server // the target
	stop    func()           // ends the worker

	mu        sync.Mutex
	calls     []seen         // calls that reached the target
	buried    map[string]int // dead letters by code
	unwritten map[string]int
	gaps      int
	handle    func(n int, w http.ResponseWriter, r *http.Request) // nil: 200 "done"
}

// seen is a call as the target saw it.
type seen struct {
	method, uri, body, key string
	header                 http.Header
}

// newWorld makes a world whose target has further settings. work starts the worker.
func newWorld(t testing.TB, settings string, topics map[string]int32) *world {
	t.Helper()
	return newWorldOn(t, kafkatest.Embedded(t, kafkatest.Options{Topics: topics}), settings)
}

// newWorldOn is newWorld with a given Kafka.
func newWorldOn(t testing.TB, c *kafkatest.Cluster, settings string) *world {
	t.Helper()
	w := &world{t: t, kafka: c, buried: map[string]int{}, unwritten: map[string]int{}, stop: func() {}}
	w.up = httptest.NewServer(http.HandlerFunc(w.serve))
	t.Cleanup(w.up.Close)
	w.build(w.up.Listener.Addr().String(), settings)
	return w
}

func (w *world) build(address, settings string) {
	w.t.Helper()
	text := "asyncBrokers: [" + strings.Join(w.kafka.Brokers(), ",") + "]\ntargets:\n  - name: crm\n"
	if !strings.Contains(settings, "protocol: kafka") {
		text += "    protocol: http\n    host: '" + address + "'\n"
	}
	if !strings.Contains(settings, "retry:") {
		text += "    retry: {initialInterval: 1ms, maxInterval: 5ms}\n"
	}
	for l := range strings.Lines(settings) {
		text += "    " + strings.TrimRight(l, "\n") + "\n"
	}
	c, err := spec.Parse("config.yaml", []byte(text), config.Env(func(string) (string, bool) { return "", false }))
	if err != nil {
		w.t.Fatal(err)
	}
	s := &c.Targets[0]
	w.brokers = c.Brokers()
	store, err := NewStore(w.brokers, 20*time.Second, false, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = store.Close(ended()) })
	w.to, err = target.New(s, target.Parts{Endpoints: discovery.New(discovery.Static{address}), Transport: http1.NewTransport(http1.TransportConfig{}), Records: store})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(w.to.Close)
	w.proxy = &proxy.Proxy{Target: func(string) (*target.Target, func()) { return w.to, func() {} }, Defer: Accept, Publish: Publish}
}

// ended is a context that has ended, so nothing waits on it.
func ended() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

// work starts a worker; change adjusts its configuration.
func (w *world) work(change ...func(*Config)) {
	w.t.Helper()
	c := Config{
		Target: w.to, Brokers: w.brokers, Deliver: w.proxy.Deliver, Drain: 2 * time.Second, Logger: slog.New(slog.DiscardHandler),
		OnDeadLetter: func(code string) { w.mu.Lock(); defer w.mu.Unlock(); w.buried[code]++ },
		OnUnwritten:  func(what string) { w.mu.Lock(); defer w.mu.Unlock(); w.unwritten[what]++ },
		OnGap:        func() { w.mu.Lock(); defer w.mu.Unlock(); w.gaps++ },
	}
	for _, fn := range change {
		fn(&c)
	}
	worker, err := NewWorker(c)
	if err != nil {
		w.t.Fatal(err)
	}
	w.worker = worker
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- worker.Run(ctx) }()
	w.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ran; err != nil {
			w.t.Error(err)
		}
		_ = worker.Close(ended())
	})
	w.t.Cleanup(w.stop)
}

func (w *world) serve(rw http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		w.t.Error(err)
	}
	w.mu.Lock()
	w.calls = append(w.calls, seen{r.Method, r.RequestURI, string(body), r.Header.Get("Idempotency-Key"), r.Header})
	n, handle := len(w.calls), w.handle
	w.mu.Unlock()
	if handle == nil {
		_, _ = rw.Write([]byte("done"))
		return
	}
	handle(n, rw, r)
}

func (w *world) answers(handle func(n int, rw http.ResponseWriter, r *http.Request)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.handle = handle
}

func (w *world) seen() []seen {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.calls)
}

func (w *world) count(of map[string]int, what string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return of[what]
}

// send makes one call through the proxy, and returns its answer.
func (w *world) send(method, path, body string, fields ...string) *responseWriter {
	w.t.Helper()
	a := &responseWriter{keep: 1 << 20, most: 1 << 20}
	w.proxy.ServeCall(w.t.Context(), a, newRequest(method, path, body, fields...))
	return a
}

func newRequest(method, path, body string, fields ...string) *http1.Request {
	return &http1.Request{
		Method: method, Target: path, Host: "localhost", Header: header(fields...), Length: int64(len(body)),
		Body: strings.NewReader(body), Interrupt: func() {}, Trailer: func() http1.Header { return nil },
	}
}

// accept sends a call to be made later, and returns its id.
func (w *world) accept(method, path, body string, fields ...string) string {
	w.t.Helper()
	a := w.send(method, path, body, append(fields, "Prefer", "respond-async")...)
	if a.status != 202 || a.header.Get("fiso-id") == "" || a.header.Get("Preference-Applied") != "respond-async" {
		w.t.Fatalf("%d %v %s", a.status, a.header, a.body)
	}
	if want := `{"id":` + strconv.Quote(a.header.Get("fiso-id")) + "}\n"; string(a.body) != want {
		w.t.Errorf("%s, want %s", a.body, want)
	}
	return a.header.Get("fiso-id")
}

func header(fields ...string) (h http1.Header) {
	for i := 0; i+1 < len(fields); i += 2 {
		h.Add(fields[i], fields[i+1])
	}
	return h
}

// deny makes the brokers refuse every record for the topics that which selects.
func (w *world) deny(which func(topic string) bool) {
	w.kafka.Fake.ControlKey(int16(kmsg.Produce), func(r kmsg.Request) (kmsg.Response, error, bool) {
		w.kafka.Fake.KeepControl()
		req := r.(*kmsg.ProduceRequest)
		resp := req.ResponseKind().(*kmsg.ProduceResponse)
		for _, topic := range req.Topics {
			name := topic.Topic
			if name == "" {
				name = w.kafka.Fake.TopicIDInfo(topic.TopicID).Topic
			}
			if !which(name) {
				return nil, nil, false
			}
			out := kmsg.NewProduceResponseTopic()
			out.Topic, out.TopicID = topic.Topic, topic.TopicID
			for _, p := range topic.Partitions {
				part := kmsg.NewProduceResponseTopicPartition()
				part.Partition, part.ErrorCode = p.Partition, kerr.TopicAuthorizationFailed.Code
				out.Partitions = append(out.Partitions, part)
			}
			resp.Topics = append(resp.Topics, out)
		}
		return resp, nil, true
	})
}

// hangUp makes the brokers close the connection on every record for the topics that
// which selects, so that its outcome stays unknown.
func (w *world) hangUp(which func(topic string) bool) {
	w.kafka.Fake.ControlKey(int16(kmsg.Produce), func(r kmsg.Request) (kmsg.Response, error, bool) {
		w.kafka.Fake.KeepControl()
		for _, topic := range r.(*kmsg.ProduceRequest).Topics {
			name := topic.Topic
			if name == "" {
				name = w.kafka.Fake.TopicIDInfo(topic.TopicID).Topic
			}
			if which(name) {
				return nil, errBroken, true
			}
		}
		return nil, nil, false
	})
}

// admin offers topic operations that kafkatest.Admin lacks.
func (w *world) admin() *kadm.Client {
	w.t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(w.kafka.Brokers()...))
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(cl.Close)
	return kadm.NewClient(cl)
}

// deleteBefore deletes the records of the topic's only partition before an offset.
func (w *world) deleteBefore(topic string, at int64) {
	w.t.Helper()
	offsets := kadm.Offsets{}
	offsets.AddOffset(topic, 0, at, -1)
	deleted, err := w.admin().DeleteRecords(w.t.Context(), offsets)
	if err == nil {
		err = deleted.Error()
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) records(topic string) []*kgo.Record {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 20*time.Second)
	defer cancel()
	rs, err := w.kafka.Records(ctx, topic)
	if err != nil {
		w.t.Fatal(err)
	}
	return rs
}

// settled waits until the group has committed that many records of the topic.
func (w *world) settled(n int64) {
	w.t.Helper()
	eventually(w.t, strconv.FormatInt(n, 10)+" settled records", func() bool {
		committed, err := w.kafka.Committed(w.t.Context(), "fiso-link-crm", "calls")
		if err != nil {
			return false
		}
		var sum int64
		for _, at := range committed {
			sum += max(at, 0)
		}
		return sum == n
	})
}

func headerOf(r *kgo.Record, name string) string {
	for _, h := range r.Headers {
		if h.Key == name {
			return string(h.Value)
		}
	}
	return ""
}

func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !holds(); {
		if time.Now().After(end) {
			t.Fatal("waited in vain for " + what)
		}
		select {
		case <-time.After(5 * time.Millisecond):
		case <-t.Context().Done():
		}
	}
}

var errBroken = errors.New("broken")
