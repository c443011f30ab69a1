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

// storeCloseTimeout is how long the store of a removed target waits for records in
// flight: nobody waits for their result.
const storeCloseTimeout = 2 * time.Second

// buildTopic builds a target of protocol kafka. It connects to nothing.
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

// openStore opens the store for accepted calls or published bodies.
func (e *targetEntry) openStore(c *spec.Config, timeout time.Duration, log *slog.Logger) (err error) {
	brokers := c.Brokers()
	e.brokers = &brokers
	e.store, err = async.NewStore(brokers, timeout, false, log)
	return err
}

// addWorker adds a worker to a target, without starting it.
func (r *targetSet) addWorker(e *targetEntry, c *spec.Config, log *slog.Logger) (err error) {
	name := e.target.Spec.Name
	e.worker, err = async.NewWorker(async.Config{
		Target: e.target, Brokers: c.Brokers(), Deliver: r.deliver, Drain: max(c.DrainTimeout, time.Millisecond), Logger: log,
		OnDeadLetter: func(code string) { r.onDeadLetter(name, code) }, OnUnwritten: func(what string) { r.onUnwritten(name, what) },
		OnGap: func() { r.onGap(name) },
	})
	return err
}

// startWorker starts the worker of a target, if it has one, after the previous worker
// has released its partitions, so that no call is made twice and no key is in two
// workers.
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
			log.Error("worker failed", "action", "report it, and restart fiso-link", "target", e.target.Spec.Name, "error", err)
		}
	}()
}

// startWorkers starts all workers. Workers of targets that are added later start at
// once.
func (r *targetSet) startWorkers() {
	r.started = true
	r.each(func(e *targetEntry) { e.startWorker(nil, r.log) })
}

// stopWorkers stops all workers, without waiting.
func (r *targetSet) stopWorkers() {
	r.each(func(e *targetEntry) {
		if e.stopWorker != nil {
			e.stopWorker()
		}
	})
}

// closeKafka closes the worker and the store. The worker must have ended.
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

// sameBrokers reports whether two configurations connect to Kafka in the same way. A
// secret in a file is compared by its file, because it is read for each connection; one
// in the configuration, by its value.
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
