package outage

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lsm/fiso/e2e/faults/internal/harness"
	"github.com/lsm/fiso/e2e/faults/internal/ledger"
)

// answer answers an event instead of the sink; false: the sink accepts it.
type answer func(w http.ResponseWriter, r *http.Request, a ledger.Arrival) bool

// sink is the application that events are delivered to. It uses net/http, which notices during a
// call that the caller has gone, so that the number of calls in flight is the one of the caller.
type sink struct {
	take         func(a ledger.Arrival, key string) // the event and its Idempotency-Key
	address      string
	server       *http.Server
	listener     net.Listener
	certificates certificates
	arrivals     arrivals

	mu          sync.Mutex
	outage      answer
	certificate *tls.Certificate // nil: no TLS
	calls       concurrency
	conns       concurrency
}

// ports counts the ports that were tried. Each is tried once. All are below the range for outgoing
// connections, so that no other program takes the port of a sink that is down.
var ports atomic.Int64

func newSink(ctx context.Context, l *ledger.Ledger) (*sink, error) {
	s := &sink{take: func(a ledger.Arrival, key string) { l.Delivered(a, key, 0) }}
	for range 100 {
		s.address = fmt.Sprintf("127.0.0.1:%d", 20000+(os.Getpid()*100+int(ports.Add(1)))%10000)
		if s.start(ctx) == nil {
			return s, nil
		}
	}
	return nil, errors.New("start the sink: no free port found between 20000 and 30000")
}

// start listens on the address of the sink.
func (s *sink) start(ctx context.Context) error {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", s.address)
	if err != nil {
		return fmt.Errorf("start the sink: %w", err)
	}
	s.listener = listener
	s.server = &http.Server{
		Handler: s, ConnState: s.connection, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError), ReadHeaderTimeout: time.Minute,
		TLSConfig: &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			s.mu.Lock()
			defer s.mu.Unlock()
			return s.certificate, nil
		}},
	}
	if s.secure() {
		go s.server.ServeTLS(listener, "", "") //nolint:errcheck // until it is closed
	} else {
		go s.server.Serve(listener) //nolint:errcheck // until it is closed
	}
	return nil
}

// stop closes the listener and every connection. It lets active calls finish for a second, and
// then cuts off those that hang.
func (s *sink) stop() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = s.listener.Close() // the server may not have it yet
	_ = s.server.Shutdown(ctx)
	_ = s.server.Close()
}

// restart closes every connection and listens again.
func (s *sink) restart(ctx context.Context) error {
	s.stop()
	return s.start(ctx)
}

func (s *sink) secure() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.certificate != nil
}

// present sets the certificate for new connections.
func (s *sink) present(c *tls.Certificate) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.certificate = c
}

// answerBy makes a answer all events; nil: the sink accepts them.
func (s *sink) answerBy(a answer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.outage = a
}

// watch restarts the counts of concurrent calls and connections.
func (s *sink) watch() {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	s.calls.watch(now)
	s.conns.watch(now)
}

// watched returns the most concurrent calls and connections since watch.
func (s *sink) watched() (calls, conns int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	s.calls.add(0, now)
	s.conns.add(0, now)
	return s.calls.most, s.conns.most
}

func (s *sink) connection(_ net.Conn, state http.ConnState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch state {
	case http.StateNew:
		s.conns.add(1, time.Now())
	case http.StateClosed, http.StateHijacked:
		s.conns.add(-1, time.Now())
	}
}

// ServeHTTP accepts an event, unless there is an outage.
func (s *sink) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	a, err := ledger.ParseArrival(body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	outage := s.begin()
	defer s.end()
	if outage != nil && outage(w, r, a) {
		return
	}
	s.take(a, r.Header.Get("Idempotency-Key"))
	s.arrivals.arrived(a.Data.N, time.Now())
}

func (s *sink) begin() answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls.add(1, time.Now())
	return s.outage
}

func (s *sink) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls.add(-1, time.Now())
}

// status answers every event with a status code. seconds is the value of Retry-After; "": no such
// header.
func status(code int, seconds string) answer {
	return func(w http.ResponseWriter, _ *http.Request, _ ledger.Arrival) bool {
		if seconds != "" {
			w.Header().Set("Retry-After", seconds)
		}
		w.WriteHeader(code)
		return true
	}
}

// hang does not answer while the caller waits.
func hang(_ http.ResponseWriter, r *http.Request, _ ledger.Arrival) bool {
	<-r.Context().Done()
	return true
}

// breaks closes the connection instead of answering.
func breaks(http.ResponseWriter, *http.Request, ledger.Arrival) bool { panic(http.ErrAbortHandler) }

// file returns a flow file with these sinks (YAML of one or several keys) and defaults for all but
// maxInterval.
func file(s *harness.Env, sinks string) string {
	return fmt.Sprintf(`name: %s
source:
  type: kafka
  config: {brokers: [%q], topic: %s, consumerGroup: %s, startOffset: earliest}
%s
errorHandling: {deadLetterTopic: %s, maxInterval: %v}
`, s.Flow.Name, s.Kafka.Brokers()[0], s.Topic, s.Flow.Group, sinks, s.DeadLetterTopic, maxInterval)
}
