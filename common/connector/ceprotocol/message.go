package ceprotocol

import (
	"context"

	"github.com/cloudevents/sdk-go/v2/binding"
	"github.com/cloudevents/sdk-go/v2/binding/spec"
	"github.com/cloudevents/sdk-go/v2/protocol"
	"github.com/lsm/fiso/common/cloudevent"
	"github.com/lsm/fiso/common/cloudevent/cesdk"
	"github.com/lsm/fiso/common/connector"
)

// message is a message of a source as the SDK sees it. It is a binding.MessageWrapper, because
// binding.ToEvent loops for ever on an event inside a type that is not.
type message struct {
	wrapped // the event, or unknown
	from    delivery
}

type wrapped interface {
	binding.Message
	binding.MessageMetadataReader
}

var _ binding.MessageWrapper = (*message)(nil)

func newMessage(d delivery) *message {
	m := &message{wrapped: unknown{}, from: d}
	if e, ok := read(d.m); ok {
		if sdk, err := cesdk.To(e); err == nil {
			m.wrapped = (*binding.EventMessage)(&sdk)
		}
	}
	return m
}

// read returns the CloudEvent of a message, in the binary or the structured mode.
func read(m *connector.Message) (*cloudevent.Event, bool) {
	var signs cloudevent.ModeDetector
	for _, h := range m.Headers {
		signs.Add(h.Key, h.Value)
	}
	e := new(cloudevent.Event)
	mode, err := signs.Mode()
	switch {
	case err != nil || mode != cloudevent.Binary && mode != cloudevent.Structured:
		return nil, false // a source hands over the events of a batch one by one
	case mode == cloudevent.Structured:
		err = cloudevent.ParseJSON(m.Value, e)
		return e, err == nil
	}
	_, err = cloudevent.FromHeaders(signs.Prefix, func(yield func(string, []byte) bool) {
		for _, h := range m.Headers {
			if !yield(h.Key, h.Value) {
				return
			}
		}
	}, e)
	e.Data = cloudevent.Bytes(m.Value)
	return e, err == nil
}

// GetWrappedMessage returns the event.
func (m *message) GetWrappedMessage() binding.Message { return m.wrapped }

// Context returns the context of the assignment, which ends when it is taken
// away from the source.
func (m *message) Context() context.Context { return m.from.ctx }

// Finish settles the message.
func (m *message) Finish(err error) error {
	if protocol.IsACK(err) {
		err = nil
	}
	m.from.m.Settle(err)
	return nil
}

// unknown is a message that is not a CloudEvent.
type unknown struct{}

func (unknown) ReadEncoding() binding.Encoding { return binding.EncodingUnknown }
func (unknown) ReadStructured(context.Context, binding.StructuredWriter) error {
	return binding.ErrUnknownEncoding
}
func (unknown) ReadBinary(context.Context, binding.BinaryWriter) error {
	return binding.ErrUnknownEncoding
}
func (unknown) Finish(error) error                           { return nil }
func (unknown) GetAttribute(spec.Kind) (spec.Attribute, any) { return nil, nil }
func (unknown) GetExtension(string) any                      { return nil }
