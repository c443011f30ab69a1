package grpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	cepb "github.com/cloudevents/sdk-go/binding/format/protobuf/v2/pb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"

	"github.com/lsm/fiso/common/connector"
	pb "github.com/lsm/fiso/connectors/grpc/eventpb"
)

// G5: client libraries buffer what HTTP/2 does not take yet, without a limit
// (https://github.com/grpc/grpc-java/issues/2247), so the protocol itself has a credit.
func TestStream_refusesEventsAboveItsCreditAndEndsAtTwiceThat(t *testing.T) {
	cfg := sourceConfig()
	cfg.MaxInFlight = 2
	s := runSource(t, cfg, SourceOptions{}, nil)
	p := openStream(t, dialSource(t, s.address))
	for i := range 2 {
		p.send(fmt.Sprint(i), testEvent("a"))
	}
	s.messages(2)
	wantRetry(t, p.result(p.send("x", testEvent("b"))), codes.ResourceExhausted, retryDelay)
	wantRetry(t, p.result(p.send("x", testEvent("c"))), codes.ResourceExhausted, retryDelay)
	for _, m := range s.messages(2) {
		m.Settle(nil)
	}
	p.result(2)
	wantRetry(t, p.result(p.send("x", testEvent("c"))), codes.ResourceExhausted, retryDelay) // b comes first
	p.send("x", testEvent("b"))
	s.messages(3)
	for range 8 {
		p.send("y", testEvent("d"))
	}
	// Refusals free their credit as soon as they are sent, so only a producer that
	// floods the stream is ended: by an intake whose answers nobody takes.
	k := newIntake(modelSource(t), 2, 1<<20)
	for i := range 5 {
		err := k.receive(&received{seq: int64(i + 1), event: testEvent("a"), size: 1})
		if i < 4 && err != nil {
			t.Fatal(err)
		}
		if i == 4 {
			if text := wantCode(t, err, codes.ResourceExhausted); text != "the producer exceeds its credit of 2 events and 1048576 bytes without a result; obey max_in_flight and max_in_flight_bytes" {
				t.Error(text)
			}
		}
	}
}

// The answer of an event frees its credit before the producer can read it.
func TestSource_neverRefusesAProducerThatObeys(t *testing.T) {
	cfg := sourceConfig()
	cfg.MaxInFlight = 2
	s := runSource(t, cfg, SourceOptions{}, settleOK)
	p := openStreamUnread(t, dialSource(t, s.address))
	credit := make(chan struct{}, cfg.MaxInFlight)
	var wait sync.WaitGroup
	wait.Go(func() {
		for n := 0; n < 2000; {
			m, err := p.stream.Recv()
			if err != nil {
				t.Error(err)
				return
			}
			if r := m.GetResult(); r != nil {
				n++
				if r.Status.GetCode() != 0 {
					t.Errorf("answered with %v", r)
				}
				<-credit
			}
		}
	})
	for range 2000 {
		credit <- struct{}{}
		p.send("k", testEvent("a"))
	}
	wait.Wait()
}

func TestStream_takesOneEventOfAnySizeWhileNoneIsInFlight(t *testing.T) {
	cfg := sourceConfig()
	cfg.MaxInFlightBytes, cfg.MaxBufferedBytes = 10, 10
	s := runSource(t, cfg, SourceOptions{}, nil)
	p := openStream(t, dialSource(t, s.address))
	p.send("a", testEvent("larger than ten bytes"))
	m := s.messages(1)[0]
	wantRetry(t, p.result(p.send("b", testEvent("larger than ten bytes"))), codes.ResourceExhausted, retryDelay)
	m.Settle(nil)
	p.result(1)
	p.send("b", testEvent("larger than ten bytes"))
	s.messages(2)
}

// The budget of the listener bounds what all streams hold together.
func TestSource_refusesEventsBeyondItsBudget(t *testing.T) {
	cfg := sourceConfig()
	cfg.MaxBufferedBytes = 10 << 10
	s := runSource(t, cfg, SourceOptions{}, nil)
	conn := dialSource(t, s.address)
	a, b := openStream(t, conn), openStream(t, conn)
	big := testEvent("a")
	big.Data = &cepb.CloudEvent_BinaryData{BinaryData: make([]byte, 9<<10)}
	a.send("k", big)
	m := s.messages(1)[0]
	r := b.result(b.send("k", big))
	wantRetry(t, r, codes.ResourceExhausted, retryDelay)
	if !strings.Contains(r.Status.Message, "maxBufferedBytes") {
		t.Errorf("the message %q does not name the setting", r.Status.Message)
	}
	m.Settle(nil)
	a.result(1)
	b.send("k", big)
	s.messages(2)[1].Settle(nil)
	b.result(2)
	if held := s.listener.buffered.held.Load(); held != 0 {
		t.Errorf("%d bytes are held after all is settled", held)
	}
}

