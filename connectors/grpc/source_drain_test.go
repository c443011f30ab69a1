package grpc

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/lsm/fiso/common/connector"
)

// G2: a GOAWAY is invisible to open streams
// (https://github.com/grpc/grpc-go/issues/6569), and a graceful stop waits for them for
// ever (https://github.com/nspcc-dev/neofs-node/issues/1271).
func TestSource_drainsItsStreamsWhenItStops(t *testing.T) {
	s := runSource(t, sourceConfig(), SourceOptions{DrainTimeout: testPatience}, nil)
	conn := dialSource(t, s.address)
	p := openStream(t, conn)
	p.send("k", testEvent("a"))
	m := s.messages(1)[0]
	s.end()
	eventuallySource(t, "the producer is told", func() bool { return p.drainedBy() != nil })
	if grace := p.drainedBy().Grace.AsDuration(); grace <= 0 || grace > testPatience {
		t.Errorf("grace %v", grace)
	}
	wantRetry(t, p.result(p.send("k", testEvent("b"))), codes.Unavailable, retryDelay)
	if err := p.stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
	m.Settle(nil)
	if code := p.code(1); code != codes.OK {
		t.Errorf("an event that was accepted is answered with %v", code)
	}
	if st := p.ended(); st.Code() != codes.OK {
		t.Errorf("the stream ended with %v", st)
	}
	<-s.done
	if s.err != nil {
		t.Error(s.err)
	}
	_, err := publish(t, conn, nil, keyed("", "c"))
	wantCode(t, err, codes.Unavailable)
}

func TestSource_endsAQuietStreamThatDoesNotReactToADrain(t *testing.T) {
	s := runSource(t, sourceConfig(), SourceOptions{DrainTimeout: testPatience}, nil)
	p := openStream(t, dialSource(t, s.address))
	p.waitSettings()
	began := time.Now()
	s.end()
	if st := p.ended(); st.Code() != codes.OK || p.drainedBy() == nil {
		t.Errorf("the stream ended with %v after the drain %v", st, p.drainedBy())
	}
	if took := time.Since(began); took < drainLinger {
		t.Errorf("the stream ended after %v, too early for events on their way", took)
	}
}

func TestSource_cutsAStreamWhenTheGraceIsOver(t *testing.T) {
	s := runSource(t, sourceConfig(), SourceOptions{DrainTimeout: 50 * time.Millisecond}, nil)
	p := openStream(t, dialSource(t, s.address))
	p.send("k", testEvent("a"))
	m := s.messages(1)[0]
	s.end()
	if st := p.ended(); st.Code() != codes.Unavailable || !strings.Contains(st.Message(), "send the events without a result again") {
		t.Errorf("the stream ended with %v", st)
	}
	<-s.done
	if !m.Settle(nil) {
		t.Error("the message was settled by the source")
	}
}

func TestSource_handsBackWhatItsHandlerHasNotSeenWhenItStops(t *testing.T) {
	s := runSource(t, sourceConfig(), SourceOptions{DrainTimeout: testPatience}, nil)
	block := make(chan struct{})
	blocked := runSource(t, sourceConfig(), SourceOptions{DrainTimeout: testPatience}, func(m *connector.Message) {
		<-block
		m.Settle(nil)
	})
	p := openStream(t, dialSource(t, blocked.address))
	p.send("k", testEvent("a"))
	blocked.messages(1)
	p.send("k", testEvent("b"))
	publishing := make(chan error, 1)
	go func() {
		answer, err := publish(t, dialSource(t, blocked.address), nil, keyed("k", "c"))
		if err == nil {
			wantRetry(t, &pbResult{Status: answer.Results[0].Status}, codes.Unavailable, retryDelay)
		}
		publishing <- err
	}()
	eventuallySource(t, "two events wait", func() bool { return blocked.unsettled.Load() == 3 })
	blocked.end()
	wantRetry(t, p.result(2), codes.Unavailable, retryDelay)
	if err := <-publishing; err != nil {
		t.Error(err)
	}
	close(block)
	if code := p.code(1); code != codes.OK {
		t.Errorf("an event that was handed over is answered with %v", code)
	}
	s.stop()
}

func TestPublish_isCutWhenTheSourceHasStopped(t *testing.T) {
	s := runSource(t, sourceConfig(), SourceOptions{DrainTimeout: 50 * time.Millisecond}, nil)
	done := make(chan error, 1)
	go func() {
		_, err := publish(t, dialSource(t, s.address), nil, keyed("k", "a"))
		done <- err
	}()
	s.messages(1)
	s.end()
	wantCode(t, <-done, codes.Unavailable)
}

