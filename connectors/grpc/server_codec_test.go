package grpc

import (
	"bytes"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	pb "github.com/lsm/fiso/connectors/grpc/eventpb"
)

const testMaxEvent = 1 << 10

func decodeStream(t testing.TB, b []byte) *streamRequest {
	t.Helper()
	r := &streamRequest{maxEvent: testMaxEvent}
	if err := newCodec().Unmarshal(mem.BufferSlice{mem.SliceBuffer(b)}, r); err != nil {
		t.Fatal(err)
	}
	return r
}

func marshal(t testing.TB, m proto.Message) []byte {
	t.Helper()
	b, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// field is a field with bytes.
func field(n protowire.Number, value []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(nil, n, protowire.BytesType), value)
}

func number(n protowire.Number, value uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(nil, n, protowire.VarintType), value)
}

func TestCodec_readsAStreamRequestAsTheGeneratedCodeDoes(t *testing.T) {
	event := &pb.StreamEvent{Seq: 1 << 40, Key: []byte{}, Event: testEvent("a")}
	r := decodeStream(t, marshal(t, &pb.PublishStreamRequest{Message: &pb.PublishStreamRequest_Event{Event: event}}))
	if r.err != nil || r.open != nil || r.event.seq != 1<<40 || r.event.key == nil || len(r.event.key) != 0 || !proto.Equal(r.event.event, event.Event) || r.event.size != proto.Size(event) {
		t.Errorf("%+v, %v", r.event, r.err)
	}
	r = decodeStream(t, marshal(t, &pb.PublishStreamRequest{Message: &pb.PublishStreamRequest_Open{Open: &pb.Open{Producer: "p", Epoch: -1}}}))
	if r.err != nil || r.event != nil || r.open.Producer != "p" || r.open.Epoch != -1 {
		t.Errorf("%v, %v", r.open, r.err)
	}
}

func TestCodec_namesWhatIsWrong(t *testing.T) {
	event := marshal(t, testEvent("a"))
	seq := number(fieldSeq, 7)
	for _, row := range []struct {
		name   string
		bytes  []byte
		err    string // of the message
		broken string // of the event
	}{
		{"nothing", nil, "it must have either open or event", ""},
		{"an unknown field only", number(9, 1), "it must have either open or event", ""},
		{"both", append(field(fieldOpen, nil), field(fieldStreamEvent, seq)...), "it must have either open or event", ""},
		{"two events", append(field(fieldStreamEvent, seq), field(fieldStreamEvent, seq)...), "it holds its event twice", ""},
		{"a broken open", field(fieldOpen, []byte{0xff}), "cannot parse", ""},
		{"a tag that is none", []byte{0xff}, "read the message: ", ""},
		{"a field that is cut", []byte{0x0a, 5}, "read the message: ", ""},
		{"a group that does not end", []byte{0x0b}, "read the message: ", ""},
		{"a negative seq", field(fieldStreamEvent, append(number(fieldSeq, 1<<63), field(fieldStreamCloud, event)...)), "the seq of an event must be 1 or more", ""},
		{"no seq and broken", field(fieldStreamEvent, []byte{0x0a, 5}), "read the message: ", ""},
		{"no event", field(fieldStreamEvent, seq), "", "it has no event"},
		{"an event twice", field(fieldStreamEvent, bytes.Join([][]byte{seq, field(fieldStreamCloud, event), field(fieldStreamCloud, event)}, nil)), "", "it holds its event twice"},
		{"an event that is none", field(fieldStreamEvent, append(seq, field(fieldStreamCloud, []byte{0xff})...)), "", "read the CloudEvent: "},
		{"an id that is not UTF-8", field(fieldStreamEvent, append(seq, field(fieldStreamCloud, field(1, []byte{0xff}))...)), "", "invalid UTF-8"},
		{"an event of the wrong type", field(fieldStreamEvent, append(seq, number(fieldStreamCloud, 1)...)), "", "it has no event"},
		{"what is cut after seq", field(fieldStreamEvent, append(seq, 0x1a, 9)), "", "read the message: "},
	} {
		t.Run(row.name, func(t *testing.T) {
			r := decodeStream(t, row.bytes)
			if row.err != "" {
				if r.err == nil || !strings.Contains(strings.ReplaceAll(r.err.Error(), "\u00a0", " "), row.err) {
					t.Errorf("error %v; want %q", r.err, row.err)
				}
				return
			}
			if r.err != nil || r.event.seq != 7 || r.event.event != nil || r.event.broken == nil || !strings.Contains(r.event.broken.Error(), row.broken) {
				t.Errorf("%+v, %v; want %q", r.event, r.err, row.broken)
			}
		})
	}
}

