package instance

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/lsm/fiso/link/internal/credential"
	"github.com/lsm/fiso/link/internal/discovery"
	"github.com/lsm/fiso/link/internal/resilience"
	"github.com/lsm/fiso/link/internal/target"
	"github.com/lsm/fiso/link/spec"
)

// roster holds the targets that can be called. It is safe for concurrent use.
type roster struct {
	log       *slog.Logger
	refreshed func(target, status string)
	dns       *discovery.DNS

	mu      sync.RWMutex
	entries map[string]*entry
	retired sync.WaitGroup
}

// entry is one target, and the calls that use it.
type entry struct {
	target     *target.Target
	credential credential.Credential // nil: none
	vault      *spec.Vault           // that it was built with
	end        context.CancelFunc    // ends its calls
	leave      func()                // is release

	mu    sync.Mutex
	calls int
	gone  bool
	empty chan struct{} // closed once it is gone and no call uses it
}

// find is proxy.Proxy.Target.
func (r *roster) find(name string) (*target.Target, func()) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	e := r.entries[name]
	if e == nil {
		return nil, nil
	}
	e.mu.Lock()
	e.calls++
	e.mu.Unlock()
	return e.target, e.leave
}

func (e *entry) release() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.calls--; e.calls == 0 && e.gone {
		close(e.empty)
	}
}

// each calls do for every target, in the order of their names.
func (r *roster) each(do func(*entry)) {
	r.mu.RLock()
	all := make([]*entry, 0, len(r.entries))
	for _, e := range r.entries {
		all = append(all, e)
	}
	r.mu.RUnlock()
	slices.SortFunc(all, func(a, b *entry) int {
		if a.target.Spec.Name < b.target.Spec.Name {
			return -1
		}
		return 1
	})
	for _, e := range all {
		do(e)
	}
}

// replace takes the targets of a configuration over: those that did not change
// stay as they are, new ones are built before any old one goes. On an error
// nothing has changed.
func (r *roster) replace(c *spec.Config, vault *credential.Vault) error {
	next := map[string]*entry{}
	var fresh []*entry
	for i := range c.Targets {
		s := &c.Targets[i]
		if old := r.entries[s.Name]; old != nil && reflect.DeepEqual(old.target.Spec, s) && reflect.DeepEqual(old.vault, c.Vault) {
			next[s.Name] = old
			continue
		}
		e, err := r.build(s, c.Vault, vault)
		if err != nil {
			for _, e := range fresh {
				r.close(e)
			}
			return fmt.Errorf("target %s: %w", s.Name, err)
		}
		next[s.Name], fresh = e, append(fresh, e)
	}
	r.mu.Lock()
	old := r.entries
	r.entries = next
	r.mu.Unlock()
	for name, e := range old {
		if next[name] != e {
			r.retire(e, c.DrainTimeout)
		}
	}
	return nil
}

// build makes a target. It connects to nothing.
func (r *roster) build(s *spec.Target, v *spec.Vault, vault *credential.Vault) (*entry, error) {
	log := r.log.With("target", s.Name)
	cred, err := credential.New(&s.Auth, credential.Parts{Vault: vault, Log: log, Refreshed: func(status string) { r.refreshed(s.Name, status) }})
	if err != nil {
		return nil, err
	}
	endpoints := discovery.New(r.resolver(s))
	transport, err := newTransport(s, endpoints)
	if err != nil {
		return nil, errors.Join(err, closed(cred))
	}
	ended, end := context.WithCancel(context.Background())
	parts := target.Parts{
		Endpoints: endpoints, Transport: transport, Ended: ended,
		Changed: func(from, to resilience.State) {
			log.Warn("circuit breaker", "from", from.String(), "to", to.String())
		},
	}
	if cred != nil {
		parts.Credential = cred
	}
	t, err := target.New(s, parts)
	if err != nil {
		end()
		return nil, errors.Join(err, closed(cred))
	}
	e := &entry{target: t, credential: cred, vault: v, end: end, empty: make(chan struct{})}
	e.leave = e.release
	return e, nil
}

func closed(c credential.Credential) error {
	if c != nil {
		c.Close()
	}
	return nil
}

// resolver is where the addresses of a target come from.
func (r *roster) resolver(s *spec.Target) discovery.Resolver {
	switch {
	case len(s.Endpoints) > 0:
		return discovery.Static(s.Endpoints)
	case s.SRV != "":
		return r.dns.SRV(s.SRV)
	}
	host, port := s.Address()
	return r.dns.Host(host, port)
}

// retire lets go of a target once no call uses it, and ends its calls when they
// take longer than patience.
func (r *roster) retire(e *entry, patience time.Duration) {
	e.mu.Lock()
	e.gone = true
	if e.calls == 0 {
		close(e.empty)
	}
	e.mu.Unlock()
	r.retired.Go(func() {
		drain := time.NewTimer(patience)
		defer drain.Stop()
		select {
		case <-e.empty:
		case <-drain.C:
			e.end()
			<-e.empty
		}
		r.close(e)
	})
}

func (r *roster) close(e *entry) {
	e.end()
	e.target.Close()
	_ = closed(e.credential) // it has no error
}

// stop lets go of all targets; their calls are over.
func (r *roster) stop() {
	r.mu.Lock()
	old := r.entries
	r.entries = nil
	r.mu.Unlock()
	for _, e := range old {
		r.retire(e, 0)
	}
	r.retired.Wait()
}
