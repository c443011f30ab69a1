// Package demo shows fiso-flow with an embedded Kafka broker and a small order service. The demo
// produces orders, some of which cannot be delivered, makes the service unavailable for a while,
// changes the flow while it runs, and ends with totals that show that no event was lost.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/lsm/fiso/connectors/kafka"
	"github.com/lsm/fiso/connectors/kafka/kafkatest"

	_ "embed"
)

// Options configure the demo.
type Options struct {
	// Out is where the demo prints. Terminal: Out is a terminal that can be redrawn.
	Out      io.Writer
	Terminal bool
	// Length is how long orders are produced; default 15 s. The outage of the service and the
	// reload of the flow happen at fixed fractions of it.
	Length time.Duration
	// Keep keeps everything running after the totals, until ctx ends.
	Keep bool
	// Run runs fiso-flow on a directory of flow files until ctx ends. It calls listening with the
	// address of the metrics.
	Run func(ctx context.Context, dir string, log io.Writer, listening func(addr string)) error
}

// ErrTotalsWrong is returned when the totals do not add up.
var ErrTotalsWrong = errors.New("the totals do not add up")

//go:embed order-events.yaml
var flowFile string

// The change of the flow during the demo: one more field.
const (
	oldField = `"status": data.order_status}`
	newField = `"status": data.order_status, "amount_cents": data.amount_cents}`
)

const (
	topic         = "orders"
	deadLetters   = "fiso-dlq-order-events"
	perSecond     = 24
	settleTimeout = 30 * time.Second
)

// demo is the state of a running demo.
type demo struct {
	opts    Options
	ledger  *ledger
	service *service
	dir     string // directory of the flow files and the log
	metrics atomic.Value
	brokers []string
}

// Run runs the demo and returns nil if the totals add up. It ends early when ctx ends.
func Run(ctx context.Context, opts Options) error {
	if opts.Length == 0 {
		opts.Length = 15 * time.Second
	}
	s := &demo{opts: opts, ledger: newLedger()}
	s.service = &service{ledger: s.ledger}
	return s.run(ctx)
}

func (s *demo) run(ctx context.Context) (err error) {
	ctx, cancel := context.WithCancel(ctx)
	var running workers
	defer func() { // wait for everything that was started here
		cancel()
		err = errors.Join(err, running.wait())
	}()

	cluster, err := kafkatest.Start(kafkatest.Options{Topics: map[string]int32{topic: 3}})
	if err != nil {
		return fmt.Errorf("start the embedded broker: %w", err)
	}
	defer cluster.Close()
	s.brokers = cluster.Brokers()

	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("start the order service: %w", err)
	}
	server := &http.Server{Handler: s.service, ReadHeaderTimeout: 5 * time.Second}
	running.start(func() error { return ended(server.Serve(listener), http.ErrServerClosed) })
	running.start(func() error { <-ctx.Done(); return server.Close() })

	remove, err := s.writeFlow("http://" + listener.Addr().String())
	if err != nil {
		return err
	}
	defer remove()
	s.printIntroduction()
	return s.runStory(ctx, &running)
}

// writeFlow writes the flow file to a new directory, with the addresses of this demo's broker and
// service.
func (s *demo) writeFlow(serviceURL string) (remove func(), err error) {
	s.dir, err = os.MkdirTemp("", "fiso-demo-")
	if err != nil {
		return nil, fmt.Errorf("create a directory for the flow: %w", err)
	}
	remove = func() { _ = os.RemoveAll(s.dir) } // in the temporary directory of the system, so errors do not matter
	text := strings.NewReplacer(
		"${KAFKA_BROKERS:-kafka.infra.svc:9092}", strings.Join(s.brokers, ","),
		"${ORDER_SERVICE:-http://order-service:8080}", serviceURL,
		"startOffset: latest", "startOffset: earliest",
	).Replace(flowFile)
	if err := s.save(text); err != nil {
		remove()
		return nil, err
	}
	return remove, nil
}

func (s *demo) path() string    { return filepath.Join(s.dir, "order-events.yaml") }
func (s *demo) logPath() string { return filepath.Join(s.dir, "fiso-flow.log") }

// save replaces the flow file atomically, as an editor does.
func (s *demo) save(text string) error {
	draft := s.path() + ".tmp"
	if err := os.WriteFile(draft, []byte(text), 0o600); err != nil {
		return fmt.Errorf("write the flow: %w", err)
	}
	if err := os.Rename(draft, s.path()); err != nil {
		return fmt.Errorf("write the flow: %w", err)
	}
	return nil
}

