package ceprotocol

import (
	"context"
	"errors"
	"io"
	"testing"

	"github.com/cloudevents/sdk-go/v2/binding"
	"github.com/cloudevents/sdk-go/v2/binding/spec"
	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/cloudevents/sdk-go/v2/protocol"
	"github.com/lsm/fiso/common/cloudevent"
	"github.com/lsm/fiso/common/connector"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// messages is a source that hands over its messages once, and then waits.
type messages []*connector.Message

func (s messages) Guarantees() connector.Guarantees { return connector.Guarantees{} }

func (s messages) Run(ctx context.Context, handle connector.Handler) error {
	handle(connector.NewAssignment(ctx, "t-0"), s)
	<-ctx.Done()
	return nil
}

// recordingSink is a sink that keeps the events it is sent.
type recordingSink struct {
	events []*cloudevent.Event
	closed int
}

func (s *recordingSink) Send(_ context.Context, e *cloudevent.Event) error {
	s.events = append(s.events, e)
	return nil
}
func (s *recordingSink) Close(context.Context) error { s.closed++; return nil }

// verdict records how a message was settled.
type verdict struct{ err error }

func (v *verdict) Settled(_ *connector.Message, err error) { v.err = err }

func boundMessage(v *verdict, value string, headers ...string) *connector.Message {
	m := &connector.Message{Value: []byte(value)}
	for i := 0; i < len(headers); i += 2 {
		m.Headers = append(m.Headers, connector.Header{Key: headers[i], Value: []byte(headers[i+1])})
	}
	m.Bind(v)
	return m
}

func open(t *testing.T, p *Protocol) {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- p.OpenInbound(context.Background()) }()
	t.Cleanup(func() {
		if err := errors.Join(p.Close(context.Background()), p.Close(context.Background()), <-done); err != nil {
			t.Error(err)
		}
	})
}

func TestProtocol_readsBothModesAndSettlesWhenFinished(t *testing.T) {
	var binary, structured, refused verdict
	p := New("cetest", messages{
		boundMessage(&binary, `{"a":1}`, "ce_specversion", "1.0", "ce_id", "b", "ce_source", "/s", "ce_type", "t", "content-type", "application/json"),
		boundMessage(&structured, `{"specversion":"1.0","id":"s","source":"/s","type":"t","data":{"a":1}}`, "content-type", "application/cloudevents+json; charset=UTF-8"),
		boundMessage(&refused, `{"specversion":"1.0","id":"r","source":"/s","type":"t"}`, "content-type", "application/cloudevents+json"),
	}, nil)
	open(t, p)
	for _, want := range []struct {
		id     string
		finish error
		v      *verdict
	}{{"b", nil, &binary}, {"s", protocol.ResultACK, &structured}, {"r", errors.New("no"), &refused}} {
		m, err := p.Receive(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		want.v.err = io.ErrUnexpectedEOF
		e, err := binding.ToEvent(t.Context(), m)
		if err != nil || e.ID() != want.id {
			t.Fatalf("event %v, %v; want %s", e, err, want.id)
		}
		if m.(binding.MessageContext).Context() == nil {
			t.Error("no context")
		}
		if err := m.Finish(want.finish); err != nil {
			t.Error(err)
		}
		if settled := want.v.err; (want.id == "r") != (settled != nil) {
			t.Errorf("%s settled with %v", want.id, settled)
		}
	}
}

// U3: the content type decides, and the envelope counts.
func TestProtocol_readsTheEnvelopeAndNotTheCopiesOfItsAttributes(t *testing.T) {
	copies := []string{"ce_specversion", "1.0", "ce_id", "outside", "ce_source", "/outside", "ce_type", "outside"}
	for contentType, want := range map[string]string{
		"application/cloudevents+json": "inside", "Application/CloudEvents+JSON; charset=utf8": "inside", "application/json": "outside",
		"application/cloudevents+avro": "", "application/cloudevents-batch+json": "", "application/cloudevents+json; charset=latin1": "",
	} {
		var v verdict
		m := newMessage(delivery{m: boundMessage(&v, `{"specversion":"1.0","id":"inside","source":"/s","type":"t","data":{"a":1}}`, append(copies, "content-type", contentType)...)})
		e, err := binding.ToEvent(t.Context(), m)
		if want == "" {
			if err == nil || m.ReadEncoding() != binding.EncodingUnknown {
				t.Errorf("%s: %v, %v", contentType, e, err)
			}
		} else if err != nil || e.ID() != want {
			t.Errorf("%s: %v, %v, want %s", contentType, e, err, want)
		}
	}
}

func TestProtocol_aMessageThatIsNoEventIsOfUnknownEncoding(t *testing.T) {
	var v verdict
	p := New("cetest", messages{boundMessage(&v, "plain"), boundMessage(&v, "{", "content-type", cloudevent.ContentTypeJSON)}, nil)
	open(t, p)
	for range 2 {
		m, err := p.Receive(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if m.ReadEncoding() != binding.EncodingUnknown || m.ReadStructured(t.Context(), nil) == nil || m.ReadBinary(t.Context(), nil) == nil {
			t.Errorf("encoding %v", m.ReadEncoding())
		}
		u := m.(*message).GetWrappedMessage().(unknown)
		if attribute, value := u.GetAttribute(spec.ID); attribute != nil || value != nil || u.GetExtension("x") != nil || u.Finish(nil) != nil {
			t.Error("a message that is no event has attributes")
		}
		_ = m.Finish(errors.New("no event"))
	}
}

func TestProtocol_endsWithEOF(t *testing.T) {
	var v verdict
	m := boundMessage(&v, "never received")
	p := New("cetest", messages{m}, nil)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- p.OpenInbound(ctx) }()
	over, end := context.WithCancel(t.Context())
	end()
	if _, err := p.Receive(over); !errors.Is(err, io.EOF) && err != nil {
		t.Errorf("Receive with a context that ended: %v", err)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if _, err := p.Receive(t.Context()); !errors.Is(err, io.EOF) {
		t.Errorf("Receive after the end: %v", err)
	}
}

func TestProtocol_sends(t *testing.T) {
	var s recordingSink
	p := New("cetest", nil, &s)
	e := event.New()
	e.SetID("1")
	e.SetSource("/s")
	e.SetType("t")
	e.SetExtension(partitionKey, "k")
	if err := p.Send(t.Context(), binding.ToMessage(&e)); err != nil {
		t.Fatal(err)
	}
	if len(s.events) != 1 || s.events[0].ID != "1" || string(s.events[0].Key) != "k" {
		t.Errorf("sent %+v", s.events)
	}
	if err := p.Send(t.Context(), unknown{}); !errors.Is(err, binding.ErrUnknownEncoding) {
		t.Errorf("an unknown message: %v", err)
	}
	if err := p.OpenInbound(t.Context()); err == nil || err.Error() != "cetest: open inbound: the protocol has no source; pass one to New" {
		t.Errorf("OpenInbound without a source: %v", err)
	}
	if err := New("cetest", nil, nil).Send(t.Context(), binding.ToMessage(&e)); err == nil || err.Error() != "cetest: send: the protocol has no sink; pass one to New" {
		t.Errorf("Send without a sink: %v", err)
	}
	if err := errors.Join(p.Close(t.Context()), New("cetest", nil, nil).Close(t.Context())); err != nil || s.closed != 1 {
		t.Errorf("closed %d times, %v", s.closed, err)
	}
}
