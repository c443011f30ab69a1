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
	w      *world
	name   string
	dir    string
	life   int
	file   settings
	most   int // most events in flight per partition, over all flow files of this life
	wire   *wire
	sup    *supervisor.Supervisor
	cancel context.CancelFunc
	ended  chan struct{} // closed when this life ends
}

// settings are the parts of the flow file that a reload may change.
type settings struct {
	version  int    // version of the transform
	inFlight int    // a change replaces the source
	mode     string // of the sink
	retries  int
	line     int
	paused   bool
	invalid  bool
	copied   bool // copySink is in the flow file
}

func (m *member) who() string { return fmt.Sprintf("%s.%d", m.name, m.life) }

// text returns the flow file. Dead letters are not compressed: zstd decoders have finalizers that
// close channels, which fails in a synctest bubble.
func (m *member) text() string {
	s, p := m.file, m.w.plan
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
filter: 'data.kind != "dropped"'
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
`, s.paused, strings.Join(m.w.brokers, ","), topic, group, p.start, p.session, m.who(), transform,
		sinks, p.ordering, s.inFlight, drain, batch, s.retries, s.line, strings.Join(m.w.brokers, ","))
}

// write replaces the flow file atomically, as an editor does.
func (m *member) write() {
	m.most = max(m.most, m.file.inFlight)
	if !m.file.invalid && m.w.plan.sinks != nil {
		m.w.history.add(entry{what: filed, who: m.who(), n: m.file.version, without: !m.file.copied})
	}
	tmp := filepath.Join(m.dir, ".sim.tmp")
	if err := os.WriteFile(tmp, []byte(m.text()), 0o600); err != nil {
		m.w.t.Error(err)
	}
	if err := os.Rename(tmp, filepath.Join(m.dir, "sim.yaml")); err != nil {
		m.w.t.Error(err)
	}
}

// start starts a new life, wired like package cli does.
func (m *member) start() {
	m.life++
	m.most = 0
	m.w.history.move("%s starts", m.who())
	m.file.invalid = false // a process does not start with an invalid file
	m.write()
	m.wire = newWire(&m.w.net)
	log := m.w.logger(m.who())
	counters, err := metrics.New(prometheus.NewRegistry())
	if err != nil {
		m.w.t.Fatal(err)
	}
	loader := pipeline.NewLoader(pipeline.Options{Logger: log, Metrics: counters, Dial: m.wire.Dial})
	m.sup, err = supervisor.New(supervisor.Options{
		Paths: []string{m.dir}, Load: loader.Load, Recorder: counters, Logger: log, Poll: time.Second,
	})
	if err != nil {
		m.w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	m.cancel, m.ended = cancel, ended
	sup, who := m.sup, m.who()
	m.w.lives.Go(func() {
		defer close(ended)
		if err := sup.Run(ctx); err != nil {
			m.w.broken("%s ended: %v", who, err)
		}
		loader.Close()
		m.w.history.note("%s has ended", who)
	})
}

// drain is how long calls in flight may take when a partition is revoked.
const drain = 20 * time.Second

// mostDrain limits a clean stop: drain, last commit, leaving the group, closing the outputs.
const mostDrain = 60 * time.Second

// stop ends the life like SIGTERM.
func (m *member) stop() {
	m.w.history.move("%s is told to stop", m.who())
	m.cancel()
	select {
	case <-m.ended:
	case <-time.After(mostDrain):
		m.w.broken("%s has not stopped after %s", m.who(), mostDrain)
		<-m.ended
	}
	m.cancel = nil
}

// crash ends the life like SIGKILL: nothing it does from now on arrives anywhere. Its goroutines
// end later.
func (m *member) crash() {
	m.w.history.add(entry{what: excuse, who: m.who(), text: "crashes", until: m.w.since(), most: m.most})
	m.cut()
	m.cancel()
	m.cancel = nil
}

// cut disconnects the network and lets the session expire.
func (m *member) cut() {
	wire, who := m.wire, m.who()
	wire.cut()
	m.w.troubles.Go(func() {
		time.Sleep(m.w.plan.session)
		if wire.isCut() {
			m.w.history.move("the session of %s is over", who) // kfake may have ended it already
			m.w.expel("the session of "+who, func(g kfake.GroupMember) bool { return g.ClientID == who })
		}
	})
}

// expel removes members from the group.
func (w *world) expel(what string, which func(kfake.GroupMember) bool) {
	g := w.kafka.Fake.GroupInfo(group)
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
	w.history.move("%s runs out", what)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if _, err := req.RequestWith(ctx, w.producer); err != nil {
		w.history.note("%s does not run out: %v", what, err)
	}
}

func (m *member) running() bool { return m.cancel != nil }
