package grpc

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	cepb "github.com/cloudevents/sdk-go/binding/format/protobuf/v2/pb"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/metadata"

	"github.com/lsm/fiso/common/cloudevent"
	"github.com/lsm/fiso/common/connector"
	pb "github.com/lsm/fiso/connectors/grpc/eventpb"
)

func TestSource_answersEachEventOnceInTheOrderOfSettling(t *testing.T) {
	s := runSource(t, sourceConfig(), SourceOptions{}, nil)
	p := openStream(t, dialSource(t, s.address))
	for _, id := range []string{"a", "b", "c"} {
		p.send(id, testEvent(id))
	}
	ms := s.messages(3)
	if set := p.waitSettings(); set.MaxInFlight != 1024 || set.MaxInFlightBytes != 4<<20 || set.MaxEventBytes != 1<<20 {
		t.Errorf("settings %v are not those of the configuration", set)
	}
	if p.answered(1) != nil {
		t.Error("an event is answered before it is settled")
	}
	for _, i := range []int{2, 0, 1} {
		ms[i].Settle(nil)
		if r := p.result(int64(i + 1)); r.Status.GetCode() != 0 || r.Status == nil {
			t.Errorf("a settled event is answered with %v", r)
		}
	}
	if err := p.stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
	if st := p.ended(); st.Code() != codes.OK || !slices.Equal(p.order, []int64{3, 1, 2}) {
		t.Errorf("the stream ended with %v after the results %v", st, p.order)
	}
}

func TestSource_answersWhatIsLeftAfterTheProducerClosedItsHalf(t *testing.T) {
	s := runSource(t, sourceConfig(), SourceOptions{}, nil)
	p := openStream(t, dialSource(t, s.address))
	p.send("k", testEvent("a"))
	if err := p.stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
	s.messages(1)[0].Settle(nil)
	if code := p.code(1); code != codes.OK {
		t.Errorf("the event is answered with %v", code)
	}
	if st := p.ended(); st.Code() != codes.OK {
		t.Errorf("the stream ended with %v", st)
	}
}

func TestSource_handsOverACloudEventInBinaryMode(t *testing.T) {
	s := runSource(t, sourceConfig(), SourceOptions{Name: "orders"}, settleOK)
	p := openStream(t, dialSource(t, s.address))
	e := testEvent("ünï %1")
	e.Attributes = map[string]*cepb.CloudEventAttributeValue{
		"datacontenttype": {Attr: &cepb.CloudEventAttributeValue_CeString{CeString: "application/json"}},
		"tenant":          {Attr: &cepb.CloudEventAttributeValue_CeString{CeString: `a "b" %41`}},
		"partitionkey":    {Attr: &cepb.CloudEventAttributeValue_CeString{CeString: "p"}},
	}
	p.sendRaw(&pb.StreamEvent{Seq: 1, Event: e})
	p.sendRaw(&pb.StreamEvent{Seq: 2, Key: []byte("k"), Event: e})
	p.sendRaw(&pb.StreamEvent{Seq: 3, Event: &cepb.CloudEvent{Id: "empty", Source: "/t", SpecVersion: "1.0", Type: "t"}})
	ms := s.messages(3)
	m := ms[0]
	if string(m.Key) != "p" || string(ms[1].Key) != "k" || ms[2].Key != nil {
		t.Errorf("keys %q, %q and %q; want that of the extension, that of the protocol, and none", m.Key, ms[1].Key, ms[2].Key)
	}
	if m.ID != e.Id || string(m.Value) != e.Id || m.Position != (connector.Position{Stream: "orders"}) || time.Since(m.Time).Abs() > time.Minute {
		t.Errorf("message %q with value %q at %v of %v", m.ID, m.Value, m.Position, m.Time)
	}
	if ms[2].Value == nil {
		t.Error("an event without data is a tombstone")
	}
	var mode cloudevent.ModeDetector
	for _, h := range m.Headers {
		mode.Add(h.Key, h.Value)
	}
	if got, err := mode.Mode(); got != cloudevent.Binary || err != nil {
		t.Fatalf("the message is in mode %v, %v", got, err)
	}
	var read cloudevent.Event
	found, err := cloudevent.FromHeaders(mode.Prefix, func(yield func(string, []byte) bool) {
		for _, h := range m.Headers {
			if !yield(h.Key, h.Value) {
				return
			}
		}
	}, &read)
	tenant, _ := read.Extension("tenant")
	if !found || err != nil || read.ID != e.Id || read.Source != "/t" || read.Type != "t" || read.DataContentType != "application/json" || tenant != `a "b" %41` {
		t.Errorf("the headers hold %+v, %v", read, err)
	}
}

