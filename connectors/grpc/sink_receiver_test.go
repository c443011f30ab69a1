package grpc

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/lsm/fiso/common/cloudevent"
	"github.com/lsm/fiso/common/connector"
	pb "github.com/lsm/fiso/connectors/grpc/eventpb"
)

// receiver is a server of fiso.v1.Events on loopback whose answers a test chooses.
type receiver struct {
	pb.UnimplementedEventsServer
	address string
	server  *grpc.Server
	ln      *trackingListener
	wait    sync.WaitGroup

	// open, if set, runs before the Settings; its error ends the stream.
	open func(*session) error
	// take, if set, runs for each event in place of an answer of OK, in the stream's
	// order.
	take func(*session, *pb.StreamEvent)
	// mute: no Settings are sent.
	mute bool

	mu       sync.Mutex
	settings *pb.Settings
	sessions []*session
}

// session is one stream of a receiver.
type session struct {
	r      *receiver
	stream pb.Events_PublishStreamServer
	meta   metadata.MD
	number int // from 0
	ended  chan struct{}
	end    func(error)

	sending  sync.Mutex
	mu       sync.Mutex
	events   []*pb.StreamEvent
	answered int
	closed   bool // the sink closed its half
}

var generous = &pb.Settings{MaxInFlight: 1000, MaxInFlightBytes: 1 << 24, MaxEventBytes: 1 << 20}

func newReceiver(t testing.TB, change func(*receiver), options ...grpc.ServerOption) *receiver {
	t.Helper()
	r := &receiver{settings: generous}
	if change != nil {
		change(r)
	}
	r.listen(t, "127.0.0.1:0", options...)
	t.Cleanup(func() {
		r.server.Stop()
		r.wait.Wait()
	})
	return r
}

func (r *receiver) listen(t testing.TB, address string, options ...grpc.ServerOption) {
	t.Helper()
	ln, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	r.address, r.ln = ln.Addr().String(), &trackingListener{Listener: ln}
	r.server = grpc.NewServer(append(options, grpc.StaticStreamWindowSize(1<<16), grpc.WaitForHandlers(true))...)
	pb.RegisterEventsServer(r.server, r)
	server := r.server
	r.wait.Go(func() { _ = server.Serve(r.ln) }) // returns when it is stopped
}

func (r *receiver) PublishStream(stream pb.Events_PublishStreamServer) error {
	meta, _ := metadata.FromIncomingContext(stream.Context())
	result := make(chan error, 1)
	s := &session{r: r, stream: stream, meta: meta, ended: make(chan struct{})}
	s.end = func(err error) {
		select {
		case result <- err:
		default: // it ends already
		}
	}
	r.mu.Lock()
	s.number = len(r.sessions)
	r.sessions = append(r.sessions, s)
	settings := r.settings
	r.mu.Unlock()
	defer close(s.ended)
	if r.open != nil {
		if err := r.open(s); err != nil {
			return err
		}
	}
	if !r.mute {
		s.send(&pb.PublishStreamResponse{Message: &pb.PublishStreamResponse_Settings{Settings: settings}})
	}
	r.wait.Go(s.receive)
	select {
	case err := <-result:
		return err
	case <-stream.Context().Done():
		return stream.Context().Err()
	}
}

// receive takes events until the stream ends. It ends a stream that the sink closed once
// all is answered.
func (s *session) receive() {
	for {
		m, err := s.stream.Recv()
		if errors.Is(err, io.EOF) {
			s.mu.Lock()
			s.closed = true
			s.mu.Unlock()
			s.endIfDone()
			return
		}
		if err != nil {
			return
		}
		e := m.GetEvent()
		s.mu.Lock()
		s.events = append(s.events, e)
		s.mu.Unlock()
		if s.r.take != nil {
			s.r.take(s, e)
		} else {
			s.ok(e.GetSeq())
		}
	}
}

func (s *session) endIfDone() {
	s.mu.Lock()
	done := s.closed && s.answered >= len(s.events)
	s.mu.Unlock()
	if done {
		s.end(nil)
	}
}

func (s *session) send(m *pb.PublishStreamResponse) {
	s.sending.Lock()
	defer s.sending.Unlock()
	_ = s.stream.Send(m) // fails when the stream has ended, which the test sees otherwise
}

func (s *session) ok(seq int64) { s.result(seq, &rpcstatus.Status{}) }

func (s *session) result(seq int64, st *rpcstatus.Status) {
	s.send(&pb.PublishStreamResponse{Message: &pb.PublishStreamResponse_Result{Result: &pb.Result{Seq: seq, Status: st}}})
	s.mu.Lock()
	s.answered++
	s.mu.Unlock()
	s.endIfDone()
}

