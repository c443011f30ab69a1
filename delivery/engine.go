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

// Engine moves the messages of one source. The package comment lists its
// guarantees, DESIGN.md describes its parts.
type Engine struct {
	cfg  Config
	seed maphash.Seed
	// version is written with mu held. Without mu it is only compared with
	// another version, to notice a Swap.
	version   atomic.Pointer[version]
	started   atomic.Bool
	closing   chan struct{} // closed when the source has returned
	stop      chan struct{} // closed when every assignment is empty
	clockWake chan struct{} // wakes the clock: something is due earlier
	watchers  sync.WaitGroup
	others    sync.WaitGroup // the workers and the clock

	mu           sync.Mutex // guards all fields below, and what they refer to
	closed       bool       // no message is accepted any more
	assignments  map[*connector.Assignment]*assignment
	pauses       pauses
	inFlight     int   // messages accepted and not settled
	bytes        int64 // of those messages
	transforming int   // messages being transformed by the source
	working      int   // tasks that workers have or that are in batches, of all versions
	sending      map[*batch]struct{}

	workers      int       // goroutines
	busy         int       // workers that work on a task or a batch, of any version
	parked       int       // workers that wait and were not woken
	waking       int       // workers woken or started that do not run yet
	minParked    int       // the least of parked since the last trim
	toStop       int       // parked workers that were woken to stop
	newlyReady   int       // lanes and batches that became ready since wakeWorkers
	nextStep     int       // the step that pick tried last
	wake         sync.Cond // wakes a parked worker
	clockWatches bool      // the clock adjusts the worker limits
	clockDue     time.Time // when the clock's timer fires; zero: never
	trimmed      time.Time

	blocked         map[*assignment]struct{} // assignments with a handler that waits for room
	waitingForBytes int                      // how many of them wait for bytes
	waitsForBacklog bool                     // a handler waits for the backlog to shrink
	held            map[*task]struct{}
	lastError       failure
	asked           askedPause
	spare           freeList

	logs limitedLog // has its own lock, which is never taken with mu held
}

// New makes an engine with a first version. Run starts it.
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

// Run moves the messages of src until ctx ends or src.Run returns. When Run
// returns, every message is settled and no goroutine of the engine is left. It
// returns the error of src.Run. It is called once.
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
