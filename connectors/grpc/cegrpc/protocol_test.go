package cegrpc

import (
	"context"
	"strings"
	"testing"

	cloudevents "github.com/cloudevents/sdk-go/v2"
	"go.uber.org/goleak"

	"github.com/lsm/fiso/common/cloudevent"
	"github.com/lsm/fiso/common/connector"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// loopback is a sink and a source: it hands over what it is sent, as the source of package
// fisogrpc does, in the binary mode.
type loopback struct{ sent chan *connector.Message }

func (l *loopback) Guarantees() connector.Guarantees { return connector.Guarantees{} }

// Settled is the answer to Send.
func (l *loopback) Settled(*connector.Message, error) {}

func (l *loopback) Send(_ context.Context, e *cloudevent.Event) error {
	m := &connector.Message{Key: e.Key, Value: e.Data.Bytes()}
	for name, value := range e.Attributes {
		m.Headers = append(m.Headers, connector.Header{Key: "ce_" + name, Value: []byte(value)})
	}
	m.Headers = append(m.Headers, connector.Header{Key: "content-type", Value: []byte(e.DataContentType)})
	m.Bind(l)
	l.sent <- m
	return nil
}

func (l *loopback) Run(ctx context.Context, handle connector.Handler) error {
	all := connector.NewAssignment(ctx, "events")
	for {
		select {
		case m := <-l.sent:
			handle(all, []*connector.Message{m})
		case <-ctx.Done():
			return nil
		}
	}
}

func (l *loopback) Close(context.Context) error { return nil }

func TestNew_isAProtocolOfTheSDKBothWays(t *testing.T) {
	both := &loopback{sent: make(chan *connector.Message, 1)}
	p := New(both, both)
	client, err := cloudevents.NewClient(p)
	if err != nil {
		t.Fatal(err)
	}
	e := cloudevents.NewEvent()
	e.SetID("1")
	e.SetSource("/shop")
	e.SetType("order.created")
	if err := e.SetData(cloudevents.ApplicationJSON, map[string]int{"total": 42}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if result := client.Send(ctx, e); !cloudevents.IsACK(result) {
		t.Fatal(result)
	}
	var got cloudevents.Event
	err = client.StartReceiver(ctx, func(e cloudevents.Event) {
		got = e
		cancel()
	})
	if err != nil || got.ID() != "1" || string(got.Data()) != `{"total":42}` {
		t.Errorf("received %v, %v", got, err)
	}
	if err := p.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestNew_saysWhoseProtocolLacksASide(t *testing.T) {
	if err := New(nil, nil).OpenInbound(t.Context()); err == nil || !strings.HasPrefix(err.Error(), "cegrpc: open inbound: the protocol has no source") {
		t.Errorf("%v", err)
	}
}
