package grpc

import (
	"errors"
	"fmt"

	cepb "github.com/cloudevents/sdk-go/binding/format/protobuf/v2/pb"
	"google.golang.org/grpc/encoding"
	encodingproto "google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	pb "github.com/lsm/fiso/connectors/grpc/eventpb"
)

// received is an event as it came. Exactly one of event, tooLarge and broken is set.
type received struct {
	seq      int64  // of a stream; 0: there is none
	key      []byte // nil: there is none
	event    *cepb.CloudEvent
	size     int   // of the serialized message, in bytes
	tooLarge bool  // size is above the limit; the event was not decoded
	broken   error // why the event cannot be decoded
}

// request is a message that the codec reads by hand: the outer fields first, so that an
// event that is too large or broken can be answered by its number.
type request interface {
	// decode reads b, which is not valid afterwards. It keeps an error for the handler.
	decode(b []byte)
}

// streamRequest is a PublishStreamRequest.
type streamRequest struct {
	maxEvent int // in bytes
	open     *pb.Open
	event    *received
	err      error // the message itself is broken
}

// batchRequest is a PublishRequest.
type batchRequest struct {
	maxEvent int
	events   []*received
	err      error
}

// codec is the codec of the server. It treats everything but requests as grpc-go does.
type codec struct{ encoding.CodecV2 }

func newCodec() codec { return codec{encoding.GetCodecV2(encodingproto.Name)} }

// Unmarshal returns no error for a request: grpc-go would end the call with INTERNAL.
func (c codec) Unmarshal(data mem.BufferSlice, v any) error {
	r, ok := v.(request)
	if !ok {
		return c.CodecV2.Unmarshal(data, v)
	}
	buf := data.MaterializeToBuffer(mem.DefaultBufferPool())
	defer buf.Free()
	r.decode(buf.ReadOnlyData())
	return nil
}

// The numbers of the fields in events.proto.
const (
	fieldOpen, fieldStreamEvent          = 1, 2 // PublishStreamRequest
	fieldSeq, fieldKey, fieldStreamCloud = 1, 2, 3
	fieldEvents                          = 1 // PublishRequest
	fieldBatchKey, fieldBatchCloud       = 1, 2
)

var errTwice = errors.New("it holds its event twice; send each event in a message of its own")

func (r *streamRequest) decode(b []byte) {
	r.open, r.event = nil, nil
	r.err = eachField(b, func(n protowire.Number, value []byte, _ uint64) error {
		switch n {
		case fieldOpen:
			r.open = new(pb.Open)
			return proto.Unmarshal(value, r.open)
		case fieldStreamEvent:
			if r.event != nil {
				return errTwice
			}
			var err error
			r.event, err = decodeStreamEvent(value, r.maxEvent)
			return err
		}
		return nil
	})
	if r.err == nil && (r.open == nil) == (r.event == nil) {
		r.err = errors.New("it must have either open or event")
	}
}

// decodeStreamEvent reads a StreamEvent. It returns an error if the event has no number
// by which it could be answered.
func decodeStreamEvent(b []byte, maxEvent int) (*received, error) {
	r := &received{size: len(b)}
	err := r.decode(b, fieldKey, fieldStreamCloud, maxEvent)
	if r.seq < 1 {
		if err != nil {
			return nil, err
		}
		return nil, errors.New("the seq of an event must be 1 or more")
	}
	r.fail(err)
	return r, nil
}

func (r *batchRequest) decode(b []byte) {
	r.events = nil
	r.err = eachField(b, func(n protowire.Number, value []byte, _ uint64) error {
		if n != fieldEvents {
			return nil
		}
		e := &received{size: len(value)}
		err := e.decode(value, fieldBatchKey, fieldBatchCloud, r.maxEvent)
		e.seq = int64(len(r.events) + 1) // KeyedEvent has none: its place in the batch
		e.fail(err)
		r.events = append(r.events, e)
		return nil
	})
}

// decode reads a StreamEvent or a KeyedEvent, whose fields have different numbers. The
// number seq of a KeyedEvent means nothing.
func (r *received) decode(b []byte, key, cloud protowire.Number, maxEvent int) error {
	var event []byte
	found := false
	err := eachField(b, func(n protowire.Number, value []byte, number uint64) error {
		switch {
		case n == key && value != nil:
			r.key = append([]byte{}, value...)
		case n == cloud && value != nil:
			if found {
				return errTwice
			}
			event, found = value, true
		case n == fieldSeq && value == nil:
			r.seq = int64(number)
		}
		return nil
	})
	switch {
	case len(b) > maxEvent:
		r.tooLarge = true
		return err
	case err != nil:
		return err
	case !found:
		return errors.New("it has no event")
	}
	r.event = new(cepb.CloudEvent)
	if err := proto.Unmarshal(event, r.event); err != nil {
		return fmt.Errorf("read the CloudEvent: %w", err)
	}
	return nil
}

// fail records why the event cannot be decoded; nil: it was.
func (r *received) fail(err error) {
	if err != nil && !r.tooLarge {
		r.event, r.broken = nil, err
	}
}

// eachField calls f for each field of a serialized message. value is nil for a field
// that has no bytes; number is set for a varint.
func eachField(b []byte, f func(n protowire.Number, value []byte, number uint64) error) error {
	for len(b) > 0 {
		n, kind, size := protowire.ConsumeTag(b)
		if size < 0 {
			return fmt.Errorf("read the message: %w", protowire.ParseError(size))
		}
		b = b[size:]
		var value []byte
		var number uint64
		switch kind {
		case protowire.BytesType:
			value, size = protowire.ConsumeBytes(b)
		case protowire.VarintType:
			number, size = protowire.ConsumeVarint(b)
		default:
			size = protowire.ConsumeFieldValue(n, kind, b)
		}
		if size < 0 {
			return fmt.Errorf("read the message: %w", protowire.ParseError(size))
		}
		if kind == protowire.BytesType && value == nil {
			value = []byte{}
		}
		b = b[size:]
		if err := f(n, value, number); err != nil {
			return err
		}
	}
	return nil
}