// G9: streams that are dead but look alive stay for ever
// (https://github.com/apache/eventmesh/issues/5384), and a credential is checked once. So
// a stream has a maximum age. The events that it has sent are still handed over.
func TestSource_drainsAnOldStream(t *testing.T) {
	cfg := sourceConfig()
	cfg.MaxStreamAge = 300 * time.Millisecond
	s := runSource(t, cfg, SourceOptions{DrainTimeout: testPatience}, nil)
	p := openStream(t, dialSource(t, s.address))
	p.send("k", testEvent("a"))
	m := s.messages(1)[0]
	eventuallySource(t, "the producer is told", func() bool { return p.drainedBy() != nil })
	wantRetry(t, p.result(p.send("k", testEvent("b"))), codes.Unavailable, retryDelay)
	m.Settle(nil)
	if code := p.code(1); code != codes.OK {
		t.Errorf("an event of an old stream is answered with %v", code)
	}
	if st := p.ended(); st.Code() != codes.OK {
		t.Errorf("the stream ended with %v", st)
	}
}

func TestSource_endsAnOldStreamByItsGrace(t *testing.T) {
	cfg := sourceConfig()
	cfg.MaxStreamAge = 100 * time.Millisecond
	s := runSource(t, cfg, SourceOptions{DrainTimeout: 100 * time.Millisecond}, nil)
	p := openStream(t, dialSource(t, s.address))
	p.send("k", testEvent("a"))
	if st := p.ended(); st.Code() != codes.Unavailable || !strings.Contains(st.Message(), "the grace of the drain is over") {
		t.Errorf("the stream ended with %v", st)
	}
	s.messages(1)[0].Settle(nil)
}

func TestSource_drainsAnOldStreamOnceWhenItStops(t *testing.T) {
	cfg := sourceConfig()
	cfg.MaxStreamAge = 100 * time.Millisecond
	s := runSource(t, cfg, SourceOptions{DrainTimeout: testPatience}, nil)
	p := openStream(t, dialSource(t, s.address))
	p.send("k", testEvent("a"))
	m := s.messages(1)[0]
	eventuallySource(t, "the producer is told", func() bool { return p.drainedBy() != nil })
	s.end()
	<-s.ended
	m.Settle(nil)
	if st := p.ended(); st.Code() != codes.OK || p.code(1) != codes.OK || len(p.drains) != 1 {
		t.Errorf("the stream ended with %v after %d drains", st, len(p.drains))
	}
}

func TestJittered_staysWithinATenth(t *testing.T) {
	for random, want := range map[float64]time.Duration{0: 9 * time.Second, 0.5: 10 * time.Second, 1: 11 * time.Second} {
		if got := jittered(10*time.Second, random); got != want {
			t.Errorf("%v at %v; want %v", got, random, want)
		}
	}
}

func TestSource_fencesAnOlderEpochOfAProducer(t *testing.T) {
	s := runSource(t, sourceConfig(), SourceOptions{DrainTimeout: testPatience}, nil)
	conn := dialSource(t, s.address)
	old := openStream(t, conn)
	old.open("p", 1)
	old.send("k", testEvent("a"))
	s.messages(1)
	same, other := openStream(t, conn), openStream(t, conn)
	same.open("p", 1)
	other.open("q", 0)
	same.send("k", testEvent("b"))
	other.send("k", testEvent("c"))
	s.messages(3)
	young := openStream(t, conn)
	young.open("p", 2)
	for _, p := range []*testProducer{old, same} {
		if st := p.ended(); st.Code() != codes.Aborted || st.Message() != "a stream of this producer with a higher epoch is open" {
			t.Errorf("an older stream ended with %v", st)
		}
	}
	late := openStream(t, conn)
	late.open("p", 1)
	if st := late.ended(); st.Code() != codes.Aborted {
		t.Errorf("a stream with an old epoch ended with %v", st)
	}
	young.send("k", testEvent("d"))
	for _, m := range s.messages(4) {
		m.Settle(nil)
	}
	if young.code(1) != codes.OK || other.code(1) != codes.OK {
		t.Error("a stream that nobody fenced is not answered")
	}
	young.cancel()
	<-young.readEnd
	eventuallySource(t, "the epoch is forgotten with its last stream", func() bool {
		again := openStream(t, conn)
		again.open("p", 1)
		again.send("k", testEvent("e"))
		return again.codeOrEnd(t, s) == codes.OK
	})
}

func TestSource_fencesAnOlderEpochThatHasClosedItsHalf(t *testing.T) {
	s := runSource(t, sourceConfig(), SourceOptions{}, nil)
	conn := dialSource(t, s.address)
	old := openStream(t, conn)
	old.open("p", 1)
	old.send("k", testEvent("a"))
	s.messages(1)
	if err := old.stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
	young := openStream(t, conn)
	young.waitSettings() // the connection has delivered the end of the old half by then
	young.open("p", 2)
	if st := old.ended(); st.Code() != codes.Aborted {
		t.Errorf("the older stream ended with %v", st)
	}
}

// codeOrEnd settles all messages until event 1 is answered or the stream has ended.
func (p *testProducer) codeOrEnd(t *testing.T, s *runningSource) codes.Code {
	t.Helper()
	code := codes.Unknown
	eventuallySource(t, "an answer or an end", func() bool {
		for _, m := range s.messages(0) {
			m.Settle(nil)
		}
		if r := p.answered(1); r != nil {
			code = codes.Code(r.Status.Code)
			return true
		}
		select {
		case <-p.readEnd:
			return true
		default:
			return false
		}
	})
	return code
}

