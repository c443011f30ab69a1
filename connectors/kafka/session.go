package kafka

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lsm/fiso/common/connector"
	"github.com/lsm/fiso/connectors/kafka/internal/settle"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// errOptions marks an error of franz-go's options, found before any connection is
// opened.
var errOptions = errors.New("franz-go refuses its options")

// leaveTimeout bounds the last commit, and separately leaving the group.
const leaveTimeout = 5 * time.Second

// session is one franz-go client in the group, from join to leave. A source has one
// session at a time, and starts a new one only when franz-go cannot continue.
type session struct {
	src    *Source
	log    *slog.Logger
	cl     *kgo.Client
	adm    *kadm.Client
	handle connector.Handler
	base   context.Context // the caller's context without its cancellation
	ctx    context.Context // ends when the session ends, before the drain
	fail   context.CancelCauseFunc
	window int
	drain  time.Duration

	commits          chan struct{} // capacity 1: holding the token allows one commit
	revokes          chan struct{} // capacity 1: full while onRevoked runs
	buffered         atomic.Int64  // bytes of all partitions that wait to be handed over
	large            atomic.Int64  // bytes of large records in flight
	partitionShare   atomic.Int64  // bytes of buffered that one partition may hold
	fullBuffers      atomic.Int64  // partitions with a full buffer that fetching waits for
	buffersFreed     chan struct{} // signals that fullBuffers is 0; capacity 1
	unpack           *unpacker
	waitingForBudget atomic.Int64 // partitions paused by holdBudget
	fetchSize        fetchSize    // owned by the polling goroutine
	noMetadata       atomic.Bool  // the broker refused metadata: commit offsets only
	wg               sync.WaitGroup

	mu       sync.Mutex
	parts    map[tp]*partition
	newest   map[tp]*assignment  // the newest assignment of each partition, also after it ended
	fetched  map[tp][]settle.Run // records done beyond the commits that adjust gets next
	stopping bool

	cmdMu    sync.Mutex
	commands []func()
	wakePoll context.CancelFunc
	pollDone bool
}

// runSession joins the group and reads until ctx ends or the session fails, and then
// drains, commits and leaves. It returns the failure.
func (s *Source) runSession(ctx context.Context, handle connector.Handler) error {
	base := context.WithoutCancel(ctx)
	clientCtx, kill := context.WithCancel(base)
	defer kill()
	inner, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	r := &session{
		src: s, log: s.log, handle: handle, base: base, ctx: inner, fail: fail,
		window: s.opts.Window, drain: s.opts.DrainTimeout,
		commits: make(chan struct{}, 1), revokes: make(chan struct{}, 1), buffersFreed: make(chan struct{}, 1),
		parts: map[tp]*partition{}, newest: map[tp]*assignment{},
	}
	r.partitionShare.Store(int64(s.cfg.MaxBufferedBytes))
	var err error
	if r.unpack, err = newUnpacker(int64(s.cfg.MaxBatchBytes), int64(s.cfg.MaxBufferedBytes), r.heldBytes); err != nil {
		return err
	}
	opts := slices.Concat(s.conn, s.groupOptions(), []kgo.Opt{
		kgo.WithDecompressor(r.unpack),
		kgo.WithHooks(r.unpack),
		kgo.WithContext(clientCtx),
		kgo.OnPartitionsAssigned(r.onAssigned),
		kgo.OnPartitionsRevoked(r.onRevoked),
		kgo.OnPartitionsLost(r.onLost),
		kgo.OnOffsetsFetched(r.onFetched),
		kgo.AdjustFetchOffsetsFn(r.adjust),
	})
	if r.cl, err = kgo.NewClient(opts...); err != nil {
		return fmt.Errorf("%w: %w", errOptions, err)
	}
	r.adm = kadm.NewClient(r.cl)
	s.setSession(r)
	defer s.setSession(nil)

	var loops sync.WaitGroup
	loops.Go(r.pollLoop)
	loops.Go(r.commitLoop)
	loops.Go(r.probeLoop)
	<-inner.Done()
	r.stop(kill)
	loops.Wait()
	r.waitAll()
	return context.Cause(inner)
}

func (s *Source) setSession(r *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.session = r
}

// stop ends all assignments, drains them, commits what is settled and leaves the group.
func (r *session) stop(kill context.CancelFunc) {
	r.mu.Lock()
	r.stopping = true
	parts := r.owned()
	r.mu.Unlock()
	open := r.finish(parts, errStopped)
	r.awaitDrained(open)
	ctx, cancel := context.WithTimeout(r.base, leaveTimeout)
	r.flush(ctx, open)
	cancel()
	for _, a := range open {
		a.close(errStopped)
	}
	// onRevoked may still drain partitions that are no longer in parts. Leaving now
	// would give them to another member before that, so wait; the drain is bounded.
	r.revokes <- struct{}{}
	<-r.revokes
	ctx, cancel = context.WithTimeout(r.base, leaveTimeout)
	defer cancel()
	if err := r.cl.LeaveGroupContext(ctx); err != nil {
		if err := r.leaveDirect(); err != nil {
			// The group removes this member after the session timeout.
			r.log.Warn("cannot leave the group", "error", err)
		}
		kill() // Close would wait for a join that hangs
	}
	r.cl.Close()
}