// runStory runs the steps of the demo: fiso-flow starts, orders arrive, the service fails and
// returns, the flow changes, the orders stop, and all orders settle.
func (s *demo) runStory(ctx context.Context, running *workers) error {
	log, err := os.Create(s.logPath())
	if err != nil {
		return fmt.Errorf("keep fiso-flow's log: %w", err)
	}
	defer func() { _ = log.Close() }() // the file is deleted with its directory

	flowCtx, stopFlow := context.WithCancel(ctx)
	defer stopFlow()
	flowEnded := running.start(func() error { return s.opts.Run(flowCtx, s.dir, log, func(addr string) { s.metrics.Store(addr) }) })
	running.start(func() error { return s.watchDeadLetters(ctx) })

	show := &screen{out: s.opts.Out, terminal: s.opts.Terminal, ledger: s.ledger, service: s.service, length: s.opts.Length}
	showCtx, stopShow := context.WithCancel(ctx)
	shown := running.start(func() error { show.run(showCtx); return nil })
	produced := running.start(func() error { return s.produce(ctx) })
	running.start(func() error { return s.incidents(ctx) })

	err = s.waitUntilSettled(ctx, produced, flowEnded)
	stopShow()
	<-shown
	if err != nil {
		return err
	}
	s.printTotals()
	if s.opts.Keep && s.ledger.totals().addUp() {
		s.waitForInterrupt()
		<-ctx.Done()
	}
	stopFlow()
	<-flowEnded // let the flow stop before the broker does
	if t := s.ledger.totals(); !t.addUp() {
		return fmt.Errorf("%w: %d orders missing, %d in the wrong place, %d duplicates, %d out of order",
			ErrTotalsWrong, len(t.lost), len(t.unexpected), t.duplicates, len(t.disorder))
	}
	return nil
}

// waitUntilSettled waits until every produced order is delivered or a dead letter.
func (s *demo) waitUntilSettled(ctx context.Context, produced, flowEnded <-chan struct{}) error {
	var deadline <-chan time.Time
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return stopped(ctx)
		case <-flowEnded:
			if ctx.Err() != nil {
				return stopped(ctx) // fiso-flow got the same signal and stopped first
			}
			return errors.New("fiso-flow ended before the demo did")
		case <-produced:
			produced, deadline = nil, time.After(settleTimeout)
		case <-deadline:
			return nil // the totals show what is missing
		case <-tick.C:
			if produced == nil && s.ledger.totals().waiting == 0 {
				return nil
			}
		}
	}
}

func stopped(ctx context.Context) error {
	return fmt.Errorf("stopped before the end: %w", context.Cause(ctx))
}

// produce sends orders at a constant rate.
func (s *demo) produce(ctx context.Context) error {
	p, err := kafka.NewProducer(kafka.ProducerConfig{ClientConfig: kafka.ClientConfig{Brokers: s.brokers}}, kafka.ProducerOptions{})
	if err != nil {
		return fmt.Errorf("produce orders: %w", err)
	}
	defer func() { _ = p.Close(context.WithoutCancel(ctx)) }() // every order is already acknowledged
	var make orders
	tick := time.NewTicker(time.Second / perSecond)
	defer tick.Stop()
	end := time.After(s.opts.Length)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-end:
			s.ledger.addNews("■", "the last order is produced")
			return nil
		case <-tick.C:
			o := make.next()
			s.ledger.orderProduced(o)
			if err := p.Produce(ctx, kafka.Record{Topic: topic, Key: []byte(o.key), Value: o.value}); err != nil {
				return fmt.Errorf("produce order %s: %w", o.id, err)
			}
		}
	}
}

// incidents causes the failures and the change of the flow, at fixed fractions of the demo's
// length.
func (s *demo) incidents(ctx context.Context) error {
	steps := []struct {
		at float64
		do func() error
	}{
		{0.25, func() error {
			s.service.away.Store(true)
			s.ledger.addNews("!", "the order service fails: it answers 503")
			return nil
		}},
		{0.40, func() error {
			s.service.away.Store(false)
			s.ledger.addNews("!", "the order service is back")
			return nil
		}},
		{0.60, func() error {
			text, err := os.ReadFile(s.path())
			if err != nil {
				return fmt.Errorf("change the flow: %w", err)
			}
			s.ledger.addNews("★", "the flow file is saved with one more field: fiso-flow reloads it")
			return s.save(strings.Replace(string(text), oldField, newField, 1))
		}},
	}
	for _, step := range steps {
		at := s.ledger.start.Add(time.Duration(step.at * float64(s.opts.Length)))
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(time.Until(at)):
			if err := step.do(); err != nil {
				return err
			}
		}
	}
	return nil
}
