package grpc

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"net"
	"sync"
	"time"

	"google.golang.org/grpc"

	"github.com/lsm/fiso/common/cloudevent"
	"github.com/lsm/fiso/common/config"
	"github.com/lsm/fiso/common/connector"
)

const (
	// defaultWriteTimeout is how long a receiver may take no data from a stream.
	defaultWriteTimeout = 30 * time.Second
	// defaultCloseWait bounds how long Close waits for receivers to end their streams.
	defaultCloseWait = time.Second
)

// Sink sends events to a server of fiso.v1.Events, over a few streams. It is safe for
// concurrent use. Events with the same key go out in the order of the calls of Send; a
// caller that sends the events of a key one after the other keeps their order also when
// streams break.
type Sink struct {
	name       string // "publish to orders:9000", for errors
	flow       string
	target     target
	conn       *grpc.ClientConn
	tls        *rotatingTLS // nil: plaintext
	dial       dialer
	credential sinkCredential
	key        func(ctx context.Context, e *cloudevent.Event) ([]byte, error) // nil: Event.Key

	timeout        time.Duration
	connectTimeout time.Duration
	writeTimeout   time.Duration
	closeWait      time.Duration
	maxStreamAge   time.Duration
	maxEventBytes  int64
	callOptions    []grpc.CallOption

	seed  maphash.Seed
	slots []*slot
	calls sync.Pool // of *call

	ctx    context.Context // of all streams
	cancel context.CancelCauseFunc
	wait   sync.WaitGroup // the goroutines of all streams

	mu      sync.Mutex
	running int // calls of Send under way
	closed  bool
	idle    chan struct{} // closed when the sink is closed and no call is under way
}

var (
	_ connector.Sink    = (*Sink)(nil)
	_ connector.Checker = (*Sink)(nil)
)

// dialer opens a connection as a net.Dialer does.
type dialer func(ctx context.Context, network, address string) (net.Conn, error)

// SinkOptions are options for Go programs. The zero value is right for most.
type SinkOptions struct {
	// Dial opens connections instead of a net.Dialer. network is tcp or unix, and
	// address an address of the target. The sink adds TLS.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Key returns the key that orders an event; nil is none, and an empty key is a key.
	// Send returns its error: mark it with connector.AsUnsendable if a retry cannot
	// help. If Key is nil, the key is Event.Key.
	Key func(ctx context.Context, e *cloudevent.Event) ([]byte, error)
}

// NewSink builds a sink without connecting. It fills in defaults, and fails if the
// configuration is not valid or a TLS file cannot be read.
func NewSink(cfg SinkConfig, opts SinkOptions) (*Sink, error) {
	config.Defaults(&cfg)
	if cfg.Target == "" {
		return nil, errors.New("grpc sink: target is required")
	}
	if err := errors.Join(cfg.Validate(), cfg.TLS.Validate()); err != nil {
		return nil, fmt.Errorf("grpc sink: %w", err)
	}
	to, err := parseTarget(cfg.Target)
	if err != nil {
		return nil, fmt.Errorf("grpc sink: target: %w", err)
	}
	s := &Sink{
		name: "publish to " + to.address, flow: cfg.Flow, target: to, dial: opts.Dial, key: opts.Key,
		credential: sinkCredential{kind: cfg.Auth.Type, token: cfg.Auth.Token},
		timeout:    cfg.Timeout, connectTimeout: cfg.ConnectTimeout, writeTimeout: defaultWriteTimeout, closeWait: defaultCloseWait, maxStreamAge: cfg.MaxStreamAge,
		maxEventBytes: int64(cfg.MaxEventBytes), callOptions: callOptions(&cfg),
		seed: maphash.MakeSeed(), idle: make(chan struct{}),
	}
	s.calls.New = func() any { return newCall() }
	if s.dial == nil {
		s.dial = (&net.Dialer{KeepAlive: 15 * time.Second}).DialContext
	}
	if !cfg.TLS.IsZero() {
		next, err := cfg.TLS.Client()
		if err != nil {
			return nil, fmt.Errorf("grpc sink: tls: %w", err)
		}
		s.tls = &rotatingTLS{next: next}
	}
	if s.conn, err = newConn(s, &cfg); err != nil {
		return nil, fmt.Errorf("grpc sink: %w", err)
	}
	s.ctx, s.cancel = context.WithCancelCause(context.Background())
	for range cfg.Streams {
		s.slots = append(s.slots, newSlot(s))
	}
	return s, nil
}