// G3: both sides were stuck in Send, each waiting for the other to read
// (https://github.com/grpc/grpc-go/issues/5393).
func TestSource_disconnectsAProducerThatDoesNotRead(t *testing.T) {
	s := runSource(t, unreadConfig(), SourceOptions{}, settleKeyed)
	p := openStreamUnread(t, dialUnread(t, s.address))
	if err := p.flood(); !errors.Is(err, io.EOF) {
		t.Errorf("Send failed with %v", err)
	}
	eventuallySource(t, "the stream is over", func() bool { return s.listener.calls.Load() == 0 })
}

// G3 on a connection that others use too: they must not notice.
func TestSource_endsOneStreamWhoseProducerDoesNotRead(t *testing.T) {
	s := runSource(t, unreadConfig(), SourceOptions{}, settleKeyed)
	conn := dialUnread(t, s.address)
	good, p := openStream(t, conn), openStreamUnread(t, conn)
	good.result(good.send("k", testEvent("a")))
	flooded := make(chan error, 1)
	eventuallySource(t, "the second stream is open", func() bool { return s.listener.calls.Load() == 2 })
	go func() { flooded <- p.flood() }()
	eventuallySource(t, "the stream is over", func() bool { return s.listener.calls.Load() == 1 })
	if code := good.code(good.send("k", testEvent("b"))); code != codes.OK {
		t.Errorf("a stream on the same connection is answered with %v", code)
	}
	go p.read()
	if st := p.ended(); st.Code() != codes.ResourceExhausted || !strings.Contains(st.Message(), "(writeTimeout); read results while sending") {
		t.Errorf("the stream ended with %v", st)
	}
	if err := <-flooded; !errors.Is(err, io.EOF) {
		t.Errorf("Send failed with %v", err)
	}
}

// settleKeyed hands events without a key back: their answers are longer, so that fewer
// of them fill the window.
func settleKeyed(m *connector.Message) {
	if m.Key == nil {
		m.Settle(connector.ErrInterrupted)
		return
	}
	m.Settle(nil)
}

func unreadConfig() SourceConfig {
	cfg := sourceConfig()
	cfg.WriteTimeout, cfg.MaxInFlight, cfg.MaxInFlightBytes = 100*time.Millisecond, 1<<20, 1<<30
	return cfg
}

// dialUnread returns a connection that takes few results which nobody reads.
func dialUnread(t testing.TB, address string) *grpc.ClientConn {
	return dialSource(t, address, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithStaticStreamWindowSize(64<<10))
}

// flood sends events until that fails.
func (p *testProducer) flood() error {
	for i := int64(1); ; i++ {
		m := &pb.PublishStreamRequest{Message: &pb.PublishStreamRequest_Event{Event: &pb.StreamEvent{Seq: i, Event: testEvent("a")}}}
		if err := p.stream.Send(m); err != nil {
			return err
		}
	}
}

func TestSource_limitsStreamsOfTheListener(t *testing.T) {
	cfg := sourceConfig()
	cfg.MaxStreams = 1
	s := runSource(t, cfg, SourceOptions{}, settleOK)
	conn := dialSource(t, s.address)
	p := openStream(t, conn)
	p.waitSettings()
	_, err := publish(t, conn, nil, keyed("", "a"))
	if text := wantCode(t, err, codes.ResourceExhausted); !strings.Contains(text, "(maxStreams)") {
		t.Error(text)
	}
	if st := openStream(t, conn).ended(); st.Code() != codes.ResourceExhausted {
		t.Errorf("the second stream ended with %v", st)
	}
	if err := p.stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
	p.ended()
	eventuallySource(t, "the place is free again", func() bool {
		_, err := publish(t, conn, nil, keyed("", "a"))
		return err == nil
	})
}

func TestListener_givesThePlaceOfAnIdleConnectionToAnother(t *testing.T) {
	cfg := sourceConfig()
	cfg.MaxConnections = 1
	s := runSource(t, cfg, SourceOptions{}, settleOK)
	for range 3 {
		if _, err := publish(t, dialSource(t, s.address), nil, keyed("", "a")); err != nil {
			t.Fatal(err)
		}
	}
}

// G9: clients and proxies that ping as often as they are often set to were disconnected
// (https://github.com/llm-d/llm-d-kv-cache/issues/359).
func TestListener_permitsPingsWithoutACall(t *testing.T) {
	if minPingInterval > 10*time.Second {
		t.Errorf("pings are permitted each %v only", minPingInterval)
	}
	s := runSource(t, sourceConfig(), SourceOptions{}, settleOK)
	conn := dialSource(t, s.address, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 10 * time.Second, Timeout: time.Second, PermitWithoutStream: true}))
	if _, err := publish(t, conn, nil, keyed("", "a")); err != nil {
		t.Fatal(err)
	}
}

