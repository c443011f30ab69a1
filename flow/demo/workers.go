package demo

import (
	"errors"
	"sync"
)

// workers runs goroutines and waits for them. The zero value is ready.
type workers struct {
	group sync.WaitGroup
	mu    sync.Mutex
	errs  []error
}

// start runs f in a goroutine, and returns a channel that is closed when f has ended.
func (w *workers) start(f func() error) <-chan struct{} {
	done := make(chan struct{})
	w.group.Go(func() {
		defer close(done)
		if err := f(); err != nil {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.errs = append(w.errs, err)
		}
	})
	return done
}

// wait waits until all goroutines have ended and returns their errors.
func (w *workers) wait() error {
	w.group.Wait()
	return errors.Join(w.errs...)
}

// ended drops err if it is the expected error of a stopped part.
func ended(err, expected error) error {
	if errors.Is(err, expected) {
		return nil
	}
	return err
}
