package http

import (
	"context"
	"slices"
	"time"
)

// group is the calls under way whose contexts end together: those with the
// same Done channel. It registers with the context once, where each call for
// itself would take the context's lock twice and leave garbage. In a flow, a
// handful of contexts serve all calls. Under the pool's lock.
type group struct {
	done  <-chan struct{}
	calls int  // under way
	kept  bool // stays when no call is under way
	stop  func() bool
}

// enter counts a call in. It is nil for a context that never ends.
func (p *pool) enter(ctx context.Context) *group {
	done := ctx.Done()
	if done == nil {
		return nil
	}
	g := p.groups[done]
	if g == nil {
		g = &group{done: done, kept: slices.Contains(p.recent[:], done)}
		p.groups[done] = g
		p.aborting.Add(1)
		g.stop = context.AfterFunc(ctx, func() {
			defer p.aborting.Done()
			p.abort(g)
		})
	} else {
		g.kept = true
	}
	g.calls++
	return g
}

// leave counts the call of c out. A group that had one call is let go: a
// program that makes a context a call would pile them up. One that had more, or
// whose context comes again, is kept until that ends, or the sink is closed.
func (p *pool) leave(c *conn) {
	g := c.group
	if g == nil {
		return
	}
	c.group = nil
	g.calls--
	if g.calls == 0 && (!g.kept || p.closed) {
		p.drop(g)
	}
}

// drop lets a group go.
func (p *pool) drop(g *group) {
	if p.groups[g.done] != g {
		return // its context has ended
	}
	delete(p.groups, g.done)
	p.recent[p.letGo%len(p.recent)] = g.done
	p.letGo++
	if g.stop() {
		p.aborting.Done()
	}
}

// abort ends the calls of a group whose context ended.
func (p *pool) abort(g *group) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.groups[g.done] == g {
		delete(p.groups, g.done)
	}
	past := time.Unix(1, 0)
	for c := range p.conns {
		if c.group == g {
			c.aborted = true
			_ = c.SetDeadline(past) // it fails when the connection is closed already
		}
	}
}