func TestSource_refusesWhatIsNoCloudEventAndGoesOn(t *testing.T) {
	s := runSource(t, sourceConfig(), SourceOptions{}, settleOK)
	p := openStream(t, dialSource(t, s.address))
	without := func(change func(*cepb.CloudEvent)) *cepb.CloudEvent {
		e := testEvent("a")
		change(e)
		return e
	}
	for i, row := range []struct {
		event       *cepb.CloudEvent
		field, text string
	}{
		{without(func(e *cepb.CloudEvent) { e.Id = "" }), "id", "attribute id is missing"},
		{without(func(e *cepb.CloudEvent) { e.Source = "" }), "source", "attribute source is missing"},
		{without(func(e *cepb.CloudEvent) { e.Type = "" }), "type", "attribute type is missing"},
		{nil, "event", "it has no event"},
	} {
		seq := int64(i + 1)
		p.sendRaw(&pb.StreamEvent{Seq: seq, Key: []byte("k"), Event: row.event})
		r := p.result(seq)
		bad := detailOf[*errdetails.BadRequest](t, r.Status)
		if codes.Code(r.Status.Code) != codes.InvalidArgument || len(bad.FieldViolations) != 1 || bad.FieldViolations[0].Field != row.field || !strings.Contains(r.Status.Message, row.text) {
			t.Errorf("%s: answered with %v", row.field, r)
		}
	}
	p.sendRaw(&pb.StreamEvent{Seq: 5, Key: []byte("k"), Event: testEvent("good")})
	if code := p.code(5); code != codes.OK {
		t.Errorf("a good event of the same key is answered with %v", code)
	}
}

// G1: an event above the limit ended its stream, and poisoned what came after it
// (https://github.com/spacemeshos/go-spacemesh/issues/5094); RESOURCE_EXHAUSTED was read
// as advice to send it again
// (https://github.com/open-telemetry/opentelemetry-collector/issues/1123).
func TestSource_refusesAnOversizedEventByItsNumberAndGoesOn(t *testing.T) {
	cfg := sourceConfig()
	cfg.MaxEventBytes, cfg.MaxInFlightBytes = 1<<10, 1<<20
	s := runSource(t, cfg, SourceOptions{}, settleOK)
	conn := dialSource(t, s.address)
	p := openStream(t, conn)
	big := testEvent("big")
	big.Data = &cepb.CloudEvent_BinaryData{BinaryData: make([]byte, 4<<10)}
	check := func(status *pb.Result) {
		t.Helper()
		info := detailOf[*errdetails.ErrorInfo](t, status.Status)
		if codes.Code(status.Status.Code) != codes.InvalidArgument || info.Reason != "EVENT_TOO_LARGE" || info.Domain != "fiso" || info.Metadata["max_event_bytes"] != "1024" ||
			!strings.Contains(status.Status.Message, "at most 1024 are taken (maxEventBytes)") {
			t.Errorf("answered with %v", status)
		}
	}
	check(p.result(p.send("k", big)))
	if code := p.code(p.send("k", testEvent("small"))); code != codes.OK {
		t.Errorf("the next event is answered with %v", code)
	}
	answer, err := publish(t, conn, nil, keyed("k", "a"), &pb.KeyedEvent{Event: big}, keyed("k", "b"))
	if err != nil {
		t.Fatal(err)
	}
	check(&pb.Result{Status: answer.Results[1].Status})
	if answer.Results[0].Status.Code != 0 || answer.Results[2].Status.Code != 0 {
		t.Errorf("the events around it are answered with %v", answer)
	}
}

func TestSource_handsBackWhatIsNotSettled(t *testing.T) {
	for _, row := range []struct {
		name  string
		err   error
		after time.Duration
	}{
		{"interrupted", connector.ErrInterrupted, retryDelay},
		{"an error, whose text is not for the producer", errors.New("canary"), retryDelay},
		{"permanent", connector.AsPermanent(errors.New("canary")), retryDelay},
		{"a delay", connector.AsTemporary(errors.New("canary"), 7*time.Second), 7 * time.Second},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := runSource(t, sourceConfig(), SourceOptions{}, func(m *connector.Message) { m.Settle(row.err) })
			r := openStreamResult(t, s, "a")
			wantRetry(t, r, codes.Unavailable, row.after)
			if strings.Contains(r.Status.Message, "canary") {
				t.Errorf("the producer sees the error of the flow: %q", r.Status.Message)
			}
		})
	}
}

func openStreamResult(t *testing.T, s *runningSource, id string) *pb.Result {
	t.Helper()
	p := openStream(t, dialSource(t, s.address))
	return p.result(p.send("k", testEvent(id)))
}

func TestSource_survivesAHandlerThatPanics(t *testing.T) {
	panicked := false
	s := runSource(t, sourceConfig(), SourceOptions{}, func(m *connector.Message) {
		if !panicked {
			panicked = true
			panic("boom")
		}
		m.Settle(nil)
	})
	p := openStream(t, dialSource(t, s.address))
	wantRetry(t, p.result(p.send("k", testEvent("a"))), codes.Unavailable, retryDelay)
	if code := p.code(p.send("k", testEvent("a"))); code != codes.OK {
		t.Errorf("the next event is answered with %v", code)
	}
}

