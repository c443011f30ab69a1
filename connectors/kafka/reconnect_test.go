package kafka

import (
	"context"
	"errors"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lsm/fiso/connectors/kafka/kafkatest"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
)

// link is a network whose connections can be closed and refused.
type link struct {
	kfake.VirtualNetwork
	mu    sync.Mutex
	cut   bool
	conns []net.Conn
}

func (l *link) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cut {
		return nil, &net.OpError{Op: "dial", Net: network, Err: errors.New("connection refused")}
	}
	c, err := l.DialContext(ctx, network, addr)
	if err == nil {
		l.conns = append(l.conns, c)
	}
	return c, err
}

func (l *link) set(cut bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cut = cut
	for _, c := range l.conns {
		_ = c.Close()
	}
	l.conns = nil
}

// With franz-go's own backoff, 5 s may pass before it notices that a broker is back.
func TestProducer_noticesTheReturnOfItsBrokerWithinTwoSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l link
		c, err := kafkatest.Start(kafkatest.Options{
			Topics: map[string]int32{"t": 1},
			Port:   9092, Options: []kfake.Opt{kfake.ListenFn(l.Listen)}, Client: []kgo.Opt{kgo.Dialer(l.DialContext)},
		})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		p, err := NewProducer(ProducerConfig{ClientConfig: ClientConfig{Brokers: c.Brokers()}, DeliveryTimeout: time.Hour}, ProducerOptions{Dial: l.dial})
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close(t.Context()) //nolint:errcheck // nothing is in flight
		if err := p.Produce(t.Context(), Record{Topic: "t", Value: []byte("before")}); err != nil {
			t.Fatal(err)
		}
		l.set(true)
		stored := make(chan error, 1)
		go func() { stored <- p.Produce(t.Context(), Record{Topic: "t", Value: []byte("while it is away")}) }()
		<-time.After(10 * time.Minute)
		back := time.Now()
		l.set(false)
		if err := <-stored; err != nil {
			t.Error(err)
		}
		if took := time.Since(back); took > 2*time.Second {
			t.Errorf("the record was stored %v after the return", took)
		}
	})
}