func TestCodec_findsTheNumberOfAnOversizedEvent(t *testing.T) {
	large := testEvent(strings.Repeat("x", testMaxEvent))
	for name, event := range map[string]*pb.StreamEvent{
		"whole": {Seq: 7, Key: []byte("k"), Event: large}, "its key": {Seq: 7, Key: make([]byte, testMaxEvent), Event: testEvent("a")},
	} {
		r := decodeStream(t, marshal(t, &pb.PublishStreamRequest{Message: &pb.PublishStreamRequest_Event{Event: event}}))
		if r.err != nil || r.event.seq != 7 || !r.event.tooLarge || r.event.event != nil || r.event.broken != nil {
			t.Errorf("%s: %+v, %v", name, r.event, r.err)
		}
	}
}

func TestCodec_readsABatchInItsOrder(t *testing.T) {
	large := &pb.KeyedEvent{Event: testEvent(strings.Repeat("x", testMaxEvent))}
	r := &batchRequest{maxEvent: testMaxEvent}
	r.decode(append(marshal(t, &pb.PublishRequest{Events: []*pb.KeyedEvent{keyed("k", "a"), large, {}, keyless("b")}}), number(9, 1)...))
	if r.err != nil || len(r.events) != 4 {
		t.Fatalf("%d events, %v", len(r.events), r.err)
	}
	a, b := r.events[0], r.events[3]
	if a.seq != 1 || string(a.key) != "k" || a.event.Id != "a" || b.seq != 4 || b.key != nil || b.event.Id != "b" || !r.events[1].tooLarge || r.events[2].broken == nil {
		t.Errorf("%+v %+v %+v %+v", a, r.events[1], r.events[2], b)
	}
	if r.decode([]byte{0xff}); r.err == nil || len(r.events) != 0 {
		t.Errorf("a broken request has %d events, %v", len(r.events), r.err)
	}
}

func TestPublish_refusesABrokenRequest(t *testing.T) {
	s := runSource(t, sourceConfig(), SourceOptions{}, settleOK)
	c := rawCall(t, s.address, "/fiso.v1.Events/Publish")
	defer func() { _ = c.conn.Close() }()
	if err := c.frame.WriteData(1, true, message([]byte{0xff})); err != nil {
		t.Fatal(err)
	}
	if code := c.status(); code != codes.InvalidArgument {
		t.Errorf("the call ended with %v", code)
	}
}

func TestStream_refusesABrokenMessage(t *testing.T) {
	s := runSource(t, sourceConfig(), SourceOptions{}, settleOK)
	c := rawCall(t, s.address, "/fiso.v1.Events/PublishStream")
	defer func() { _ = c.conn.Close() }()
	if err := c.write(message([]byte{0xff})); err != nil {
		t.Fatal(err)
	}
	if code := c.status(); code != codes.InvalidArgument {
		t.Errorf("the call ended with %v", code)
	}
}

// FuzzStreamEvent reads any bytes as a StreamEvent. What is accepted must be what the
// generated code reads, and become a message; nothing may panic.
func FuzzStreamEvent(f *testing.F) {
	f.Add(marshal(f, &pb.StreamEvent{Seq: 1, Key: []byte("k"), Event: testEvent("a")}))
	f.Add(marshal(f, &pb.StreamEvent{Seq: 1, Event: testEvent(strings.Repeat("x", 2*testMaxEvent))}))
	f.Add(append(number(fieldSeq, 1), field(fieldStreamCloud, []byte{0xff})...))
	f.Add(append(number(fieldSeq, 1), 0x1a, 9))
	f.Add([]byte{0x0b, 0x0c})
	source := modelSource(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		r := decodeStream(t, field(fieldStreamEvent, b))
		if r.err != nil {
			return
		}
		e := r.event
		if e.seq < 1 || e.size != len(b) || e.tooLarge != (len(b) > testMaxEvent) || e.tooLarge == (e.event != nil || e.broken != nil) || (e.event != nil && e.broken != nil) {
			t.Fatalf("%+v", e)
		}
		var want pb.StreamEvent
		if err := proto.Unmarshal(b, &want); err == nil && e.event != nil {
			if want.Seq != e.seq || !bytes.Equal(want.Key, e.key) || !proto.Equal(want.Event, e.event) {
				t.Fatalf("read %+v; the generated code reads %v", e, &want)
			}
		}
		it, refusal := source.itemOf(e, nil)
		if (it == nil) == (refusal == nil) {
			t.Fatalf("%v and %v", it, refusal)
		}
		if refusal != nil && codes.Code(refusal.Code) != codes.InvalidArgument {
			t.Fatalf("refused with %v", refusal)
		}
	})
}