func TestStream_refusesAnOpenThatIsNone(t *testing.T) {
	s := runSource(t, sourceConfig(), SourceOptions{}, nil)
	conn := dialSource(t, s.address)
	for _, row := range []struct {
		name, text string
		send       func(*testProducer)
	}{
		{"no name", "open: the name of the producer must have 1 to 256 bytes", func(p *testProducer) { p.open("", 1) }},
		{"a long name", "open: the name of the producer must have 1 to 256 bytes", func(p *testProducer) { p.open(strings.Repeat("x", 257), 1) }},
		{"twice", "open must be the first message of the producer, and sent once", func(p *testProducer) { p.open("p", 1); p.open("p", 2) }},
		{"no number", "the message: the seq of an event must be 1 or more", func(p *testProducer) { p.sendRaw(streamEvent(0)) }},
		{"an empty message", "the message: it must have either open or event", func(p *testProducer) { p.sendEmpty() }},
	} {
		t.Run(row.name, func(t *testing.T) {
			p := openStream(t, conn)
			row.send(p)
			if st := p.ended(); st.Code() != codes.InvalidArgument || st.Message() != row.text {
				t.Errorf("the stream ended with %v", st)
			}
		})
	}
}

func TestProducers_keepTheHighestEpochThatIsOpen(t *testing.T) {
	var p producers
	s := modelSource(t)
	a, b, c := newIntake(s, 1, 1), newIntake(s, 1, 1), newIntake(s, 1, 1)
	for k, epoch := range map[*intake]int64{a: -5, b: -5} {
		if err := p.open(k, openOf("p", epoch)); err != nil {
			t.Fatal(err)
		}
	}
	p.leave(c, "p")
	p.leave(c, "unknown")
	p.leave(a, "p")
	wantCode(t, p.open(c, openOf("p", -6)), codes.Aborted)
	p.leave(b, "p")
	if len(p.of) != 0 {
		t.Error("a producer without a stream is remembered")
	}
	if err := p.open(c, openOf("p", -6)); err != nil {
		t.Error(err)
	}
}

// A reload replaces a source while its producers go on.
func TestListeners_letTheNextSourceOfAFlowTakeOver(t *testing.T) {
	listeners := NewListeners(nil)
	defer listeners.Close()
	cfg := sourceConfig()
	cfg.Listen = unusedAddress(t)
	opts := func(name string) SourceOptions {
		return SourceOptions{Listeners: listeners, Name: name, DrainTimeout: testPatience}
	}
	old := runSource(t, cfg, opts("orders"), nil)
	other := runSource(t, cfg, opts("payments"), settleOK)
	conn := dialSource(t, old.address)
	p, bystander := openStream(t, conn, flowMetadata, "orders"), openStream(t, conn, flowMetadata, "payments")
	p.send("k", testEvent("a"))
	m := old.messages(1)[0]
	bystander.result(bystander.send("k", testEvent("x")))
	old.end()
	eventuallySource(t, "the producer is told", func() bool { return p.drainedBy() != nil })
	waiting := openStream(t, conn, flowMetadata, "orders") // while there is no source
	waiting.send("k", testEvent("b"))
	next := runSource(t, cfg, opts("orders"), settleOK) // while the old one drains
	if code := waiting.code(1); code != codes.OK {
		t.Errorf("an event for the next source is answered with %v", code)
	}
	m.Settle(nil)
	if st := p.ended(); st.Code() != codes.OK || p.code(1) != codes.OK {
		t.Errorf("the old stream ended with %v", st)
	}
	if code := bystander.code(bystander.send("k", testEvent("y"))); code != codes.OK || bystander.drainedBy() != nil {
		t.Error("the stream of another flow has noticed")
	}
	if !slices.Equal(old.ids(), []string{"a"}) || !slices.Equal(next.ids(), []string{"b"}) || !slices.Equal(other.ids(), []string{"x", "y"}) {
		t.Errorf("handed over %v, %v and %v", old.ids(), next.ids(), other.ids())
	}
}

func TestListeners_closeWhileSourcesRun(t *testing.T) {
	listeners := NewListeners(nil)
	cfg := sourceConfig()
	s := runSource(t, cfg, SourceOptions{Listeners: listeners}, settleOK)
	p := openStream(t, dialSource(t, s.address))
	p.result(p.send("k", testEvent("a")))
	listeners.Close()
	listeners.Close()
	<-s.done
	if s.err == nil || !strings.Contains(s.err.Error(), "grpc source: listen 127.0.0.1:0: ") {
		t.Errorf("Run returned %v", s.err)
	}
	if s.Status().Problem == "" {
		t.Error("the status shows no problem")
	}
	next, err := NewSource(cfg, SourceOptions{Listeners: listeners})
	if err != nil {
		t.Fatal(err)
	}
	if err := next.Run(context.Background(), nil); err == nil || err.Error() != "grpc source: the listeners are closed" {
		t.Error(err)
	}
}
