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
	topic           = "orders"
	deadLetterTopic = "fiso-dlq-sim"
	group           = "g"
	partitions      = 6
	members         = 3
	brokers         = 3
	firstPort       = 9092
	serviceAddr     = "127.0.0.1:8080"

	// maxSettle is how long after the last fault everything may take to be settled and committed:
	// sessions expire, retries wait, a stopped line probes.
	maxSettle = 5 * time.Minute
)

// simulation is one run: a cluster, its members and the services that they deliver to.
type simulation struct {
	t           *testing.T
	plan        *plan
	history     *history
	net         kfake.VirtualNetwork
	brokerConns *brokerConns
	kafka       *kafkatest.Cluster
	brokers     []string
	service     *service
	copy        *service // of copySink; nil: no copySink
	events      []*event
	members     []*member
	producer    *kgo.Client

	memberRuns   sync.WaitGroup // running members
	activeFaults sync.WaitGroup

	mu              sync.Mutex
	violations      []string             // rules that were broken during the run
	disturbed       map[string]bool      // targets of active faults
	added           int                  // number of added brokers
	lastRequest     map[string]time.Time // last request of each group member, by id
	owners          map[int32]string     // member id by partition
	deadLetterError int16                // error code of the cluster for dead letters; 0: stored
	batches         map[batchID]bool     // batches of dead letters that were sent
	faultsEnded     bool
	deadLetters     []deadLetter
	logEndsToReach  map[int32]int64 // log ends that commits must reach
}

func newSimulation(t *testing.T, p *plan) *simulation {
	sim := &simulation{t: t, plan: p, history: &history{began: time.Now()}, disturbed: map[string]bool{}, lastRequest: map[string]time.Time{},
		batches: map[batchID]bool{}}
	sim.events = newEvents(newRandom(p.seed, 2), p)
	sim.brokerConns = &brokerConns{net: &sim.net, conns: map[string][]net.Conn{}}
	topics := map[string]int32{topic: partitions}
	for _, t := range p.deadLetterTopics() {
		topics[t] = 2
	}
	var err error
	sim.kafka, err = kafkatest.Start(kafkatest.Options{
		Brokers: brokers, Port: firstPort, Topics: topics,
		Options: []kfake.Opt{kfake.ListenFn(sim.brokerConns.Listen)}, Client: []kgo.Opt{kgo.Dialer(sim.net.DialContext)},
	})
	if err != nil {
		t.Fatal(err)
	}
	sim.brokers = sim.kafka.Brokers()
	sim.producer, err = kgo.NewClient(kgo.SeedBrokers(sim.brokers...), kgo.Dialer(newNetwork(&sim.net).Dial), kgo.DisableClientMetrics(),
		kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.UnknownTopicRetries(-1), kgo.ProducerBatchCompression(kgo.NoCompression()),
		kgo.ProducerLinger(0), kgo.MetadataMinAge(time.Second))
	if err != nil {
		t.Fatal(err)
	}
	sim.observeCluster()
	sim.observeMembers()
	sim.service = sim.newService(mainSink, serviceAddr)
	if p.sinks != nil {
		sim.copy = sim.newService(copySink, copyAddr)
	}
	dir := t.TempDir()
	for n := range members {
		m := &member{sim: sim, name: string(rune('A' + n)), file: p.file}
		m.dir = filepath.Join(dir, m.name)
		if err := os.Mkdir(m.dir, 0o700); err != nil {
			t.Fatal(err)
		}
		sim.members = append(sim.members, m)
	}
	return sim
}

func (sim *simulation) since() time.Duration { return time.Since(sim.history.began) }

// violation records a broken rule.
func (sim *simulation) violation(format string, args ...any) {
	s := fmt.Sprintf(format, args...)
	sim.history.addNote("BROKEN: %s", s)
	sim.mu.Lock()
	defer sim.mu.Unlock()
	sim.violations = append(sim.violations, s)
}

func (sim *simulation) event(n int) *event {
	sim.mu.Lock()
	known := n >= 0 && n < len(sim.events)
	var e *event
	if known {
		e = sim.events[n]
	}
	sim.mu.Unlock()
	if !known {
		sim.violation("the service was sent event %d, which does not exist", n)
	}
	return e
}

// addEvents adds events beyond the plan.
func (sim *simulation) addEvents(events []*event) {
	sim.mu.Lock()
	defer sim.mu.Unlock()
	sim.events = append(sim.events, events...)
}

