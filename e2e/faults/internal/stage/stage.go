// Package stage is the environment of every fault scenario: a real Kafka, fiso-flow processes, a
// producer, the HTTP service that they deliver to, and the ledger that records everything.
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
	// Scale is multiplied with the scale of the Place; 0: 1.
	Scale float64
	// Size returns the size of record n; nil: 500 bytes.
	Size func(n int) int
	// Run runs the scenario. An error makes the scenario fail.
	Run func(ctx context.Context, s *Stage) error
	// Parts, if any, run concurrently instead of Run, each with its own topic, processes
	// and result.
	Parts []Scenario
}

// Partitions is the number of partitions of each topic.
const Partitions = 6

// keys is the number of different keys; all events of a key are in one partition.
const keys = 600

// Stage is one running scenario.
type Stage struct {
	Scenario
	Kafka *kafkatest.Processes
	// Service is where events are delivered.
	Service *Service
	Ledger  *ledger.Ledger
	// Flow is the settings of the flow that all members run.
	Flow Flow
	// Topic is the topic of the events, Letters that of the dead letters.
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
	err     error // of goroutines beside the scenario

	producer *Producer
	beside   sync.WaitGroup
	cancel   context.CancelFunc
}

// Place is where scenarios run.
type Place struct {
	Kafka  *kafkatest.Processes
	Dir    string // working directory
	Binary string // fiso-flow
	Scale  float64
	Say    func(format string, args ...any)
}

var runs struct {
	sync.Mutex
	n int
}

// Play runs a scenario and judges it.
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

// set starts everything except the members.
func (s *Stage) set(ctx context.Context) (err error) {
	if err := os.MkdirAll(s.dir, 0o755); err != nil {
		return fmt.Errorf("create a working directory: %w", err)
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

// aside runs do in a goroutine. Its failure fails the scenario.
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

// failure returns the error of a goroutine or a member.
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

// Say prints progress.
func (s *Stage) Say(format string, args ...any) { s.say(format, args...) }

// Fault counts a fault that is about to happen, and prints progress now and then.
func (s *Stage) Fault(what string, of int) {
	s.faults++
	if of <= 20 || s.faults%10 == 0 || s.faults == of {
		s.say("%s %d of %d, %d delivered", what, s.faults, of, s.Ledger.Count())
	}
}

// Outage records that brokers go down now. Call over when commits are possible again.
func (s *Stage) Outage() (over func()) {
	from := time.Now().Add(-s.Flow.commitInterval() - commitSlack)
	return func() { s.Ledger.Outage(from, time.Now().Add(s.Flow.SessionTimeout)) }
}

// Times returns n times the scale, at least 1.
func (s *Stage) Times(n int) int { return max(1, int(float64(n)*s.Scale+0.5)) }

// Long returns d times the scale, at least least.
func (s *Stage) Long(d, least time.Duration) time.Duration {
	return max(least, time.Duration(float64(d)*s.Scale))
}

// Dir is a folder for files of the scenario.
func (s *Stage) Dir() string { return s.dir }

// Between is a random time from a to b.
func (s *Stage) Between(a, b time.Duration) time.Duration {
	return a + time.Duration(s.Rand.Int64N(int64(b-a)+1))
}

// Wait waits for d.
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

// Until waits for a condition, and fails after limit.
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

// Admin returns a client for requests that the Admin of the cluster lacks; call closed to close
// it.
func (s *Stage) Admin() (adm *kadm.Client, closed func(), err error) {
	adm, err = kadm.NewOptClient(kgo.SeedBrokers(s.Kafka.Brokers()...), kgo.DisableClientMetrics())
	if err != nil {
		return nil, nil, fmt.Errorf("create a client: %w", err)
	}
	return adm, adm.Close, nil
}
