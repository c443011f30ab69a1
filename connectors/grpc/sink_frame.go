package grpc

import (
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/lsm/fiso/common/cloudevent"
	pb "github.com/lsm/fiso/connectors/grpc/eventpb"
)

// Numbers of fields in events.proto.
const (
	fieldRequestEvent = 2 // PublishStreamRequest.event
	fieldEventSeq     = 1 // StreamEvent.seq
	fieldEventKey     = 2 // StreamEvent.key
	fieldEventEvent   = 3 // StreamEvent.event
)

const (
	// maxVarint is the largest size of a varint, in bytes.
	maxVarint = 10
	// frameHead is the room for what number writes: two tags and two varints.
	frameHead = 2 * (1 + maxVarint)
)

// frame is a PublishStreamRequest with one event. It is encoded before the event has
// its number, because only the stream that sends it gives numbers.
type frame struct {
	// buf has frameHead bytes, then key and event of the StreamEvent. It comes from the
	// pool of gRPC, which takes it back once it is on the wire: nil from then on.
	buf  *[]byte
	body int // length of key and event
}

// newFrame encodes an event. It keeps nothing of e. A nil key is none.
func newFrame(e *cloudevent.Event, key []byte) (frame, error) {
	m, err := protoOf(e)
	if err != nil {
		return frame{}, err
	}
	size := proto.Size(m)
	most := frameHead + size + 2*(1+maxVarint) // the tags and lengths of key and event
	if key != nil {
		most += len(key)
	}
	buf := mem.DefaultBufferPool().Get(most)
	b := (*buf)[:frameHead]
	if key != nil {
		b = protowire.AppendTag(b, fieldEventKey, protowire.BytesType)
		b = protowire.AppendBytes(b, key)
	}
	b = protowire.AppendTag(b, fieldEventEvent, protowire.BytesType)
	b = protowire.AppendVarint(b, uint64(size))
	b, err = proto.MarshalOptions{UseCachedSize: true}.MarshalAppend(b, m)
	*buf = b
	f := frame{buf: buf, body: len(b) - frameHead}
	if err != nil {
		f.drop()
	}
	return f, err
}

// size returns the length of the serialized StreamEvent, which the limits of the
// receiver count.
func (f *frame) size(seq int64) int {
	return 1 + protowire.SizeVarint(uint64(seq)) + f.body
}

// number writes the number of the event and the lengths in front of its bytes, and
// returns the message. It is called once.
func (f *frame) number(seq int64) outgoing {
	var room [frameHead]byte
	head := protowire.AppendTag(room[:0], fieldRequestEvent, protowire.BytesType)
	head = protowire.AppendVarint(head, uint64(f.size(seq)))
	head = protowire.AppendTag(head, fieldEventSeq, protowire.VarintType)
	head = protowire.AppendVarint(head, uint64(seq))
	out := outgoing{f.buf, frameHead - len(head)}
	copy((*f.buf)[out.start:], head)
	f.buf = nil
	return out
}

// drop gives the memory of a frame back that is not sent.
func (f *frame) drop() {
	if f.buf != nil {
		mem.DefaultBufferPool().Put(f.buf)
		f.buf = nil
	}
}

// outgoing is an encoded message: buf from start on.
type outgoing struct {
	buf   *[]byte
	start int
}

// frameCodec sends encoded messages and receives responses. Both are protobuf on the wire.
type frameCodec struct{}

// Name is the content subtype.
func (frameCodec) Name() string { return "proto" }

// Marshal takes an *outgoing, whose bytes are sent as they are. It is called once for
// each, because gRPC keeps what it returns, and frees it.
func (frameCodec) Marshal(v any) (mem.BufferSlice, error) {
	out := v.(*outgoing)
	whole := mem.NewBuffer(out.buf, mem.DefaultBufferPool())
	defer whole.Free() // the slice has its own reference
	return mem.BufferSlice{whole.Slice(out.start, len(*out.buf))}, nil
}

// Unmarshal fills a *pb.PublishStreamResponse.
func (frameCodec) Unmarshal(data mem.BufferSlice, v any) error {
	buf := data.MaterializeToBuffer(mem.DefaultBufferPool())
	defer buf.Free()
	return proto.Unmarshal(buf.ReadOnlyData(), v.(*pb.PublishStreamResponse))
}
