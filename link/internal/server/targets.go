package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"reflect"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/lsm/fiso/common/http1"
	"github.com/lsm/fiso/connectors/kafka"
	"github.com/lsm/fiso/link/internal/async"
	"github.com/lsm/fiso/link/internal/credential"
	"github.com/lsm/fiso/link/internal/discovery"
	"github.com/lsm/fiso/link/internal/resilience"
	"github.com/lsm/fiso/link/internal/target"
	"github.com/lsm/fiso/link/internal/tunnel"
	"github.com/lsm/fiso/link/spec"
)

// targetSet holds the targets that can be called. It is safe for concurrent use.
type targetSet struct {
	log       *slog.Logger
	refreshed func(target, status string)
	dns       *discovery.DNS
	// For the workers of targets with async.
	deliver      func(ctx context.Context, w http1.ResponseWriter, t *target.Target, r *http1.Request) error
	onDeadLetter func(target, code string)
	onUnwritten  func(target, what string)
	onGap        func(target string)
	started      bool // workers run; set before the first reload

	mu      sync.RWMutex
	entries map[string]*targetEntry
	retired sync.WaitGroup
}

// targetEntry is one target, and the calls that use it.
type targetEntry struct {
	target     *target.Target
	credential credential.Credential // nil: none
	proxy      *credential.Proxy     // nil: none
	vault      *spec.Vault           // it was built with
	end        context.CancelFunc    // ends its calls
	brokers    *kafka.ClientConfig   // it was built with; nil: none
	store      *async.Store          // nil: the target stores no records
	worker     *async.Worker         // nil: no calls are made later
	stopWorker context.CancelFunc    // nil: not started
	workerDone chan struct{}         // closed when the worker has ended; nil: not started
	leave      func()                // the method release

	mu      sync.Mutex
	calls   int
	retired bool
	idle    chan struct{} // closed when the target is retired and no call uses it
}

// find is proxy.Proxy.Target.
func (r *targetSet) find(name string) (*target.Target, func()) {
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

func (e *targetEntry) release() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.calls--; e.calls == 0 && e.retired {
		close(e.idle)
	}
}

// each calls do for every target, in order of name.
func (r *targetSet) each(do func(*targetEntry)) {
	r.mu.RLock()
	all := make([]*targetEntry, 0, len(r.entries))
	for _, e := range r.entries {
		all = append(all, e)
	}
	r.mu.RUnlock()
	slices.SortFunc(all, func(a, b *targetEntry) int {
		if a.target.Spec.Name < b.target.Spec.Name {
			return -1
		}
		return 1
	})
	for _, e := range all {
		do(e)
	}
}

