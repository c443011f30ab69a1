// Package harness is the environment of every fault scenario: a real Kafka, fiso-flow processes, a
// producer, the HTTP service that they deliver to, and the ledger that records everything.
package harness

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/lsm/fiso/connectors/kafka/kafkatest"
	"github.com/lsm/fiso/e2e/faults/internal/ledger"
)

// Scenario is one kind of fault.
type Scenario struct {
	// Name is the name of its package.
	Name string
	// Title describes the scenario in one line.
	Title string
	// Brokers is how many brokers it needs.
	Brokers int
	// Config is added to the server.properties of each broker.
	Config map[string]string
	// Faults is the number of faults at scale 1.
	Faults int
	// Scale is multiplied with the scale of the Config; 0: 1.
	Scale float64
	// Size returns the size of record n; nil: 500 bytes.
	Size func(n int) int
	// Run runs the scenario. An error makes the scenario fail.
	Run func(ctx context.Context, s *Env) error
	// Parts, if any, run concurrently instead of Run, each with its own topic, processes
	// and result.
	Parts []Scenario
}

// Partitions is the number of partitions of each topic.
const Partitions = 6

// keys is the number of different keys; all events of a key are in one partition.
const keys = 600

// Env is one running scenario.
type Env struct {
	Scenario
	Kafka *kafkatest.Processes
	// Service is where events are delivered.
	Service *Service
	Ledger  *ledger.Ledger
	// Flow is the settings of the flow that all members run.
	Flow Flow
	// Topic is the topic of the events, DeadLetterTopic that of the dead letters.
	Topic, DeadLetterTopic string
	// Wrapper is the command that starts each process: its arguments are followed
	// by those of fiso-flow. Empty: none.
	Wrapper []string
	// Settled, if not nil, reports that a further sink has all its events; Finish
	// waits for that too.
	Settled func() bool
	// Rand is for choices; the scenario's own goroutine uses it.
	Rand *rand.Rand

	dir    string
	binary string
	log    func(format string, args ...any)
	begun  time.Time
	faults int
	notes  []string

	recovered time.Duration

	mu      sync.Mutex
	members []*Member
	started int
	err     error // of background goroutines

	producer   *Producer
	background sync.WaitGroup
	cancel     context.CancelFunc
}

// Config is the environment of all scenarios.
type Config struct {
	Kafka  *kafkatest.Processes
	Dir    string // working directory
	Binary string // fiso-flow
	Scale  float64
	Log    func(format string, args ...any)
}

var runs struct {
	sync.Mutex
	n int
}

// Run runs a scenario and judges it.
func Run(ctx context.Context, sc Scenario, c Config) Result {
	runs.Lock()
	runs.n++
	name := fmt.Sprintf("%s%d", sc.Name, runs.n)
	runs.Unlock()
	s := &Env{
		Scenario: sc, Kafka: c.Kafka, Topic: name, DeadLetterTopic: "fiso-dlq-" + name,
		Rand: rand.New(rand.NewPCG(1, 2)), dir: filepath.Join(c.Dir, name), binary: c.Binary, begun: time.Now(),
	}
	s.Scale = cmp.Or(s.Scale, 1) * c.Scale
	if s.Size == nil {
		s.Size = func(int) int { return 500 }
	}
	s.log = func(format string, args ...any) {
		c.Log("%-11s %4.0f s  %s", sc.Name, time.Since(s.begun).Seconds(), fmt.Sprintf(format, args...))
	}
	s.Flow = defaultFlow(name)
	s.Ledger = ledger.New(ledger.Options{Topic: name, Partitions: Partitions, Size: s.Size})
	ctx, s.cancel = context.WithCancel(ctx)
	defer s.cancel()
	err := s.setUp(ctx)
	if err == nil {
		err = sc.Run(ctx, s)
	}
	if err == nil {
		err = s.failure()
	}
	return s.tearDown(err)
}

