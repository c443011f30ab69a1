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

	"github.com/lsm/fiso/e2e/faults/internal/ledger"
	"github.com/lsm/fiso/e2e/faults/internal/stage"
)

// answer answers an event in place of the sink; false: the sink takes it.
type answer func(w http.ResponseWriter, r *http.Request, a ledger.Arrival) bool

// sink is the application that events are delivered to. It uses net/http, which
// notices while it answers that the caller has gone, so that calls in flight are
// counted as the caller sees them.
type sink struct {
	take         func(a ledger.Arrival, key string) // an event, and its Idempotency-Key
	address      string
	server       *http.Server
	listener     net.Listener
	certificates certificates
	arrivals     arrivals

	mu          sync.Mutex
	away        answer
	certificate *tls.Certificate // nil: no TLS
	calls       int              // in flight
	conns       map[net.Conn]struct{}
	mostCalls   int // of calls at once since watch
	mostConns   int
}

// ports counts the ports that were tried. Each is tried once, and all are below
// those that the system gives to outgoing connections, so that nobody takes the
// port of a sink that is away.
var ports atomic.Int64

func newSink(ctx context.Context, l *ledger.Ledger) (*sink, error) {
	s := &sink{take: func(a ledger.Arrival, key string) { l.Delivered(a, key, 0) }, conns: map[net.Conn]struct{}{}}
	for range 100 {
		s.address = fmt.Sprintf("127.0.0.1:%d", 20000+(os.Getpid()*100+int(ports.Add(1)))%10000)
		if s.start(ctx) == nil {
			return s, nil
		}
	}
	return nil, errors.New("start the sink: no free port found between 20000 and 30000")
}

// start listens at the sink's address.
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

// stop closes the listener and every connection. Calls that are being taken are
// answered before; those that hang are cut off.
func (s *sink) stop() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = s.listener.Close() // the server may not know it yet
	_ = s.server.Shutdown(ctx)
	_ = s.server.Close()
}

// restart closes every connection.
func (s *sink) restart(ctx context.Context) error {
	s.stop()
	return s.start(ctx)
}

func (s *sink) secure() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.certificate != nil
}

// present sets the certificate for further connections.
func (s *sink) present(c *tls.Certificate) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.certificate = c
}

// answerBy lets a answer all events; nil: they are taken.
func (s *sink) answerBy(a answer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.away = a
}

// watch begins to count calls and connections at once.
func (s *sink) watch() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mostCalls, s.mostConns = s.calls, len(s.conns)
}

// watched is the most calls and connections there were at once since watch.
func (s *sink) watched() (calls, conns int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mostCalls, s.mostConns
}

func (s *sink) connection(c net.Conn, state http.ConnState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch state {
	case http.StateNew:
		s.conns[c] = struct{}{}
		s.mostConns = max(s.mostConns, len(s.conns))
	case http.StateClosed, http.StateHijacked:
		delete(s.conns, c)
	}
}

// ServeHTTP takes an event, unless the sink is away.
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
	away := s.begin()
	defer s.end()
	if away != nil && away(w, r, a) {
		return
	}
	s.take(a, r.Header.Get("Idempotency-Key"))
	s.arrivals.arrived(a.Data.N, time.Now())
}

func (s *sink) begin() answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls++
	s.mostCalls = max(s.mostCalls, s.calls)
	return s.away
}

func (s *sink) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls--
}

// status answers every event with a status, and seconds as its Retry-After; "":
// without one.
func status(code int, seconds string) answer {
	return func(w http.ResponseWriter, _ *http.Request, _ ledger.Arrival) bool {
		if seconds != "" {
			w.Header().Set("Retry-After", seconds)
		}
		w.WriteHeader(code)
		return true
	}
}

// hang answers nothing for as long as the caller waits.
func hang(_ http.ResponseWriter, r *http.Request, _ ledger.Arrival) bool {
	<-r.Context().Done()
	return true
}

// breaks closes the connection in place of an answer.
func breaks(http.ResponseWriter, *http.Request, ledger.Arrival) bool { panic(http.ErrAbortHandler) }

// file is a flow file with these sinks (YAML of one or several keys), as shipped
// but for maxInterval.
func file(s *stage.Stage, sinks string) string {
	return fmt.Sprintf(`name: %s
source:
  type: kafka
  config: {brokers: [%q], topic: %s, consumerGroup: %s, startOffset: earliest}
%s
errorHandling: {deadLetterTopic: %s, maxInterval: %v}
`, s.Flow.Name, s.Kafka.Brokers()[0], s.Topic, s.Flow.Group, sinks, s.Letters, maxInterval)
}
