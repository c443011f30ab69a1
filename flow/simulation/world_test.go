//go:build synctests

package simulation

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/lsm/fiso/connectors/kafka/kafkatest"
)

const (
	topic       = "orders"
	letters     = "fiso-dlq-sim"
	group       = "g"
	partitions  = 6
	members     = 3
	brokers     = 3
	firstPort   = 9092
	serviceAddr = "127.0.0.1:8080"

	// settle is how long after the last fault everything may take to be settled and committed:
	// sessions expire, retries wait, a stopped line probes.
	settle = 5 * time.Minute
)

// world is a cluster, its members and the services that they deliver to.
type world struct {
	t        *testing.T
	plan     *plan
	history  *history
	net      kfake.VirtualNetwork
	sockets  *sockets
	kafka    *kafkatest.Cluster
	brokers  []string
	service  *service
	copy     *service // of copySink; nil: no copySink
	events   []*event
	members  []*member
	producer *kgo.Client

	lives    sync.WaitGroup // of members
	troubles sync.WaitGroup // faults in progress

	mu      sync.Mutex
	breaks  []string // rules that were seen to be broken during the run
	busy    map[string]bool
	added   int                  // number of added brokers
	heard   map[string]time.Time // last request of each group member, by id
	owners  map[int32]string     // member id by partition
	refuses int16                // error code of the cluster for dead letters; 0: stored
	batches map[batchID]bool     // batches of dead letters that were sent
	healed  bool
	stored  []stored
	ends    map[int32]int64
}

func newWorld(t *testing.T, p *plan) *world {
	w := &world{t: t, plan: p, history: &history{began: time.Now()}, busy: map[string]bool{}, heard: map[string]time.Time{}, batches: map[batchID]bool{}}
	w.events = makeEvents(newDice(p.seed, 2), p)
	w.sockets = &sockets{net: &w.net, conns: map[string][]net.Conn{}}
	topics := map[string]int32{topic: partitions}
	for _, t := range p.letterTopics() {
		topics[t] = 2
	}
	var err error
	w.kafka, err = kafkatest.Start(kafkatest.Options{
		Brokers: brokers, Port: firstPort, Topics: topics,
		Options: []kfake.Opt{kfake.ListenFn(w.sockets.Listen)}, Client: []kgo.Opt{kgo.Dialer(w.net.DialContext)},
	})
	if err != nil {
		t.Fatal(err)
	}
	w.brokers = w.kafka.Brokers()
	w.producer, err = kgo.NewClient(kgo.SeedBrokers(w.brokers...), kgo.Dialer(newWire(&w.net).Dial), kgo.DisableClientMetrics(),
		kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.UnknownTopicRetries(-1), kgo.ProducerBatchCompression(kgo.NoCompression()),
		kgo.ProducerLinger(0), kgo.MetadataMinAge(time.Second))
	if err != nil {
		t.Fatal(err)
	}
	w.observe()
	w.noteMembers()
	w.service = w.newService(mainSink, serviceAddr)
	if p.sinks != nil {
		w.copy = w.newService(copySink, copyAddr)
	}
	dir := t.TempDir()
	for n := range members {
		m := &member{w: w, name: string(rune('A' + n)), file: p.file}
		m.dir = filepath.Join(dir, m.name)
		if err := os.Mkdir(m.dir, 0o700); err != nil {
			t.Fatal(err)
		}
		w.members = append(w.members, m)
	}
	return w
}

func (w *world) since() time.Duration { return time.Since(w.history.began) }

// broken records a broken rule.
func (w *world) broken(format string, args ...any) {
	s := fmt.Sprintf(format, args...)
	w.history.note("BROKEN: %s", s)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.breaks = append(w.breaks, s)
}

func (w *world) event(n int) *event {
	w.mu.Lock()
	known := n >= 0 && n < len(w.events)
	var e *event
	if known {
		e = w.events[n]
	}
	w.mu.Unlock()
	if !known {
		w.broken("the service was sent event %d, which there is not", n)
	}
	return e
}

// addEvents adds events beyond the plan.
func (w *world) addEvents(events []*event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.events = append(w.events, events...)
}

