package grpc

import (
	"context"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	cepb "github.com/cloudevents/sdk-go/binding/format/protobuf/v2/pb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/lsm/fiso/common/connector"
	"github.com/lsm/fiso/common/connector/connectortest"
	pb "github.com/lsm/fiso/connectors/grpc/eventpb"
)

// resender is a producer that follows the protocol: it keeps each event until its result
// is OK, and sends the events of a key again from the first that failed, on a new stream
// after a break. It is as simple as a producer can be.
type resender struct {
	stop context.CancelFunc
	done chan struct{}

	mu      sync.Mutex
	address string
	conn    *grpc.ClientConn
	waiting []*sentEvent // in order
	changed chan struct{}
	answers map[string]bool // by value: whether the first answer was OK
}

type sentEvent struct {
	key, value string
	seq        int64 // on the current stream; 0: not sent
}

func newResender() *resender {
	ctx, cancel := context.WithCancel(context.Background())
	r := &resender{stop: cancel, done: make(chan struct{}), changed: make(chan struct{}, 1), answers: map[string]bool{}}
	go func() {
		defer close(r.done)
		for ctx.Err() == nil {
			r.session(ctx)
		}
	}()
	return r
}

func (r *resender) signal() {
	select {
	case r.changed <- struct{}{}:
	default:
	}
}

func (r *resender) produce(_ testing.TB, inputs ...connectortest.Input) {
	r.mu.Lock()
	for _, in := range inputs {
		r.waiting = append(r.waiting, &sentEvent{key: in.Key, value: in.Value})
	}
	r.mu.Unlock()
	r.signal()
}

// listening tells the resender where the newest source is.
func (r *resender) listening(a net.Addr) {
	r.mu.Lock()
	r.address = a.String()
	r.mu.Unlock()
	r.signal()
}

func (r *resender) disconnect(testing.TB) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.conn != nil {
		_ = r.conn.Close()
	}
}

func (r *resender) answer(_ testing.TB, value string) (ok, answered bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	ok, answered = r.answers[value]
	return ok, answered
}

// session is one stream. It returns when the stream is over.
func (r *resender) session(ctx context.Context) {
	r.mu.Lock()
	address := r.address
	r.mu.Unlock()
	if address == "" {
		select {
		case <-r.changed:
		case <-ctx.Done():
		}
		return
	}
	conn, err := grpc.NewClient("passthrough:///"+address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return
	}
	defer func() { _ = conn.Close() }()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := pb.NewEventsClient(conn).PublishStream(ctx)
	if err != nil {
		r.pause(ctx)
		return
	}
	r.mu.Lock()
	r.conn = conn
	for _, e := range r.waiting {
		e.seq = 0
	}
	r.mu.Unlock()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		r.read(stream)
	}()
	r.send(ctx, stream, ended)
	cancel()
	<-ended
	r.pause(ctx)
}

// pause keeps a resender without a source from spinning.
func (r *resender) pause(ctx context.Context) {
	select {
	case <-time.After(5 * time.Millisecond):
	case <-ctx.Done():
	}
}

func (r *resender) send(ctx context.Context, stream pb.Events_PublishStreamClient, ended <-chan struct{}) {
	retry := time.NewTicker(5 * time.Millisecond)
	defer retry.Stop()
	seq := int64(0)
	for {
		r.mu.Lock()
		for _, e := range r.sendable() {
			seq++
			e.seq = seq
			event := &cepb.CloudEvent{Id: e.value, Source: "/t", SpecVersion: "1.0", Type: "t", Data: &cepb.CloudEvent_TextData{TextData: e.value}}
			_ = stream.Send(&pb.PublishStreamRequest{Message: &pb.PublishStreamRequest_Event{Event: &pb.StreamEvent{Seq: seq, Key: []byte(e.key), Event: event}}})
		}
		r.mu.Unlock()
		select {
		case <-r.changed:
		case <-retry.C:
		case <-ended:
			return
		case <-ctx.Done():
			return
		}
	}
}

// sendable returns the events that may be sent: of each key all that were not sent, if
// none of the key that comes later is without its result.
func (r *resender) sendable() (list []*sentEvent) {
	sentBehind := func(i int) bool {
		return slices.ContainsFunc(r.waiting[i:], func(o *sentEvent) bool { return o.key == r.waiting[i].key && o.seq != 0 })
	}
	held := map[string]bool{}
	for i, e := range r.waiting {
		if e.seq == 0 && (held[e.key] || sentBehind(i)) {
			held[e.key] = true
			continue
		}
		if e.seq == 0 {
			list = append(list, e)
		}
	}
	return list
}

func (r *resender) read(stream pb.Events_PublishStreamClient) {
	for {
		m, err := stream.Recv()
		if err != nil || m.GetDrain() != nil {
			return
		}
		if res := m.GetResult(); res != nil {
			r.result(res)
		}
	}
}

func (r *resender) result(res *pb.Result) {
	r.mu.Lock()
	defer r.mu.Unlock()
	i := slices.IndexFunc(r.waiting, func(e *sentEvent) bool { return e.seq == res.Seq })
	if i < 0 {
		return
	}
	e := r.waiting[i]
	ok := res.GetStatus().GetCode() == 0
	if _, known := r.answers[e.value]; !known {
		r.answers[e.value] = ok
	}
	if ok {
		r.waiting = slices.Delete(r.waiting, i, i+1)
	} else {
		e.seq = 0
	}
}

func TestSource_conforms(t *testing.T) {
	features := connectortest.Features{Guarantees: SourceGuarantees, Keys: true, Answers: true, Reports: true, Reconnects: true}
	connectortest.RunSource(t, features, func(t testing.TB) connectortest.SourceHarness {
		r := newResender()
		t.Cleanup(func() {
			r.stop()
			<-r.done
		})
		return connectortest.SourceHarness{
			New: func(t testing.TB) connector.Source {
				s, err := NewSource(sourceConfig(), SourceOptions{DrainTimeout: 300 * time.Millisecond, Listening: r.listening})
				if err != nil {
					t.Fatal(err)
				}
				return s
			},
			Produce: r.produce, Answer: r.answer, Disconnect: r.disconnect,
		}
	})
}
