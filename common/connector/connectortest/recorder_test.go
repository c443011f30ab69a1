package connectortest_test

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
)

// recorder is a testing.TB whose failures do not fail the real test.
type recorder struct {
	testing.TB // for what is not recorded

	ctx    context.Context
	cancel context.CancelFunc

	mu       sync.Mutex
	failures []string
	cleanups []func()
}

// record runs f like a test, clean-ups included, and returns its failures.
func record(t *testing.T, f func(t testing.TB)) []string {
	ctx, cancel := context.WithCancel(t.Context())
	r := &recorder{TB: t, ctx: ctx, cancel: cancel}
	done := make(chan struct{})
	go func() { // because Fatalf ends its goroutine
		defer close(done)
		defer r.clean()
		defer cancel()
		f(r)
	}()
	<-done
	return r.failures
}

func (r *recorder) clean() {
	r.mu.Lock()
	if len(r.cleanups) == 0 {
		r.mu.Unlock()
		return
	}
	last := r.cleanups[len(r.cleanups)-1]
	r.cleanups = r.cleanups[:len(r.cleanups)-1]
	r.mu.Unlock()
	defer r.clean()
	last()
}

func (r *recorder) Helper()                  {}
func (r *recorder) Context() context.Context { return r.ctx }
func (r *recorder) Failed() bool             { r.mu.Lock(); defer r.mu.Unlock(); return len(r.failures) > 0 }

func (r *recorder) Cleanup(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cleanups = append(r.cleanups, f)
}

func (r *recorder) Errorf(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failures = append(r.failures, fmt.Sprintf(format, args...))
}

func (r *recorder) Fatalf(format string, args ...any) {
	r.Errorf(format, args...)
	runtime.Goexit()
}

// failsWith asserts that one of the failures contains want.
func failsWith(t *testing.T, failures []string, want string) {
	t.Helper()
	for _, f := range failures {
		if strings.Contains(f, want) {
			return
		}
	}
	t.Errorf("no failure says %q; failures: %q", want, failures)
}
