package kafka

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lsm/fiso/common/backoff"
	"github.com/lsm/fiso/common/config"
	"github.com/lsm/fiso/common/connector"
	"github.com/twmb/franz-go/pkg/kgo"
)

// SourceOptions are settings of the program that are not in a file. The zero value
// works.
type SourceOptions struct {
	// Logger takes the source's log; nil: none.
	Logger *slog.Logger
	// Window is how many records of a partition may be handed over beyond the oldest
	// unsettled one, which counts too. At this bound handing over waits. 0: 1024.
	Window int
	// DrainTimeout is how long the source waits for messages in flight when their
	// partition is taken away or the source stops; at most half of the group's
	// rebalance timeout. 0: 20s.
	DrainTimeout time.Duration
	// Exclude are topics that are not read although TopicsPattern matches them.
	Exclude []string
	// OnGap is called for every gap, from any goroutine. It must not block.
	OnGap func(Gap)
	// Dial opens connections, for tests; nil: the net package does.
	Dial DialFunc
	// ProbeInterval is how often the source asks for the topics and the ends of
	// partitions. 0: 5s.
	ProbeInterval time.Duration
	// Options are added to franz-go's, for tests.
	Options []kgo.Opt
}

// Gap is a range of offsets that the source could not read, because the broker no
// longer has them. Reading resumes at To, which is below From when the broker lost the
// end of its log.
type Gap struct {
	Topic     string
	Partition int32
	From, To  int64
}

// String describes the gap.
func (g Gap) String() string {
	return fmt.Sprintf("%s partition %d: the broker no longer has offset %d, the next it has is %d", g.Topic, g.Partition, g.From, g.To)
}

// maxNotes is how many notes Status keeps.
const maxNotes = 16

// Source consumes topics as a member of a consumer group. See the package
// comment for what it promises. It is a connector.Source, Reporter and
// Checker.
type Source struct {
	cfg     SourceConfig
	opts    SourceOptions
	log     *slog.Logger
	start   start
	pattern *regexp.Regexp // nil for topics by name
	conn    []kgo.Opt
	health  health
	started atomic.Bool

	mu             sync.Mutex
	session        *session // nil unless running
	notes          []string
	partitionsSeen *snapshot // topics at the first probe; nil before
	first          int64     // when the group first started, in ms; 0: unknown
}

// NewSource returns a source for cfg, with defaults filled in. It fails on an invalid
// configuration and opens no connection.
func NewSource(cfg SourceConfig, opts SourceOptions) (*Source, error) {
	config.Defaults(&cfg)
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("kafka source: %w", err)
	}
	s := &Source{cfg: cfg, opts: opts, log: opts.Logger}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.opts.Window = cmp.Or(max(opts.Window, 0), 1024)
	s.opts.DrainTimeout = min(cmp.Or(max(opts.DrainTimeout, 0), 20*time.Second), cfg.RebalanceTimeout/2)
	s.opts.ProbeInterval = cmp.Or(max(opts.ProbeInterval, 0), 5*time.Second)
	s.start, _ = parseStart(cfg.StartOffset)
	if cfg.TopicsPattern != "" {
		s.pattern = regexp.MustCompile(cfg.TopicsPattern)
	}
	conn, err := cfg.options(opts.Dial, s.log)
	if err != nil {
		return nil, fmt.Errorf("kafka source: %w", err)
	}
	s.conn = conn
	return s, nil
}

// SourceGuarantees is what every Source guarantees.
var SourceGuarantees = connector.Guarantees{Redelivers: true, Orders: true, Rewinds: true, Assigns: true}

// Guarantees is SourceGuarantees.
func (s *Source) Guarantees() connector.Guarantees { return SourceGuarantees }

// Run hands messages to handle until ctx ends: up to 256 in a call, of about 1 MiB, and
// never more than may be unsettled. When the cluster cannot be reached, credentials are
// refused or topics are missing, Status().Problem says so and Run retries. Run returns
// an error only when franz-go refuses its options, or when it is called twice.
func (s *Source) Run(ctx context.Context, handle connector.Handler) error {
	if s.started.Swap(true) {
		return errors.New("kafka source: Run was called before")
	}
	for retry := 1; ; retry++ {
		began := time.Now()
		err := s.runSession(ctx, handle)
		if ctx.Err() != nil {
			return nil
		}
		if errors.Is(err, errOptions) {
			return fmt.Errorf("kafka source: %w", err)
		}
		if time.Since(began) > time.Minute {
			retry = 1
		}
		s.log.Error("kafka source restarting", "error", err)
		s.health.set(aspectSession, err)
		wait(ctx, retryBackoff.Delay(retry), nil)
	}
}