// run runs the simulation from start to end.
func (sim *simulation) run(ctx context.Context) {
	watched, unwatch := context.WithCancel(ctx)
	var watch sync.WaitGroup
	watch.Go(func() { sim.watchCommits(watched) })
	watch.Go(func() { sim.removeGoneMembers(watched) })
	for _, m := range sim.members {
		m.start()
	}
	sim.waitUntil("the first commit of all partitions", time.Minute, func() bool { return len(sim.commits()) == partitions })
	first, last := sim.events[:len(sim.events)-finalEvents], sim.events[len(sim.events)-finalEvents:]
	sim.activeFaults.Go(func() { sim.produceEvents(ctx, newRandom(sim.plan.seed, 3), first, sim.plan.duration) })
	sim.injectFaults(newRandom(sim.plan.seed, 4))
	sim.activeFaults.Wait()
	sim.endFaults()
	sim.testOneSinkAtATime(ctx)
	sim.produceEvents(ctx, newRandom(sim.plan.seed, 5), last, 0)
	sim.waitUntilAllCommitted()
	sim.waitUntil("all members to be in the group", maxSettle, sim.allJoined)
	for _, m := range sim.members {
		m.stop()
	}
	sim.memberRuns.Wait()
	sim.deadLetters = sim.readDeadLetters(ctx)
	unwatch()
	watch.Wait()
	sim.recordCommits()
	sim.close()
}

// eachService calls do for the service of each sink.
func (sim *simulation) eachService(do func(*service)) {
	do(sim.service)
	if sim.copy != nil {
		do(sim.copy)
	}
}

// otherSinkHasOutage reports whether the service of the other sink has an outage.
func (sim *simulation) otherSinkHasOutage(s *service) (has bool) {
	sim.eachService(func(other *service) {
		other.mu.Lock()
		defer other.mu.Unlock()
		has = has || other != s && other.outageKind != ""
	})
	return has
}

func (sim *simulation) close() {
	sim.producer.Close()
	sim.eachService((*service).close)
	sim.kafka.Close()
}

// endFaults ends all faults.
func (sim *simulation) endFaults() {
	sim.mu.Lock()
	sim.faultsEnded, sim.deadLetterError = true, 0
	sim.mu.Unlock()
	sim.eachService(func(s *service) { s.endFaults() })
	for _, m := range sim.members {
		m.file.paused, m.file.invalid = false, false
		m.file.version, m.file.hasCopySink = lastVersion, sim.plan.sinks != nil && !sim.plan.sinks.goneAtEnd
		sim.history.addRebalance("%s gets its last file", m.id())
		m.write()
		if !m.running() {
			m.start()
		}
	}
	sim.history.addNote("no more faults from here on")
	time.Sleep(maxStop) // the last version is in force by then, even after a drain
}

// waitUntil waits for a condition.
func (sim *simulation) waitUntil(what string, most time.Duration, holds func() bool) {
	for began := time.Now(); !holds(); time.Sleep(500 * time.Millisecond) {
		if time.Since(began) < most {
			continue
		}
		for _, m := range sim.members {
			sim.history.addNote("%s says %+v", m.id(), m.sup.Report())
		}
		sim.history.addNote("the group is %+v", sim.kafka.Fake.GroupInfo(group))
		sim.violation("timed out after %s waiting for %s: commits %v, ends %v", most, what, sim.commits(), sim.logEnds())
		return
	}
}

func (sim *simulation) allCommitted() bool {
	commits := sim.commits()
	for p, end := range sim.logEndsToReach {
		if commits[p] < end {
			return false
		}
	}
	return true
}

// allJoined reports whether the group has all members. A member to which kfake does not answer
// JoinGroup continues with its old assignment until it has waited long enough, and only then logs
// that (oracle.unansweredJoins).
func (sim *simulation) allJoined() bool {
	g := sim.kafka.Fake.GroupInfo(group)
	if g == nil {
		return false
	}
	return !slices.ContainsFunc(sim.members, func(m *member) bool {
		return !slices.ContainsFunc(g.Members, func(in kfake.GroupMember) bool { return in.ClientID == m.id() })
	})
}

func (sim *simulation) commits() map[int32]int64 {
	at := map[int32]int64{}
	if g := sim.kafka.Fake.GroupInfo(group); g != nil {
		for p, c := range g.Commits[topic] {
			at[p] = c.Offset
		}
	}
	return at
}

func (sim *simulation) logEnds() map[int32]int64 {
	ends := map[int32]int64{}
	for _, p := range sim.kafka.Fake.PartitionInfos(topic) {
		ends[p.Partition] = p.HighWatermark
	}
	return ends
}