// run runs the world from start to end.
func (w *world) run(ctx context.Context) {
	watched, unwatch := context.WithCancel(ctx)
	var watch sync.WaitGroup
	watch.Go(func() { w.watchCommits(watched) })
	watch.Go(func() { w.expelGhosts(watched) })
	for _, m := range w.members {
		m.start()
	}
	w.until("a start of all partitions", time.Minute, func() bool { return len(w.commits()) == partitions })
	first, last := w.events[:len(w.events)-epilogue], w.events[len(w.events)-epilogue:]
	w.troubles.Go(func() { w.feed(ctx, newDice(w.plan.seed, 3), first, w.plan.over) })
	w.trouble(newDice(w.plan.seed, 4))
	w.troubles.Wait()
	w.heal()
	w.afterHeal(ctx)
	w.feed(ctx, newDice(w.plan.seed, 5), last, 0)
	w.untilSettled()
	w.until("all members to be in the group", settle, w.joined)
	for _, m := range w.members {
		m.stop()
	}
	w.lives.Wait()
	w.stored = w.readLetters(ctx)
	unwatch()
	watch.Wait()
	w.lookAtCommits()
	w.close()
}

// services calls do for the service of each sink.
func (w *world) services(do func(*service)) {
	do(w.service)
	if w.copy != nil {
		do(w.copy)
	}
}

// othersTrouble reports whether the service of the other sink has an outage.
func (w *world) othersTrouble(s *service) (trouble bool) {
	w.services(func(other *service) {
		other.mu.Lock()
		defer other.mu.Unlock()
		trouble = trouble || other != s && other.trial != ""
	})
	return trouble
}

func (w *world) close() {
	w.producer.Close()
	w.services((*service).close)
	w.kafka.Close()
}

// heal ends all faults.
func (w *world) heal() {
	w.mu.Lock()
	w.healed, w.refuses = true, 0
	w.mu.Unlock()
	w.services(func(s *service) { s.heal() })
	for _, m := range w.members {
		m.file.paused, m.file.invalid = false, false
		m.file.version, m.file.copied = lastVersion, w.plan.sinks != nil && !w.plan.sinks.gone
		w.history.move("%s gets its last file", m.who())
		m.write()
		if !m.running() {
			m.start()
		}
	}
	w.history.note("no more faults from here on")
	time.Sleep(mostDrain) // the last version is in force by then, even after a drain
}

// until waits for a condition.
func (w *world) until(what string, most time.Duration, holds func() bool) {
	for began := time.Now(); !holds(); time.Sleep(500 * time.Millisecond) {
		if time.Since(began) < most {
			continue
		}
		for _, m := range w.members {
			w.history.note("%s says %+v", m.who(), m.sup.Report())
		}
		w.history.note("the group is %+v", w.kafka.Fake.GroupInfo(group))
		w.broken("waited %s in vain for %s: commits %v, ends %v", most, what, w.commits(), w.logEnds())
		return
	}
}

func (w *world) settled() bool {
	commits := w.commits()
	for p, end := range w.ends {
		if commits[p] < end {
			return false
		}
	}
	return true
}

// joined reports whether the group has all members. A member to which kfake does not answer
// JoinGroup continues with its old assignment until it has waited long enough, and only then logs
// that (oracle.unanswered).
func (w *world) joined() bool {
	g := w.kafka.Fake.GroupInfo(group)
	if g == nil {
		return false
	}
	return !slices.ContainsFunc(w.members, func(m *member) bool {
		return !slices.ContainsFunc(g.Members, func(in kfake.GroupMember) bool { return in.ClientID == m.who() })
	})
}

func (w *world) commits() map[int32]int64 {
	at := map[int32]int64{}
	if g := w.kafka.Fake.GroupInfo(group); g != nil {
		for p, c := range g.Commits[topic] {
			at[p] = c.Offset
		}
	}
	return at
}

func (w *world) logEnds() map[int32]int64 {
	ends := map[int32]int64{}
	for _, p := range w.kafka.Fake.PartitionInfos(topic) {
		ends[p.Partition] = p.HighWatermark
	}
	return ends
}
