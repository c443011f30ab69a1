//go:build synctests

package simulation

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/lsm/fiso/flow/metrics"
	"github.com/lsm/fiso/flow/pipeline"
	"github.com/lsm/fiso/flow/supervisor"
)

// member is one fiso-flow instance: a directory of flow files and a process, which may die and be
// started again.
type member struct {
	sim         *simulation
	name        string
	dir         string
	runs        int // number of starts
	file        settings
	maxInFlight int // most events in flight per partition, over all flow files of this run
	network     *network
	sup         *supervisor.Supervisor
	cancel      context.CancelFunc
	ended       chan struct{} // closed when this run ends
}

// settings are the parts of the flow file that a reload may change.
type settings struct {
	version     int // of the transform
	maxInFlight int // a change replaces the source
	sinkMode    string
	maxRetries  int
	stopTheLine int
	paused      bool
	invalid     bool
	hasCopySink bool
}

func (m *member) id() string { return fmt.Sprintf("%s.%d", m.name, m.runs) }

// flowFile returns the flow file. Dead letters are not compressed: zstd decoders have finalizers that
// close channels, which fails in a synctest bubble.
func (m *member) flowFile() string {
	s, p := m.file, m.sim.plan
	transform := fmt.Sprintf(`cel: '{"n": data.n, "v": %d, "must": data.must}'`, s.version)
	if p.split {
		transform = fmt.Sprintf(`split: data.lines, cel: '{"n": parent.n, "v": %d, "must": parent.must, "p": data}'`, s.version)
	}
	if s.invalid {
		transform = `cel: '{"n": dta.n}'`
	}
	sinks, batch := m.sinks()
	return fmt.Sprintf(`name: sim
paused: %t
source:
  type: kafka
  config:
    brokers: %q
    topic: %s
    consumerGroup: %s
    startOffset: %s
    sessionTimeout: %s
    clientId: %s
filter: 'data.kind != "filtered"'
transform: {%s}
%s
delivery:
  ordering: %s
  maxInFlight: %d
  drainTimeout: %s%s
errorHandling:
  maxRetries: %d
  initialInterval: 100ms
  maxInterval: 5s
  stopTheLine: {consecutive: %d}
  deadLetter: {type: kafka, config: {brokers: %q, compression: none}}
`, s.paused, strings.Join(m.sim.brokers, ","), topic, group, p.startOffset, p.sessionTimeout, m.id(), transform,
		sinks, p.ordering, s.maxInFlight, drain, batch, s.maxRetries, s.stopTheLine, strings.Join(m.sim.brokers, ","))
}

// write replaces the flow file atomically, as an editor does.
func (m *member) write() {
	m.maxInFlight = max(m.maxInFlight, m.file.maxInFlight)
	if !m.file.invalid && m.sim.plan.sinks != nil {
		m.sim.history.add(entry{kind: flowFileWritten, member: m.id(), n: m.file.version, lacksCopySink: !m.file.hasCopySink})
	}
	tmp := filepath.Join(m.dir, ".sim.tmp")
	if err := os.WriteFile(tmp, []byte(m.flowFile()), 0o600); err != nil {
		m.sim.t.Error(err)
	}
	if err := os.Rename(tmp, filepath.Join(m.dir, "sim.yaml")); err != nil {
		m.sim.t.Error(err)
	}
}

// start starts a new run, set up like package cli does.
func (m *member) start() {
	m.runs++
	m.maxInFlight = 0
	m.sim.history.addRebalance("%s starts", m.id())
	m.file.invalid = false // a process does not start with an invalid file
	m.write()
	m.network = newNetwork(&m.sim.net)
	log := m.sim.logger(m.id())
	counters, err := metrics.New(prometheus.NewRegistry())
	if err != nil {
		m.sim.t.Fatal(err)
	}
	loader := pipeline.NewLoader(pipeline.Options{Logger: log, Metrics: counters, Dial: m.network.Dial})
	m.sup, err = supervisor.New(supervisor.Options{
		Paths: []string{m.dir}, Load: loader.Load, Recorder: counters, Logger: log, Poll: time.Second,
	})
	if err != nil {
		m.sim.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	m.cancel, m.ended = cancel, ended
	sup, member := m.sup, m.id()
	m.sim.memberRuns.Go(func() {
		defer close(ended)
		if err := sup.Run(ctx); err != nil {
			m.sim.violation("%s ended: %v", member, err)
		}
		loader.Close()
		m.sim.history.addNote("%s has ended", member)
	})
}

// drain is how long calls in flight may take when a partition is revoked.
const drain = 20 * time.Second

// maxStop limits a clean stop: drain, last commit, leaving the group, closing the outputs.
const maxStop = 60 * time.Second

// stop ends the run like SIGTERM.
func (m *member) stop() {
	m.sim.history.addRebalance("%s is told to stop", m.id())
	m.cancel()
	select {
	case <-m.ended:
	case <-time.After(maxStop):
		m.sim.violation("%s has not stopped after %s", m.id(), maxStop)
		<-m.ended
	}
	m.cancel = nil
}

// crash ends the run like SIGKILL: nothing it does from now on arrives anywhere. Its goroutines
// end later.
func (m *member) crash() {
	m.sim.history.add(entry{kind: faultPeriod, member: m.id(), text: "crashes", until: m.sim.since(), maxInFlight: m.maxInFlight})
	m.cut()
	m.cancel()
	m.cancel = nil
}

// cut disconnects the network and lets the session expire.
func (m *member) cut() {
	network, member := m.network, m.id()
	network.cut()
	m.sim.activeFaults.Go(func() {
		time.Sleep(m.sim.plan.sessionTimeout)
		if network.isCut() {
			m.sim.history.addRebalance("the session of %s is over", member) // kfake may have ended it already
			m.sim.removeFromGroup("the expired session of "+member, func(g kfake.GroupMember) bool { return g.ClientID == member })
		}
	})
}

// removeFromGroup removes members from the group.
func (sim *simulation) removeFromGroup(what string, which func(kfake.GroupMember) bool) {
	g := sim.kafka.Fake.GroupInfo(group)
	if g == nil {
		return
	}
	req := kmsg.NewPtrLeaveGroupRequest()
	req.Group = group
	for _, m := range g.Members {
		if which(m) {
			gone := kmsg.NewLeaveGroupRequestMember()
			gone.MemberID = m.MemberID
			req.Members = append(req.Members, gone)
		}
	}
	if len(req.Members) == 0 {
		return
	}
	sim.history.addRebalance("%s is removed from the group", what)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if _, err := req.RequestWith(ctx, sim.producer); err != nil {
		sim.history.addNote("%s cannot be removed from the group: %v", what, err)
	}
}

func (m *member) running() bool { return m.cancel != nil }