// replace replaces the targets by those of a configuration. Targets that did not change
// are kept; new ones are built before old ones are retired. On an error nothing has
// changed.
func (r *targetSet) replace(c *spec.Config, vault *credential.Vault) error {
	next := map[string]*targetEntry{}
	var fresh []*targetEntry
	for i := range c.Targets {
		s := &c.Targets[i]
		if old := r.entries[s.Name]; old != nil && old.matches(s, c) {
			next[s.Name] = old
			continue
		}
		e, err := r.build(s, c, vault)
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
	if r.started {
		for _, e := range fresh {
			e.startWorker(old[e.target.Spec.Name], r.log)
		}
	}
	return nil
}

// matches reports whether the entry was built from the same configuration.
func (e *targetEntry) matches(s *spec.Target, c *spec.Config) bool {
	return reflect.DeepEqual(e.target.Spec, s) && reflect.DeepEqual(e.vault, c.Vault) && (e.brokers == nil || sameBrokers(*e.brokers, c.Brokers()))
}

// build builds a target. It connects to nothing.
func (r *targetSet) build(s *spec.Target, c *spec.Config, vault *credential.Vault) (*targetEntry, error) {
	if s.Protocol == "kafka" {
		return r.buildTopic(s, c)
	}
	log := r.log.With("target", s.Name)
	cred, err := credential.New(&s.Auth, credential.Parts{Vault: vault, Log: log, Refreshed: func(status string) { r.refreshed(s.Name, status) }})
	if err != nil {
		return nil, err
	}
	proxy, err := proxyOf(s, credential.Parts{Vault: vault, Log: log})
	if err != nil {
		return nil, errors.Join(err, asCloser(cred))
	}
	endpoints := discovery.New(r.resolver(s, proxy.Tunnel()))
	transport, err := newTransport(s, proxy.Tunnel().Wrap(endpoints.Dial))
	if err != nil {
		proxy.Close()
		return nil, errors.Join(err, asCloser(cred))
	}
	ended, end := context.WithCancel(context.Background())
	parts := target.Parts{
		Endpoints: endpoints, Transport: transport, Retired: ended,
		BreakerChanged: func(from, to resilience.State) {
			log.Warn("circuit breaker changed", "from", from.String(), "to", to.String())
		},
	}
	if cred != nil {
		parts.Credential = cred
	}
	e := &targetEntry{credential: cred, proxy: proxy, vault: c.Vault, end: end, idle: make(chan struct{})}
	if s.Async != nil {
		if err := e.openStore(c, s.Async.Timeout, log); err != nil {
			end()
			proxy.Close()
			return nil, errors.Join(err, asCloser(cred))
		}
		parts.Records = e.store
	}
	e.leave = e.release
	if e.target, err = target.New(s, parts); err != nil {
		end()
		proxy.Close()
		return nil, errors.Join(err, asCloser(cred), e.closeKafka())
	}
	if s.Async != nil {
		if err := r.addWorker(e, c, log); err != nil {
			r.close(e)
			return nil, err
		}
	}
	return e, nil
}

func asCloser(c credential.Credential) error {
	if c != nil {
		c.Close()
	}
	return nil
}

// proxyOf returns the proxy of a target; nil if there is none, or if noProxy has the
// target's name. Connections to the addresses of such a name do not use the proxy
// either.
func proxyOf(s *spec.Target, parts credential.Parts) (*credential.Proxy, error) {
	proxy, err := credential.NewProxy("proxy", s.Proxy, s.UsesTLS(), parts)
	if err != nil || len(s.Endpoints) > 0 || proxy.Tunnel().ProxyFor(hostPort(s)) != "" {
		return proxy, err
	}
	proxy.Close()
	return nil, nil
}

func hostPort(s *spec.Target) string {
	host, port := s.Address()
	return net.JoinHostPort(host, strconv.Itoa(port))
}

// resolver returns the source of a target's addresses.
func (r *targetSet) resolver(s *spec.Target, proxy *tunnel.Proxy) discovery.Resolver {
	switch {
	case len(s.Endpoints) > 0:
		return discovery.Static(s.Endpoints)
	case s.SRV != "":
		return r.dns.SRV(s.SRV)
	case proxy != nil:
		return discovery.Static{hostPort(s)} // the proxy resolves the name, which may be unknown here
	}
	host, port := s.Address()
	return r.dns.Host(host, port)
}

// retire closes a target when no call uses it, and ends its calls after patience. Its
// worker is stopped at once, and drains by its own timeout.
func (r *targetSet) retire(e *targetEntry, patience time.Duration) {
	if e.stopWorker != nil {
		e.stopWorker()
	}
	e.mu.Lock()
	e.retired = true
	if e.calls == 0 {
		close(e.idle)
	}
	e.mu.Unlock()
	r.retired.Go(func() {
		drain := time.NewTimer(patience)
		defer drain.Stop()
		select {
		case <-e.idle:
		case <-drain.C:
			e.end()
			<-e.idle
		}
		if e.workerDone != nil {
			<-e.workerDone
		}
		r.close(e)
	})
}

func (r *targetSet) close(e *targetEntry) {
	e.end()
	e.target.Close()
	e.proxy.Close()
	if err := errors.Join(asCloser(e.credential), e.closeKafka()); err != nil {
		r.log.Warn("kafka records abandoned", "target", e.target.Spec.Name, "error", err)
	}
}

// stop closes all targets. Their calls are over.
func (r *targetSet) stop() {
	r.mu.Lock()
	old := r.entries
	r.entries = nil
	r.mu.Unlock()
	for _, e := range old {
		r.retire(e, 0)
	}
	r.retired.Wait()
}
