package rounds

import (
	"context"
	"errors"
	"io"
	"sync"
)

// background is the goroutines next to a run.
type background struct {
	ctx     context.Context
	cancel  context.CancelFunc
	running sync.WaitGroup
	closers []io.Closer

	mu  sync.Mutex
	err error
}

func newBackground(ctx context.Context) *background {
	c := &background{}
	c.ctx, c.cancel = context.WithCancel(ctx)
	return c
}

func (c *background) start(do func() error) {
	c.running.Go(func() {
		if err := do(); err != nil && c.ctx.Err() == nil {
			c.mu.Lock()
			c.err = errors.Join(c.err, err)
			c.mu.Unlock()
		}
	})
}

// close registers something to close at the end, before the goroutines are awaited.
func (c *background) close(what io.Closer) { c.closers = append(c.closers, what) }

// end stops all goroutines, waits for them, and returns their errors.
func (c *background) end() error {
	c.cancel()
	for _, what := range c.closers {
		_ = what.Close() // its readers stop with an error
	}
	c.running.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}