// setUp starts everything except the members.
func (s *Env) setUp(ctx context.Context) (err error) {
	if err := os.MkdirAll(s.dir, 0o755); err != nil {
		return fmt.Errorf("create a working directory: %w", err)
	}
	if err := s.Kafka.CreateTopic(ctx, s.Topic, Partitions, map[string]string{"max.message.bytes": "16777216"}); err != nil {
		return err
	}
	if err := s.Kafka.CreateTopic(ctx, s.DeadLetterTopic, 1, map[string]string{"max.message.bytes": "16777216"}); err != nil {
		return err
	}
	if s.Service, err = newService(ctx, s.Ledger); err != nil {
		return err
	}
	if s.producer, err = newProducer(s); err != nil {
		return err
	}
	deadLetters, err := newDeadLetterReader(s)
	if err != nil {
		return err
	}
	s.runInBackground(func() error { return deadLetters.run(ctx) })
	commits, err := newCommitReader(s)
	if err != nil {
		return err
	}
	s.runInBackground(func() error { return commits.run(ctx) })
	return nil
}

// runInBackground runs do in a goroutine. Its failure fails the scenario.
func (s *Env) runInBackground(do func() error) {
	s.background.Go(func() {
		if err := do(); err != nil {
			s.fail(err)
		}
	})
}

func (s *Env) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = errors.Join(s.err, err)
}

// failure returns the error of a goroutine or a member.
func (s *Env) failure() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return s.err
	}
	for _, m := range s.members {
		if err := m.unexpectedExit(); err != nil {
			return err
		}
	}
	return nil
}

// Log prints progress.
func (s *Env) Log(format string, args ...any) { s.log(format, args...) }

// Fault counts a fault that is about to happen, and prints progress from time to time.
func (s *Env) Fault(what string, of int) {
	s.faults++
	if of <= 20 || s.faults%10 == 0 || s.faults == of {
		s.log("%s %d of %d, %d delivered", what, s.faults, of, s.Ledger.Count())
	}
}

// Outage records that brokers go down now. Call over when commits are possible again.
func (s *Env) Outage() (over func()) {
	from := time.Now().Add(-s.Flow.commitInterval() - commitSlack)
	return func() { s.Ledger.Outage(from, time.Now().Add(s.Flow.SessionTimeout)) }
}

// ScaledCount returns n times the scale, at least 1.
func (s *Env) ScaledCount(n int) int { return max(1, int(float64(n)*s.Scale+0.5)) }

// Scaled returns d times the scale, at least least.
func (s *Env) Scaled(d, least time.Duration) time.Duration {
	return max(least, time.Duration(float64(d)*s.Scale))
}

// Dir is a directory for files of the scenario.
func (s *Env) Dir() string { return s.dir }

// Between is a random time from a to b.
func (s *Env) Between(a, b time.Duration) time.Duration {
	return a + time.Duration(s.Rand.Int64N(int64(b-a)+1))
}

// Wait waits for d.
func (s *Env) Wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return s.failure()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// WaitUntil waits for a condition, and fails after limit.
func (s *Env) WaitUntil(ctx context.Context, what string, limit time.Duration, ok func() bool) error {
	deadline := time.Now().Add(limit)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		if err := s.failure(); err != nil {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s: not after %v%s", what, limit, s.lastLogs())
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// WaitDelivered waits until n more events are delivered.
func (s *Env) WaitDelivered(ctx context.Context, n int) error {
	target := s.Ledger.Count() + n
	return s.WaitUntil(ctx, fmt.Sprintf("delivering %d more", n), time.Minute, func() bool { return s.Ledger.Count() >= target })
}

// Admin returns a client for requests that the Admin of the cluster lacks; call closed to close
// it.
func (s *Env) Admin() (adm *kadm.Client, closed func(), err error) {
	adm, err = kadm.NewOptClient(kgo.SeedBrokers(s.Kafka.Brokers()...), kgo.DisableClientMetrics())
	if err != nil {
		return nil, nil, fmt.Errorf("create a client: %w", err)
	}
	return adm, adm.Close, nil
}