func TestSource_takesCompressedEvents(t *testing.T) {
	s := runSource(t, sourceConfig(), SourceOptions{}, settleOK)
	answer, err := pb.NewEventsClient(dialSource(t, s.address)).Publish(t.Context(), &pb.PublishRequest{Events: []*pb.KeyedEvent{keyed("k", "a")}}, grpc.UseCompressor(gzip.Name))
	if err != nil || answer.Results[0].Status.Code != 0 {
		t.Errorf("answered with %v, %v", answer, err)
	}
}

func TestPublish_answersEachEventInItsPlace(t *testing.T) {
	s := runSource(t, sourceConfig(), SourceOptions{}, func(m *connector.Message) {
		if m.ID == "b" {
			m.Settle(errors.New("no"))
			return
		}
		m.Settle(nil)
	})
	answer, err := publish(t, dialSource(t, s.address), nil, keyed("1", "a"), keyed("2", "b"), keyed("3", ""), keyed("4", "d"))
	if err != nil {
		t.Fatal(err)
	}
	var got []codes.Code
	for _, r := range answer.Results {
		got = append(got, codes.Code(r.Status.Code))
	}
	if !slices.Equal(got, []codes.Code{codes.OK, codes.Unavailable, codes.InvalidArgument, codes.OK}) {
		t.Errorf("answered with %v", got)
	}
	if ids := s.ids(); !slices.Equal(ids, []string{"a", "b", "d"}) {
		t.Errorf("handed over %v", ids)
	}
}

func TestPublish_refusesARequestThatIsNone(t *testing.T) {
	cfg := sourceConfig()
	cfg.MaxInFlight = 2
	conn := dialSource(t, runSource(t, cfg, SourceOptions{}, settleOK).address)
	_, err := publish(t, conn, nil)
	if text := wantCode(t, err, codes.InvalidArgument); text != "the request has no event; send at least one" {
		t.Error(text)
	}
	_, err = publish(t, conn, nil, keyed("", "a"), keyed("", "b"), keyed("", "c"))
	if text := wantCode(t, err, codes.InvalidArgument); text != "the request has 3 events; at most 2 are taken (maxInFlight)" {
		t.Error(text)
	}
}

func TestPublish_goesOnAfterItsDeadline(t *testing.T) {
	s := runSource(t, sourceConfig(), SourceOptions{}, nil)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	done := make(chan error, 1)
	go func() {
		_, err := pb.NewEventsClient(dialSource(t, s.address)).Publish(ctx, &pb.PublishRequest{Events: []*pb.KeyedEvent{keyed("k", "a")}})
		done <- err
	}()
	m := s.messages(1)[0]
	cancel()
	wantCode(t, <-done, codes.Canceled)
	if !m.Settle(nil) {
		t.Error("the event was settled when its caller left")
	}
}

func TestPublish_givesItsTraceToEventsWithoutOne(t *testing.T) {
	s := runSource(t, sourceConfig(), SourceOptions{}, settleOK)
	const parent, state = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "a=b"
	own := testEvent("own")
	own.Attributes = map[string]*cepb.CloudEventAttributeValue{"traceparent": {Attr: &cepb.CloudEventAttributeValue_CeString{CeString: "mine"}}}
	if _, err := publish(t, dialSource(t, s.address), []string{"traceparent", parent, "tracestate", state}, keyed("k", "a"), &pb.KeyedEvent{Event: own}); err != nil {
		t.Fatal(err)
	}
	trace := func(m *connector.Message) (values []string) {
		for _, h := range m.Headers {
			if strings.HasPrefix(h.Key, "ce_trace") {
				values = append(values, string(h.Value))
			}
		}
		return values
	}
	ms := s.messages(2)
	if got := trace(ms[0]); !slices.Equal(got, []string{parent, state}) {
		t.Errorf("the event without a trace has %q", got)
	}
	if got := trace(ms[1]); !slices.Equal(got, []string{"mine"}) {
		t.Errorf("the event with a trace has %q", got)
	}
	if got := traceOf(metadata.Pairs("tracestate", state)); got != nil {
		t.Errorf("a tracestate alone is taken: %v", got)
	}
}

func TestSource_runsOnce(t *testing.T) {
	s, err := NewSource(sourceConfig(), SourceOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if got := s.Status().Problem; got != "not listening yet" {
		t.Errorf("problem %q", got)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := s.Run(ctx, nil); err != nil {
		t.Error(err)
	}
	if got := s.Status().Problem; got != "stopped" {
		t.Errorf("problem %q", got)
	}
	if err := s.Run(ctx, nil); err == nil || err.Error() != "grpc source: Run was called before; make a new source" {
		t.Error(err)
	}
}
