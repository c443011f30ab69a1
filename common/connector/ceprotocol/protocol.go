package ceprotocol

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/cloudevents/sdk-go/v2/binding"
	"github.com/cloudevents/sdk-go/v2/protocol"
	"github.com/lsm/fiso/common/cloudevent/cesdk"
	"github.com/lsm/fiso/common/connector"
)

// Protocol sends by a sink and receives from a source; either may be nil. It is safe
// for concurrent use.
type Protocol struct {
	name   string
	source connector.Source
	sink   connector.Sink

	incoming chan delivery
	closed   chan struct{}
	once     sync.Once
}

type delivery struct {
	ctx context.Context
	m   *connector.Message
}

var (
	_ protocol.Sender   = (*Protocol)(nil)
	_ protocol.Receiver = (*Protocol)(nil)
	_ protocol.Opener   = (*Protocol)(nil)
	_ protocol.Closer   = (*Protocol)(nil)
)

// New returns a protocol over a source and a sink, either of which may be nil. Close
// closes the sink; OpenInbound runs the source. Errors begin with name.
func New(name string, source connector.Source, sink connector.Sink) *Protocol {
	return &Protocol{name: name, source: source, sink: sink, incoming: make(chan delivery), closed: make(chan struct{})}
}

// OpenInbound runs the source until ctx ends or the protocol is closed.
func (p *Protocol) OpenInbound(ctx context.Context) error {
	if p.source == nil {
		return errors.New(p.name + ": open inbound: the protocol has no source; pass one to New")
	}
	ctx, cancel := context.WithCancel(ctx)
	defer context.AfterFunc(ctx, p.stop)()
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		select {
		case <-p.closed:
			cancel()
		case <-ctx.Done():
		}
	}()
	defer func() {
		p.stop()
		cancel()
		<-watched
	}()
	return p.source.Run(ctx, connector.Each(func(ctx context.Context, m *connector.Message) {
		select {
		case p.incoming <- delivery{ctx, m}:
		case <-ctx.Done():
			m.Settle(connector.ErrInterrupted)
		case <-p.closed:
			m.Settle(connector.ErrInterrupted)
		}
	}))
}

// Receive returns the next message, or io.EOF when the source has ended. A message that
// is not a CloudEvent is a message of unknown encoding, which the SDK refuses.
func (p *Protocol) Receive(ctx context.Context) (binding.Message, error) {
	select {
	case d := <-p.incoming:
		return newMessage(d), nil
	case <-ctx.Done():
		return nil, io.EOF
	case <-p.closed:
		return nil, io.EOF
	}
}

// Send applies the transformers to a message, sends it, and returns once the sink says
// that the destination has it.
func (p *Protocol) Send(ctx context.Context, in binding.Message, transformers ...binding.Transformer) (err error) {
	defer func() { err = errors.Join(err, in.Finish(err)) }()
	if p.sink == nil {
		return errors.New(p.name + ": send: the protocol has no sink; pass one to New")
	}
	e, err := binding.ToEvent(ctx, in, transformers...)
	if err != nil {
		return fmt.Errorf("%s: send: read the message: %w", p.name, err)
	}
	out, err := cesdk.From(*e)
	if err != nil {
		return fmt.Errorf("%s: send: %w", p.name, err)
	}
	// The bindings of CloudEvents to protocols with keys take the key from this extension.
	if key, ok := out.Extension(partitionKey); ok {
		out.Key = []byte(key)
	}
	return p.sink.Send(ctx, out)
}

// partitionKey is the extension that holds the key.
const partitionKey = "partitionkey"

// Close ends receiving and closes the sink. It may be called twice.
func (p *Protocol) Close(ctx context.Context) error {
	p.stop()
	if p.sink == nil {
		return nil
	}
	return p.sink.Close(ctx)
}

func (p *Protocol) stop() { p.once.Do(func() { close(p.closed) }) }
