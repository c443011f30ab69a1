package delivery

import (
	"context"
	"errors"
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lsm/fiso/common/connector"
)

// Engine moves the messages of one source. See the package comment for what it
// promises, and DESIGN.md for how its parts fit.
type Engine struct {
	cfg  Config
	seed maphash.Seed
	// version is written with mu held, and read without it only to see whether
	// a version was replaced meanwhile.
	version   atomic.Pointer[version]
	started   atomic.Bool
	closing   chan struct{} // closed when the source has returned
	stop      chan struct{} // closed when every assignment is empty
	clockWake chan struct{} // tells the clock that something is due earlier
	watchers  sync.WaitGroup
	others    sync.WaitGroup // the workers and the clock

	mu           sync.Mutex // guards all below, and what they refer to
	closed       bool       // nothing is accepted any more
	assignments  map[*connector.Assignment]*assignment
	pauses       pauses
	inFlight     int   // messages accepted and not settled
	bytes        int64 // of those
	transforming int   // of those, being transformed by the source
	working      int   // tasks in workers' hands or in batches, of all versions
	sending      map[*batch]struct{}

	workers      int       // goroutines
	parked       int       // of those, waiting and not yet woken
	waking       int       // woken or started, and not at work yet
	minParked    int       // parked at any moment since the last trim
	toStop       int       // parked workers that were told to go
	newlyReady   int       // lanes and batches that became ready, and no worker was woken for
	nextStep     int       // of the steps, see pick
	wake         sync.Cond // wakes a parked worker
	clockWatches bool      // the clock looks after the limits
	clockDue     time.Time // when the clock wakes by itself; zero: it does not
	trimmed      time.Time

	blocked         map[*assignment]struct{} // those in which a handler waits for room
	waitForBytes    int                      // of those, waiting for bytes
	waitsForBacklog bool                     // a handler waits for the backlog to shrink
	held            map[*task]struct{}
	lastError       failure
	asked           askedPause
	spare           freeList

	logs limitedLog // has its own lock, taken under mu or without
}

// New makes an engine that works by v as soon as it is Run.
func New(cfg Config, v *Version) *Engine {
	cfg = cfg.withDefaults()
	e := &Engine{
		cfg:         cfg,
		seed:        maphash.MakeSeed(),
		closing:     make(chan struct{}),
		stop:        make(chan struct{}),
		clockWake:   make(chan struct{}, 1),
		assignments: make(map[*connector.Assignment]*assignment),
		blocked:     make(map[*assignment]struct{}),
		held:        make(map[*task]struct{}),
		sending:     make(map[*batch]struct{}),
		spare:       freeList{max: cfg.MaxInFlight},
	}
	e.wake.L = &e.mu
	e.version.Store(newVersion(cfg, v, nil))
	return e
}

// Run moves what src hands over until ctx ends, or until src gives up. When it
// returns, every message was settled and no goroutine of the engine is left.
// Its error is the source's. It is called once.
func (e *Engine) Run(ctx context.Context, src connector.Source) error {
	if e.started.Swap(true) {
		return errors.New("delivery: Run was called before")
	}
	e.others.Go(e.runClock)
	err := src.Run(ctx, e.handle)

	e.mu.Lock()
	e.closed = true
	e.mu.Unlock()
	close(e.closing)
	e.watchers.Wait()
	close(e.stop)
	e.mu.Lock()
	e.waking += e.parked
	e.parked = 0
	e.wake.Broadcast()
	e.mu.Unlock()
	e.others.Wait()
	return err
}
