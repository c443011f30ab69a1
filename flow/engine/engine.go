package engine

import (
	"context"
	"errors"
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lsm/fiso/common/connector"
)

// Engine runs one flow. See the package comment for what it promises, and
// flow/DESIGN.md for how its parts fit.
type Engine struct {
	cfg  Config
	seed maphash.Seed
	// stage is written with mu held, and read without it only to see whether
	// a stage was replaced meanwhile.
	stage    atomic.Pointer[stage]
	started  atomic.Bool
	closing  chan struct{} // closed when the source has returned
	stop     chan struct{} // closed when every shard is empty
	nudge    chan struct{} // tells the clock that something is due earlier
	watchers sync.WaitGroup
	others   sync.WaitGroup // the workers and the clock

	mu       sync.Mutex // guards all below, and what they refer to
	closed   bool       // nothing is accepted any more
	shards   map[*connector.Assignment]*shard
	ready    queue
	pauses   pauses
	sealed   []*batch // full, for the next worker
	inFlight int      // accepted and not settled
	bytes    int64    // of those
	working  int      // of those, in a worker's hands or in a batch
	making   int      // of those, being made by the source
	crowded  bool     // a handler waits because enough lanes are ready
	sending  map[*batch]struct{}

	workers int       // goroutines
	parked  int       // of those, waiting and not yet called
	fewest  int       // parked at any moment since the last trim
	leaving int       // parked workers that were called to go
	wake    sync.Cond // calls a parked worker
	pace    pace      // how many workers there may be
	watched bool      // the clock looks after the pace
	alarm   time.Time // when the clock wakes by itself; zero: it does not
	trimmed time.Time

	blocked map[*shard]struct{} // shards in which a handler waits for room
	starved int                 // of those, waiting for bytes
	held    map[*item]struct{}
	last    failure
	asked   asked
	spare   spare

	quiet quiet // has its own lock, taken under mu or without
}

// New makes an engine that works by st as soon as it is Run.
func New(cfg Config, st *Stage) *Engine {
	cfg = cfg.withDefaults()
	e := &Engine{
		cfg:     cfg,
		seed:    maphash.MakeSeed(),
		closing: make(chan struct{}),
		stop:    make(chan struct{}),
		nudge:   make(chan struct{}, 1),
		shards:  make(map[*connector.Assignment]*shard),
		pace:    newPace(cfg.MaxInFlight),
		blocked: make(map[*shard]struct{}),
		held:    make(map[*item]struct{}),
		sending: make(map[*batch]struct{}),
		spare:   spare{max: cfg.MaxInFlight},
	}
	e.wake.L = &e.mu
	e.stage.Store(newStage(cfg, st))
	return e
}

// Run moves what src hands over until ctx ends, or until src gives up. When it
// returns, every message was settled and no goroutine of the engine is left.
// Its error is the source's. It is called once.
func (e *Engine) Run(ctx context.Context, src connector.Source) error {
	if e.started.Swap(true) {
		return errors.New("engine: Run was called before")
	}
	e.others.Go(e.clock)
	err := src.Run(ctx, e.handle)

	e.mu.Lock()
	e.closed = true
	e.mu.Unlock()
	close(e.closing)
	e.watchers.Wait()
	close(e.stop)
	e.mu.Lock()
	e.wake.Broadcast()
	e.mu.Unlock()
	e.others.Wait()
	return err
}

// nameOf is the name of a message's lane, or false when it keeps no order. A
// name is a 64-bit hash: keys that collide share a lane, which costs them some
// speed and no order, and spares a copy of the key.
func (e *Engine) nameOf(m *connector.Message) (hash uint64, named bool) {
	switch {
	case e.cfg.Ordering == OrderPartition:
		return 0, true
	case e.cfg.Ordering == OrderNone || m.Key == nil:
		return 0, false
	default:
		return maphash.Bytes(e.seed, m.Key), true
	}
}

// leave takes the settled head out of its lane, and readies the next.
func (e *Engine) leave(l *lane) {
	it := l.head
	l.head = it.next
	e.forget(it)
	if l.head != nil {
		e.onward(l)
	} else {
		e.drop(l)
	}
	e.spare.putItem(it)
}

// onward lets a lane's head go on: into the collecting batch at once, when its
// event is made already, and else to a worker. Called with the lock held.
func (e *Engine) onward(l *lane) {
	st := e.stage.Load()
	if l.head.stage == st && e.joins(l.head) && !st.line.stopped && e.working < e.cfg.MaxInFlight && e.take(l) {
		e.join(l, st)
		return
	}
	e.ready.push(l)
}

// joins reports whether all that an event lacks on its stage is a batch. Once
// its assignment is over it lacks an end: workers hand back what they find not
// begun, and what stands behind it in its lane must not be sent after all.
func (e *Engine) joins(it *item) bool {
	return it.event != nil && it.letter == nil && it.stage.batch != nil && !it.single && it.lane.shard.ctx.Err() == nil
}

// forget takes an event out of every account.
func (e *Engine) forget(it *item) {
	s := it.lane.shard
	e.unhold(it)
	s.unlink(it)
	s.inFlight--
	e.inFlight--
	e.bytes -= it.size
	e.freed(s)
}

// freed follows after events left a shard's accounts.
func (e *Engine) freed(s *shard) {
	if s.ended && s.inFlight == 0 {
		delete(e.shards, s.assignment)
		close(s.empty)
	}
	e.invite(s)
}

// drop forgets a lane that has no event left.
func (e *Engine) drop(l *lane) {
	l.place = over
	if l.named {
		l.shard.lanes.remove(l.hash)
	}
	e.spare.putLane(l)
}

// spare keeps what was used, so that an event in steady state allocates
// neither its item nor its lane.
type spare struct {
	max   int // of each kind
	items []*item
	lanes []*lane
	slab  []item // not used yet
}

// itemSlab is how many items are allocated at a time.
const itemSlab = 32

func (s *spare) item() *item {
	if n := len(s.items); n > 0 {
		it := s.items[n-1]
		s.items = s.items[:n-1]
		return it
	}
	if len(s.slab) == 0 {
		s.slab = make([]item, itemSlab)
	}
	it := &s.slab[0]
	s.slab = s.slab[1:]
	return it
}

func (s *spare) putItem(it *item) {
	*it = item{}
	if len(s.items) < s.max {
		s.items = append(s.items, it)
	}
}

func (s *spare) lane() *lane {
	if n := len(s.lanes); n > 0 {
		l := s.lanes[n-1]
		s.lanes = s.lanes[:n-1]
		return l
	}
	return new(lane)
}

func (s *spare) putLane(l *lane) {
	*l = lane{place: over}
	if len(s.lanes) < s.max {
		s.lanes = append(s.lanes, l)
	}
}
