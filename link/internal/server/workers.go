package server

import (
	"context"
	"log/slog"
	"reflect"
	"slices"
	"time"

	"github.com/lsm/fiso/common/config"
	"github.com/lsm/fiso/connectors/kafka"
	"github.com/lsm/fiso/link/internal/async"
	"github.com/lsm/fiso/link/internal/target"
	"github.com/lsm/fiso/link/spec"
)

// storeCloseTimeout is how long a store of a target that is gone waits for Kafka: nobody
// waits for what it has under way.
const storeCloseTimeout = 2 * time.Second

// buildTopic makes a target that is a topic. It connects to nothing.
func (r *targetSet) buildTopic(s *spec.Target, c *spec.Config) (*targetEntry, error) {
	ended, end := context.WithCancel(context.Background())
	e := &targetEntry{end: end, idle: make(chan struct{})}
	e.leave = e.release
	err := e.openStore(c, s.Kafka.Timeout, r.log.With("target", s.Name))
	if err == nil {
		e.target, err = target.New(s, target.Parts{Records: e.store, Retired: ended})
	}
	if err != nil {
		end()
		_ = e.closeKafka() // nothing was written
		return nil, err
	}
	return e, nil
}

// openStore opens where accepted calls, or published bodies, go.
func (e *targetEntry) openStore(c *spec.Config, timeout time.Duration, log *slog.Logger) (err error) {
	brokers := c.Brokers()
	e.brokers = &brokers
	e.store, err = async.NewStore(brokers, timeout, false, log)
	return err
}

// addWorker gives a target a worker, which is not started.
func (r *targetSet) addWorker(e *targetEntry, c *spec.Config, log *slog.Logger) (err error) {
	name := e.target.Spec.Name
	e.worker, err = async.NewWorker(async.Config{
		Target: e.target, Brokers: c.Brokers(), Deliver: r.deliver, Drain: max(c.DrainTimeout, time.Millisecond), Logger: log,
		OnDeadLetter: func(code string) { r.buried(name, code) }, OnUnwritten: func(what string) { r.unwritten(name, what) },
		OnGap: func() { r.gap(name) },
	})
	return err
}

// startWorker starts the worker of a target, if it has one, once that of the target
// before it has let go of its partitions: so nothing is made twice, and no key
// is worked on by two.
func (e *targetEntry) startWorker(before *targetEntry, log *slog.Logger) {
	if e.worker == nil {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	e.stopWorker, e.workerDone = cancel, make(chan struct{})
	go func() {
		defer close(e.workerDone)
		defer cancel()
		if before != nil && before.workerDone != nil {
			<-before.workerDone
		}
		if err := e.worker.Run(ctx); err != nil {
			log.Error("accepted calls are no longer made: please report it, and restart fiso-link", "target", e.target.Spec.Name, "error", err)
		}
	}()
}

// startWorkers starts all workers; those of targets that come later start with them.
func (r *targetSet) startWorkers() {
	r.started = true
	r.each(func(e *targetEntry) { e.startWorker(nil, r.log) })
}

// stopWorkers tells all workers to stop, and waits for none.
func (r *targetSet) stopWorkers() {
	r.each(func(e *targetEntry) {
		if e.stopWorker != nil {
			e.stopWorker()
		}
	})
}

// closeKafka lets go of Kafka. The worker has ended by then.
func (e *targetEntry) closeKafka() error {
	ctx, cancel := context.WithTimeout(context.Background(), storeCloseTimeout)
	defer cancel()
	var err error
	if e.worker != nil {
		err = e.worker.Close(ctx)
	}
	if e.store != nil {
		if again := e.store.Close(ctx); err == nil {
			err = again
		}
	}
	return err
}

// sameBrokers reports whether two configurations connect to Kafka alike. Secrets
// are read anew for every connection: only where they are read from counts, and
// what they are where that is the file itself.
func sameBrokers(a, b kafka.ClientConfig) bool {
	x, y := a.SASL, b.SASL
	return slices.Equal(a.Brokers, b.Brokers) && reflect.DeepEqual(a.TLS, b.TLS) && x.Mechanism == y.Mechanism && x.Username == y.Username &&
		x.TokenFile == y.TokenFile && slices.Equal(x.Extensions, y.Extensions) && sameSecret(x.Password, y.Password) && sameSecret(x.Token, y.Token)
}

func sameSecret(a, b config.Secret) bool {
	if !slices.Equal(a.Files(), b.Files()) {
		return false
	}
	if len(a.Files()) > 0 {
		return true
	}
	x, errX := a.Reveal()
	y, errY := b.Reveal()
	return errX == nil && errY == nil && x == y
}