// waitAll waits for the goroutines of the session. After the drain timeout it abandons
// those whose handler ignores its context.
func (r *session) waitAll() {
	done := make(chan struct{})
	go func() { r.wg.Wait(); close(done) }()
	t := time.NewTimer(r.drain)
	defer t.Stop()
	select {
	case <-done:
	case <-t.C:
		r.log.Error("handlers did not return, abandoning them", "waited", r.drain)
	}
}

// pollLoop is the only goroutine that polls. It never waits for a handler.
func (r *session) pollLoop() {
	for {
		ctx, cancel := context.WithCancel(r.base)
		r.cmdMu.Lock()
		r.wakePoll = cancel
		if len(r.commands) > 0 {
			cancel()
		}
		r.cmdMu.Unlock()
		r.awaitBuffers(ctx)
		fetches := r.pollFetches(ctx)
		cancel()
		over := fetches.IsClientClosed()
		if !over {
			r.distribute(fetches)
		}
		r.runCommands(over)
		if over {
			return
		}
	}
}

// onPoll runs fn on the polling goroutine, between two polls, and returns when fn has
// run. It returns false when there are no more polls.
//
// Assignments are made and positions set only here: records polled before fn are
// already distributed, and records polled after it were fetched at the new position.
// Otherwise, when a rebalance takes a partition away and gives it back while the poll
// loop holds a fetch of the old assignment, that fetch would reach the new one.
func (r *session) onPoll(fn func()) bool {
	done := make(chan struct{})
	r.cmdMu.Lock()
	if r.pollDone {
		r.cmdMu.Unlock()
		return false
	}
	r.commands = append(r.commands, func() { fn(); close(done) })
	if r.wakePoll != nil {
		r.wakePoll()
	}
	r.cmdMu.Unlock()
	<-done
	return true
}

func (r *session) runCommands(last bool) {
	r.cmdMu.Lock()
	commands := r.commands
	r.commands = nil
	r.pollDone = last
	r.cmdMu.Unlock()
	for _, fn := range commands {
		fn()
	}
}

// distribute appends fetched records to their assignments.
func (r *session) distribute(fetches kgo.Fetches) {
	var all charge
	charges := r.unpack.take(fetches)
	fetches.EachPartition(func(f kgo.FetchTopicPartition) {
		at := tp{f.Topic, f.Partition}
		unpacked := charges[0]
		charges = charges[1:]
		all.add(unpacked)
		r.mu.Lock()
		p := r.parts[at]
		var a *assignment
		if p != nil {
			a = p.current
		}
		r.mu.Unlock()
		if a != nil && len(f.Records) > 0 {
			for left := f.Records; len(left) > 0; {
				n := slabFit(left)
				a.appendBatch(slab(a, left[:n], unpacked.largest))
				left = left[n:]
			}
			a.noteEnd(r.endOf(f.FetchPartition))
		}
		r.unpack.release(unpacked)
		if f.Err != nil && p != nil {
			r.fetchFailed(p, a, f.Err)
		}
	})
	r.adaptFetch(all)
}

// endOf returns the end of the log as this isolation level sees it.
func (r *session) endOf(f kgo.FetchPartition) int64 {
	if r.src.cfg.Isolation == "read_committed" {
		return f.LastStableOffset
	}
	return f.HighWatermark
}

// bufferFull reports whether a partition that holds own bytes, of total bytes in all,
// should pause fetching.
func (r *session) bufferFull(total, own int64) bool {
	return own >= r.partitionShare.Load() || total >= int64(r.src.cfg.MaxBufferedBytes)
}

// bufferLow reports whether a partition may fetch again. A partition that holds nothing
// always may, so that others cannot starve it.
func (r *session) bufferLow(total, own int64) bool {
	return own <= 0 || own < r.partitionShare.Load()/2 && total < int64(r.src.cfg.MaxBufferedBytes)*3/4
}

// isStopping reports whether stop has begun.
func (r *session) isStopping() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.stopping
}

// owned returns the partitions of this member. It needs mu.
func (r *session) owned() []*partition {
	all := make([]*partition, 0, len(r.parts))
	for _, p := range r.parts {
		all = append(all, p)
	}
	return all
}

// live returns the current assignments.
func (r *session) live() []*assignment {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := make([]*assignment, 0, len(r.parts))
	for _, p := range r.parts {
		if p.current != nil {
			all = append(all, p.current)
		}
	}
	return all
}

func (r *session) status() (parts []connector.PartitionStatus, problems []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for at, p := range r.parts {
		if text := p.getProblem(); text != "" {
			problems = append(problems, text)
		}
		if p.current != nil {
			parts = append(parts, p.current.status())
			continue
		}
		parts = append(parts, connector.PartitionStatus{Stream: at.topic, Partition: at.partition, Committed: -1, End: -1, Lag: -1})
	}
	slices.SortFunc(parts, func(a, b connector.PartitionStatus) int {
		return cmp.Or(cmp.Compare(a.Stream, b.Stream), cmp.Compare(a.Partition, b.Partition))
	})
	slices.Sort(problems)
	return parts, problems
}
