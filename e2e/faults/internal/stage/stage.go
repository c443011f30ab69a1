// Package stage is what every fault scenario plays on: a real Kafka, whole
// fiso-flow processes, a producer, an HTTP service that they deliver to, and
// the ledger that all of them report to.
package stage

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
	// Name is that of its folder.
	Name string
	// Title says in a line what is done.
	Title string
	// Brokers is how many it needs.
	Brokers int
	// Config is added to each broker's server.properties.
	Config map[string]string
	// Faults is how many there are in the long form.
	Faults int
	// Scale is the share of the long form to play, times that of the Place; 0: 1.
	Scale float64
	// Size is that of record n; nil: 500 bytes.
	Size func(n int) int
	// Run does it. What it does not finish is reported as a failure.
	Run func(ctx context.Context, s *Stage) error
	// Parts, if any, are played side by side in place of Run, each with a topic, processes
	// and a result of its own.
	Parts []Scenario
}

// Partitions is how many the topic of every scenario has.
const Partitions = 6

// keys is how many different keys the events have; each stands in one partition.
const keys = 600

// Stage is one scenario under way.
type Stage struct {
	Scenario
	Kafka *kafkatest.Processes
	// Service is where events are delivered to.
	Service *Service
	Ledger  *ledger.Ledger
	// Flow are the settings of the flow that all members run.
	Flow Flow
	// Topic and Letters are where events come from, and where dead letters go.
	Topic, Letters string
	// Wrapper is the command that starts each process: its arguments are followed
	// by those of fiso-flow. Empty: none.
	Wrapper []string
	// Settled, if not nil, says that a further sink has all it should have; Finish
	// waits for that too.
	Settled func() bool
	// Rand is for choices; the scenario's own goroutine uses it.
	Rand *rand.Rand

	dir    string
	binary string
	say    func(format string, args ...any)
	begun  time.Time
	faults int
	notes  []string

	recovered time.Duration

	mu      sync.Mutex
	members []*Member
	made    int
	err     error // of what runs beside the scenario

	producer *Producer
	beside   sync.WaitGroup
	cancel   context.CancelFunc
}

// Place is where scenarios are played.
type Place struct {
	Kafka  *kafkatest.Processes
	Dir    string // to work in
	Binary string // fiso-flow
	Scale  float64
	Say    func(format string, args ...any)
}

var runs struct {
	sync.Mutex
	n int
}

// Play plays a scenario and judges it.
func Play(ctx context.Context, sc Scenario, p Place) Result {
	runs.Lock()
	runs.n++
	name := fmt.Sprintf("%s%d", sc.Name, runs.n)
	runs.Unlock()
	s := &Stage{
		Scenario: sc, Kafka: p.Kafka, Topic: name, Letters: "fiso-dlq-" + name,
		Rand: rand.New(rand.NewPCG(1, 2)), dir: filepath.Join(p.Dir, name), binary: p.Binary, begun: time.Now(),
	}
	s.Scale = cmp.Or(s.Scale, 1) * p.Scale
	if s.Size == nil {
		s.Size = func(int) int { return 500 }
	}
	s.say = func(format string, args ...any) {
		p.Say("%-11s %4.0f s  %s", sc.Name, time.Since(s.begun).Seconds(), fmt.Sprintf(format, args...))
	}
	s.Flow = defaultFlow(name)
	s.Ledger = ledger.New(ledger.Options{Topic: name, Partitions: Partitions, Size: s.Size})
	ctx, s.cancel = context.WithCancel(ctx)
	defer s.cancel()
	err := s.set(ctx)
	if err == nil {
		err = sc.Run(ctx, s)
	}
	if err == nil {
		err = s.failure()
	}
	return s.end(err)
}

// set puts everything up but the members.
func (s *Stage) set(ctx context.Context) (err error) {
	if err := os.MkdirAll(s.dir, 0o755); err != nil {
		return fmt.Errorf("make a folder to work in: %w", err)
	}
	if err := s.Kafka.CreateTopic(ctx, s.Topic, Partitions, map[string]string{"max.message.bytes": "16777216"}); err != nil {
		return err
	}
	if err := s.Kafka.CreateTopic(ctx, s.Letters, 1, map[string]string{"max.message.bytes": "16777216"}); err != nil {
		return err
	}
	if s.Service, err = newService(ctx, s.Ledger); err != nil {
		return err
	}
	if s.producer, err = newProducer(s); err != nil {
		return err
	}
	letters, err := newReader(s)
	if err != nil {
		return err
	}
	s.aside(func() error { return letters.run(ctx) })
	commits, err := newWitness(s)
	if err != nil {
		return err
	}
	s.aside(func() error { return commits.run(ctx) })
	return nil
}

// aside runs do beside the scenario; its failure is the scenario's.
func (s *Stage) aside(do func() error) {
	s.beside.Go(func() {
		if err := do(); err != nil {
			s.fail(err)
		}
	})
}

func (s *Stage) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = errors.Join(s.err, err)
}

// failure is what went wrong beside the scenario, or with a member.
func (s *Stage) failure() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return s.err
	}
	for _, m := range s.members {
		if err := m.trouble(); err != nil {
			return err
		}
	}
	return nil
}

// Say tells how far the scenario is.
func (s *Stage) Say(format string, args ...any) { s.say(format, args...) }

// Fault counts a fault that is about to be made, and says so now and then.
func (s *Stage) Fault(what string, of int) {
	s.faults++
	if of <= 20 || s.faults%10 == 0 || s.faults == of {
		s.say("%s %d of %d, %d delivered", what, s.faults, of, s.Ledger.Count())
	}
}

// Outage notes that brokers go away now; the function that it returns, that
// commits are made again.
func (s *Stage) Outage() (over func()) {
	from := time.Now().Add(-s.Flow.commitInterval() - commitSlack)
	return func() { s.Ledger.Outage(from, time.Now().Add(s.Flow.SessionTimeout)) }
}

// Times is n, scaled, and at least one.
func (s *Stage) Times(n int) int { return max(1, int(float64(n)*s.Scale+0.5)) }

// Long is d, scaled, and at least least.
func (s *Stage) Long(d, least time.Duration) time.Duration {
	return max(least, time.Duration(float64(d)*s.Scale))
}

// Dir is a folder for files of the scenario.
func (s *Stage) Dir() string { return s.dir }

// Between is a random time from a to b.
func (s *Stage) Between(a, b time.Duration) time.Duration {
	return a + time.Duration(s.Rand.Int64N(int64(b-a)+1))
}

// Wait lets time pass.
func (s *Stage) Wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return s.failure()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Until waits for a condition, and fails when it does not come in time.
func (s *Stage) Until(ctx context.Context, what string, limit time.Duration, ok func() bool) error {
	deadline := time.Now().Add(limit)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		if err := s.failure(); err != nil {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s: not after %v%s", what, limit, s.lastWords())
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// Progress waits until n more events are delivered.
func (s *Stage) Progress(ctx context.Context, n int) error {
	target := s.Ledger.Count() + n
	return s.Until(ctx, fmt.Sprintf("delivering %d more", n), time.Minute, func() bool { return s.Ledger.Count() >= target })
}

// Admin is a client for what the cluster's own Admin does not do; closed ends it.
func (s *Stage) Admin() (adm *kadm.Client, closed func(), err error) {
	adm, err = kadm.NewOptClient(kgo.SeedBrokers(s.Kafka.Brokers()...), kgo.DisableClientMetrics())
	if err != nil {
		return nil, nil, fmt.Errorf("make a client: %w", err)
	}
	return adm, adm.Close, nil
}