// G4: windows that grow let stalled callers hold gigabytes
// (https://github.com/advisories?query=CVE-2026-84304). A caller stalls within a message
// of which it has sent 256 KiB, or sends events until the source takes no more.
func TestSource_holdsAThousandStalledCallersWithin256MiB(t *testing.T) {
	const callers, limit = stalledCallers, stalledCallers * (256 << 20) / 1000
	cfg := sourceConfig()
	cfg.MaxBufferedBytes = stalledCallers * (64 << 20) / 1000
	s := runSource(t, cfg, SourceOptions{}, nil)
	before := heapInUse()
	var wait sync.WaitGroup
	work := make(chan int)
	conns := make([]*stalledCaller, callers)
	for range 16 {
		wait.Go(func() {
			for i := range work {
				conns[i] = stall(t, s.address, i%2 == 0)
			}
		})
	}
	for i := range callers {
		work <- i
	}
	close(work)
	wait.Wait()
	eventuallySource(t, "what the callers sent has arrived", func() bool {
		held := s.listener.frames.held.Load()
		return held <= s.listener.frames.limit && held > s.listener.frames.limit/2
	})
	// The callers are in this process, and hold little.
	held := heapInUse() - before
	t.Logf("%d callers: %d MiB, %d KiB of messages that are not complete, %d KiB of events", callers, held>>20, s.listener.frames.held.Load()>>10, s.listener.buffered.held.Load()>>10)
	if held > limit {
		t.Errorf("stalled callers hold %d MiB; want less than %d", held>>20, limit>>20)
	}
	for _, c := range conns {
		c.close()
	}
	eventuallySource(t, "what they held is free again", func() bool { return s.listener.frames.held.Load() == 0 })
}

func heapInUse() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc) + int64(m.StackInuse)
}

func TestSource_sharesItsTurnsBetweenStreams(t *testing.T) {
	s := modelSource(t)
	busy, calm := newIntake(s, 1000, 1<<30), newIntake(s, 1000, 1<<30)
	for i := range 300 {
		if err := busy.receive(&received{seq: int64(i + 1), event: testEvent("busy"), size: 1}); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 3 {
		if err := calm.receive(&received{seq: int64(i + 1), event: testEvent("calm"), size: 1}); err != nil {
			t.Fatal(err)
		}
	}
	batch := s.nextBatch(nil)
	calmEvents := 0
	for _, m := range batch {
		if m.ID == "calm" {
			calmEvents++
		}
	}
	if calmEvents != 3 || len(batch) != maxTurn+3 {
		t.Errorf("the first batch has %d events, %d of the calm stream", len(batch), calmEvents)
	}
	total := len(batch)
	for range 20 {
		total += len(s.nextBatch(nil))
	}
	if total != 303 || len(s.ready) != 0 {
		t.Errorf("%d of 303 events were taken, %d streams are left", total, len(s.ready))
	}
}

func TestSource_takesNoMoreThanABatch(t *testing.T) {
	s := modelSource(t)
	for i := range 12 {
		k := newIntake(s, 1000, 1<<30)
		for j := range maxTurn {
			if err := k.receive(&received{seq: int64(j + 1), event: testEvent(fmt.Sprint(i)), size: 1}); err != nil {
				t.Fatal(err)
			}
		}
	}
	first, second := s.nextBatch(nil), s.nextBatch(nil)
	if len(first) != maxBatch || len(second) != 12*maxTurn-maxBatch || second[0].ID != "8" {
		t.Errorf("batches of %d and %d events, the second from stream %s on", len(first), len(second), second[0].ID)
	}
	connector.SettleAll(append(first, second...), nil)
	if s.unsettled.Load() != 0 {
		t.Error("events are left")
	}
}

func TestPublish_givesUpWhatWasNotHandedOver(t *testing.T) {
	block := make(chan struct{})
	s := runSource(t, sourceConfig(), SourceOptions{}, func(m *connector.Message) {
		<-block
		m.Settle(nil)
	})
	conn := dialSource(t, s.address)
	p := openStream(t, conn)
	p.send("k", testEvent("first"))
	s.messages(1)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		_, err := pb.NewEventsClient(conn).Publish(ctx, &pb.PublishRequest{Events: []*pb.KeyedEvent{keyed("k", "second")}})
		done <- err
	}()
	eventuallySource(t, "the second event waits", func() bool { return s.unsettled.Load() == 2 })
	cancel()
	wantCode(t, <-done, codes.Canceled)
	eventuallySource(t, "the second event is given up", func() bool { return s.unsettled.Load() == 1 })
	close(block)
	p.result(1)
	if s.count() != 1 {
		t.Error("an event whose caller had left was handed over")
	}
}