// Send sends one event and waits for its result. nil: the receiver has settled the event.
// The README says which errors have which class. An event whose Send ended without a
// result may arrive nevertheless; to send it again is safe, because its id is the same.
func (s *Sink) Send(ctx context.Context, e *cloudevent.Event) error {
	if err := s.begin(); err != nil {
		return err
	}
	defer s.end()
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%s: %w", s.name, err)
	}
	key := e.Key
	if s.key != nil {
		var err error
		if key, err = s.key(ctx, e); err != nil {
			return fmt.Errorf("%s: key: %w", s.name, err)
		}
	}
	f, err := newFrame(e, key)
	if err != nil {
		return fmt.Errorf("%s: %w", s.name, connector.AsUnsendable(err))
	}
	if size := int64(f.size(1)); size > s.maxEventBytes {
		f.drop()
		return s.tooLarge(size, s.maxEventBytes, "maxEventBytes is")
	}
	c := s.calls.Get().(*call)
	c.frame, c.keyed, c.hash = f, key != nil, 0
	if c.keyed {
		c.hash = maphash.Bytes(s.seed, key)
	}
	return s.await(ctx, c)
}

// await submits a call and waits until it ends, or withdraws it.
func (s *Sink) await(ctx context.Context, c *call) error {
	l := s.slotOf(c)
	c.timer.Reset(s.timeout)
	l.submit(c)
	select {
	case err := <-c.done:
		s.recycle(c)
		return err
	case <-ctx.Done():
	case <-c.timer.C:
	}
	sent, silent, ok := l.withdraw(c)
	if !ok { // it ended in this moment
		err := <-c.done
		s.recycle(c)
		return err
	}
	if !sent {
		s.recycle(c)
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%s: %w", s.name, err)
	}
	if silent != nil {
		silent.cancel(errSilent)
	}
	if !sent {
		err := fmt.Errorf("%s: not sent within %v (timeout), because the receiver gives no credit for more events; it is busy or waits for its own destination", s.name, s.timeout)
		return connector.AsUnavailable(err, 0)
	}
	err := fmt.Errorf("%s: sent, but no result within %v (timeout); the receiver may still be working on it", s.name, s.timeout)
	return connector.AsUnavailable(err, 0)
}

// recycle keeps a call for reuse: one that has ended, or was withdrawn before it was sent.
func (s *Sink) recycle(c *call) {
	c.timer.Stop()
	c.frame.drop()
	c.behind = nil
	s.calls.Put(c)
}

// slotOf returns the slot of a key. A call without a key goes where there is most room.
func (s *Sink) slotOf(c *call) *slot {
	if c.keyed {
		return s.slots[c.hash%uint64(len(s.slots))]
	}
	best, room := s.slots[0], s.slots[0].room()
	for _, l := range s.slots[1:] {
		if r := l.room(); r > room {
			best, room = l, r
		}
	}
	return best
}

// begin counts a call in. It fails if the sink is closed.
func (s *Sink) begin() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return s.closedError()
	}
	s.running++
	return nil
}

func (s *Sink) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running--
	if s.closed && s.running == 0 {
		close(s.idle)
	}
}

func (s *Sink) closedError() error { return fmt.Errorf("%s: %w", s.name, connector.ErrClosed) }

// Close waits for calls under way until ctx ends, then ends the streams and closes all
// connections. It may be called several times, also concurrently.
func (s *Sink) Close(ctx context.Context) error {
	s.mu.Lock()
	if !s.closed {
		s.closed = true
		if s.running == 0 {
			close(s.idle)
		}
	}
	s.mu.Unlock()
	var err error
	select {
	case <-s.idle:
	case <-ctx.Done():
		err = fmt.Errorf("%s: closed with calls under way: %w", s.name, ctx.Err())
	}
	for _, l := range s.slots {
		l.close()
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.wait.Wait()
	}()
	if err == nil {
		// The receiver sees a stream that ended well, if it is quick.
		timeout := time.NewTimer(s.closeWait)
		defer timeout.Stop()
		select {
		case <-ended:
		case <-ctx.Done():
		case <-timeout.C:
		}
	}
	s.cancel(connector.ErrClosed)
	<-ended // every goroutine has a context that has ended
	_ = s.conn.Close()
	return err
}