func (s *session) configure(settings *pb.Settings) {
	s.send(&pb.PublishStreamResponse{Message: &pb.PublishStreamResponse_Settings{Settings: settings}})
}

func (s *session) drain(grace time.Duration) {
	s.send(&pb.PublishStreamResponse{Message: &pb.PublishStreamResponse_Drain{Drain: &pb.Drain{Grace: durationpb.New(grace)}}})
}

// ids returns the events of the stream so far.
func (s *session) ids() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var ids []string
	for _, e := range s.events {
		ids = append(ids, e.GetEvent().GetId())
	}
	return ids
}

// keyOf returns the key of the event with that index.
func (s *session) keyOf(i int) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.events[i].Key
}

func (s *session) halfClosed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

// at waits for a stream.
func (r *receiver) at(t *testing.T, number int) *session {
	t.Helper()
	eventually(t, "the stream is open", func() bool { return r.count() > number })
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.sessions[number]
}

func (r *receiver) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.sessions)
}

// holdAll makes a receiver that answers nothing by itself.
func holdAll(r *receiver) { r.take = func(*session, *pb.StreamEvent) {} }

// resultStatus makes the status of a result; after > 0 adds a RetryInfo.
func resultStatus(code codes.Code, message string, after time.Duration) *rpcstatus.Status {
	st := status.New(code, message).Proto()
	if after > 0 {
		detail, err := anypb.New(&errdetails.RetryInfo{RetryDelay: durationpb.New(after)})
		if err != nil {
			panic(err)
		}
		st.Details = append(st.Details, detail)
	}
	return st
}

// trackingListener can break its connections.
type trackingListener struct {
	net.Listener
	mu    sync.Mutex
	conns []net.Conn
}

func (l *trackingListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil {
		l.mu.Lock()
		l.conns = append(l.conns, c)
		l.mu.Unlock()
	}
	return c, err
}

// breakAll closes all connections.
func (l *trackingListener) breakAll() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.conns {
		_ = c.Close()
	}
	l.conns = nil
}

// newSink returns a sink with one stream, which is closed when the test ends.
func newTestSink(t testing.TB, cfg SinkConfig, opts ...SinkOptions) *Sink {
	t.Helper()
	if cfg.Streams == 0 {
		cfg.Streams = 1
	}
	s, err := NewSink(cfg, append(opts, SinkOptions{})[0])
	if err != nil {
		t.Fatal(err)
	}
	s.closeWait = 50 * time.Millisecond
	t.Cleanup(func() {
		if err := s.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return s
}

func order(id string) *cloudevent.Event { return keyedEvent(id, "") }

// keyedEvent returns an event with a key; "" is none.
func keyedEvent(id, key string) *cloudevent.Event {
	e := &cloudevent.Event{
		ID: id, Source: "/orders", Type: "order.created",
		DataContentType: "application/json", Data: cloudevent.Bytes([]byte(`{"n":1}`)),
	}
	if key != "" {
		e.Key = []byte(key)
	}
	return e
}

// sending is a running call of Send.
type sending struct {
	t    *testing.T
	id   string
	done chan struct{}
	err  error // valid once done is closed
}

func send(t *testing.T, s *Sink, e *cloudevent.Event) *sending { return sendIn(t.Context(), t, s, e) }

func sendIn(ctx context.Context, t *testing.T, s *Sink, e *cloudevent.Event) *sending {
	t.Helper()
	c := &sending{t: t, id: e.ID, done: make(chan struct{})}
	go func() {
		defer close(c.done)
		c.err = s.Send(ctx, e)
	}()
	return c
}

// queue starts to send an event and waits until it is in a queue or on the wire, so that
// a later one is behind it.
func queue(t *testing.T, s *Sink, e *cloudevent.Event) *sending {
	t.Helper()
	before := s.submitted()
	c := send(t, s, e)
	eventually(t, "Send has queued the event", func() bool { return s.submitted() > before })
	return c
}

// submitted returns how many calls wait or are on the wire.
func (s *Sink) submitted() (n int64) {
	for _, l := range s.slots {
		n += l.load.Load()
	}
	return n
}

func (c *sending) result() error {
	c.t.Helper()
	select {
	case <-c.done:
		return c.err
	case <-time.After(10 * time.Second):
		c.t.Fatalf("Send of %s did not return", c.id)
		return nil
	}
}

func (c *sending) wantOK() {
	c.t.Helper()
	if err := c.result(); err != nil {
		c.t.Errorf("Send of %s: %v", c.id, err)
	}
}

func (c *sending) wantFailure(class connector.Class, text string) {
	c.t.Helper()
	wantError(c.t, c.result(), class, text)
}

func (c *sending) returned() bool {
	select {
	case <-c.done:
		return true
	default:
		return false
	}
}