// retryBackoff is the wait before the source retries.
var retryBackoff = backoff.Policy{Initial: 200 * time.Millisecond, Max: 10 * time.Second}

// Status returns the state of the source and its partitions.
func (s *Source) Status() connector.Status {
	s.mu.Lock()
	session, notes := s.session, slices.Clone(s.notes)
	s.mu.Unlock()
	problems := s.health.problems()
	st := connector.Status{Notes: notes, Unreachable: s.health.unreachable()}
	if session != nil {
		var held []string
		st.Partitions, held = session.status()
		problems = append(problems, held...)
	}
	st.Problem = strings.Join(problems, "; ")
	return st
}

func (s *Source) note(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.notes = append(s.notes, time.Now().UTC().Format(time.RFC3339)+" "+text)
	if len(s.notes) > maxNotes {
		s.notes = slices.Delete(s.notes, 0, len(s.notes)-maxNotes)
	}
}

// gap reports a gap in the log, in Status and to OnGap.
func (s *Source) gap(g Gap) {
	s.log.Error("gap in the offsets", "topic", g.Topic, "partition", g.Partition, "from", g.From, "to", g.To)
	s.note(g.String())
	if s.opts.OnGap != nil {
		s.opts.OnGap(g)
	}
}

// reads reports whether topic is one that this source reads.
func (s *Source) reads(topic string) bool {
	if s.pattern != nil {
		return s.pattern.MatchString(topic) && !slices.Contains(s.opts.Exclude, topic)
	}
	return slices.Contains(s.cfg.topics(), topic)
}

// groupOptions returns the options that make franz-go a member of the group.
//
// BlockRebalanceOnPoll is off on purpose: with it, polling stops while a revoke
// callback runs, so a partition that drains slowly would starve the partitions that
// stay. session.onPoll keeps stale fetches out instead.
func (s *Source) groupOptions() []kgo.Opt {
	isolation := kgo.ReadCommitted()
	if s.cfg.Isolation == "read_uncommitted" {
		isolation = kgo.ReadUncommitted()
	}
	opts := []kgo.Opt{
		kgo.ConsumerGroup(s.cfg.ConsumerGroup),
		kgo.Balancers(kgo.CooperativeStickyBalancer()),
		kgo.DisableAutoCommit(),
		// franz-go must not skip records by its own decision; see gap.go.
		kgo.ConsumeResetOffset(kgo.NoResetOffset()),
		kgo.ConsumeStartOffset(kgo.NoResetOffset().AtEnd()),
		kgo.FetchIsolationLevel(isolation),
		// Transaction markers move the position; without them the lag would never reach
		// 0.
		kgo.KeepControlRecords(),
		kgo.SessionTimeout(s.cfg.SessionTimeout),
		kgo.HeartbeatInterval(s.cfg.HeartbeatInterval),
		kgo.RebalanceTimeout(s.cfg.RebalanceTimeout),
		kgo.FetchMinBytes(int32(s.cfg.FetchMinBytes)),
		kgo.FetchMaxBytes(int32(s.cfg.FetchMaxBytes)),
		kgo.FetchMaxPartitionBytes(int32(s.cfg.FetchMaxPartitionBytes)),
		kgo.FetchMaxWait(s.cfg.FetchMaxWait),
		kgo.WithHooks(&s.health),
	}
	if s.pattern != nil {
		opts = append(opts, kgo.ConsumeTopics(s.cfg.TopicsPattern), kgo.ConsumeRegex())
		for _, topic := range s.opts.Exclude {
			opts = append(opts, kgo.ConsumeExcludeTopics("^"+regexp.QuoteMeta(topic)+"$"))
		}
	} else {
		opts = append(opts, kgo.ConsumeTopics(s.cfg.topics()...))
	}
	if s.cfg.InstanceID != "" {
		opts = append(opts, kgo.InstanceID(s.cfg.InstanceID))
	}
	return append(opts, s.opts.Options...)
}
