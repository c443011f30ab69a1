package demo

import (
	"errors"
	"sync"
)

// workers are goroutines with one owner, who waits for them. The zero value is
// ready.
type workers struct {
	group sync.WaitGroup
	mu    sync.Mutex
	errs  []error
}

// start runs f, and returns a channel that is closed when f has ended.
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

// wait returns what went wrong, once all have ended.
func (w *workers) wait() error {
	w.group.Wait()
	return errors.Join(w.errs...)
}

// ended drops the error that only says that something was told to end.
func ended(err, expected error) error {
	if errors.Is(err, expected) {
		return nil
	}
	return err
}
