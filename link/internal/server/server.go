package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"go.opentelemetry.io/otel/trace"

	"github.com/lsm/fiso/common/admin"
	"github.com/lsm/fiso/common/http1"
	"github.com/lsm/fiso/common/reload"
	"github.com/lsm/fiso/link/internal/async"
	"github.com/lsm/fiso/link/internal/call"
	"github.com/lsm/fiso/link/internal/credential"
	"github.com/lsm/fiso/link/internal/discovery"
	"github.com/lsm/fiso/link/internal/h2"
	"github.com/lsm/fiso/link/internal/proxy"
	"github.com/lsm/fiso/link/internal/resilience"
	"github.com/lsm/fiso/link/spec"
)

// Options are the settings of a process. Only File is required.
type Options struct {
	File        string
	ListenAddr  string // instead of the file's
	MetricsAddr string // the same
	Logger      *slog.Logger
	// OnListening is called with both addresses when the server listens. May be nil.
	OnListening func(calls, metrics net.Addr)
	// PollInterval is how often the file is checked; default one second.
	PollInterval time.Duration
	// Tracing makes the spans of calls. nil: no spans, at no cost.
	Tracing trace.TracerProvider
}

// Server is one running fiso-link.
type Server struct {
	o        Options
	cfg      *spec.Config
	vault    *credential.Vault // nil: none
	files    *reload.Follower[*spec.Config]
	targets  *targetSet
	metrics  *metrics
	failures failureLog
	proxy    *proxy.Proxy
	server   *http1.Server // serves connections, and hands those of HTTP/2 to http2
	http2    *h2.Server
	admin    *admin.Server
	calls    net.Listener

	mu    sync.Mutex
	fault error // of the current file; nil: it is in use
	drain bool
}

// New reads the file and listens. Calls are served by Run.
func New(o Options) (*Server, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.PollInterval <= 0 {
		o.PollInterval = time.Second
	}
	s := &Server{o: o, files: follow(o)}
	cfg, err := s.first()
	if err != nil {
		return nil, err
	}
	s.cfg = cfg
	if o.ListenAddr != "" {
		cfg.ListenAddr = o.ListenAddr
	}
	if o.MetricsAddr != "" {
		cfg.MetricsAddr = o.MetricsAddr
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	s.metrics = newMetrics(registry)
	s.proxy = &proxy.Proxy{Observe: s.observe, Defer: async.Accept, Publish: async.Publish}
	s.targets = &targetSet{
		log: o.Logger, dns: discovery.SystemDNS(), deliver: s.proxy.Deliver, onDeadLetter: s.metrics.countDeadLetter, onUnwritten: s.metrics.countUnwritten,
		onGap:     func(target string) { s.metrics.gaps.WithLabelValues(target).Inc() },
		refreshed: func(target, status string) { s.metrics.refreshes.WithLabelValues(target, status).Inc() },
	}
	s.proxy.Target = s.targets.find
	registry.MustRegister(newStateGauges(s.targets))
	if cfg.Vault != nil {
		if s.vault, err = credential.NewVault(cfg.Vault, credential.Parts{Log: o.Logger}); err != nil {
			return nil, err
		}
	}
	if err := s.targets.replace(cfg, s.vault); err != nil {
		return nil, errors.Join(err, s.closeVault())
	}
	if err := s.listen(registry); err != nil {
		s.targets.stop()
		return nil, errors.Join(err, s.closeVault())
	}
	return s, nil
}

func (s *Server) closeVault() error {
	if s.vault != nil {
		s.vault.Close()
	}
	return nil
}

// listen opens both addresses.
func (s *Server) listen(registry *prometheus.Registry) error {
	l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", s.cfg.ListenAddr)
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("%s is in use by another process: stop it, or set another address with listenAddr or --listen-addr", s.cfg.ListenAddr)
	}
	if err != nil {
		return fmt.Errorf("listen for calls on %s (listenAddr or --listen-addr): %w", s.cfg.ListenAddr, err)
	}
	s.calls = l
	s.admin, err = admin.New(admin.Options{
		Addr: s.cfg.MetricsAddr, Setting: "metricsAddr or --metrics-addr", Registry: registry, Ready: s.report, Logger: s.o.Logger,
	})
	if err != nil {
		return errors.Join(err, l.Close())
	}
	addr, _ := l.Addr().(*net.TCPAddr)
	s.proxy.Guard = proxy.Guard{Loopback: addr.IP.IsLoopback(), Hosts: s.cfg.AllowedHosts, Origins: s.cfg.AllowedOrigins}
	if s.o.Tracing != nil {
		s.proxy.Tracer = s.o.Tracing.Tracer("github.com/lsm/fiso/link")
	}
	s.http2 = &h2.Server{Handler: s.proxy, Refuse: refuse, Limits: h2.Limits{Head: int(s.cfg.MaxHeaderBytes)}}
	s.server = &http1.Server{
		Handler: s.proxy, Refuse: refuseStatus, HTTP2: s.http2.ServeConn,
		Limits: http1.Limits{Head: int(s.cfg.MaxHeaderBytes), HeadSetting: call.RequestHeadSetting},
	}
	s.bodiesMayPause(s.cfg)
	return nil
}

// refuseStatus is refuse for an HTTP/1.1 request.
func refuseStatus(w http1.ResponseWriter, status int, err error) { refuse(w, call.CodeOf(status), err) }

// refuse answers a malformed request.
func refuse(w http1.ResponseWriter, code call.Code, err error) {
	p := call.NewProblem(code, "", err.Error())
	body := p.JSON()
	if w.Head(p.Status, p.Header(), int64(len(body))) != nil {
		return // the application has left
	}
	_, _ = w.Write(body) // as above
	_ = w.End(nil)       // as above
}

// Run serves until ctx ends, then lets calls in flight finish for the drain timeout.
// When it returns, nothing of the server is left.
func (s *Server) Run(ctx context.Context) error {
	if s.o.OnListening != nil {
		s.o.OnListening(s.calls.Addr(), s.admin.Addr())
	}
	s.o.Logger.Info("listening", "calls", s.calls.Addr().String(), "metrics", s.admin.Addr().String(), "targets", len(s.cfg.Targets))
	beside, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var others sync.WaitGroup
	others.Go(func() {
		if err := s.admin.Run(beside); err != nil {
			s.o.Logger.Error("health and metrics listener failed", "error", err)
		}
	})
	s.targets.startWorkers()
	following := make(chan struct{})
	others.Go(func() { defer close(following); s.files.Run(ctx, s.apply) })
	var conns sync.WaitGroup
	others.Go(func() { s.accept(beside, &conns) })
	<-ctx.Done()
	s.o.Logger.Info("stopping")
	s.mu.Lock()
	s.drain = true
	s.mu.Unlock()
	_ = s.calls.Close() // accept ends
	<-following         // no worker starts any more
	s.targets.stopWorkers()
	limit, cancel := context.WithTimeout(beside, s.cfg.DrainTimeout)
	defer cancel()
	others.Go(func() { _ = s.http2.Shutdown(limit) }) // s.server reports it if ctx ends first
	if err := s.server.Shutdown(limit); err != nil {
		s.o.Logger.Warn("calls cut off after drain timeout", "drainTimeout", s.cfg.DrainTimeout.String())
	}
	stop()
	others.Wait() // accept may still hold one more connection
	conns.Wait()
	s.targets.stop()
	return s.closeVault()
}

// Close releases everything. It is for a Server that never runs.
func (s *Server) Close() error {
	s.targets.stop()
	return errors.Join(s.calls.Close(), s.admin.Close(), s.closeVault())
}

// accept serves up to maxConnections connections. One more waits until there is room,
// which unused connections make; further ones wait in the kernel's queue.
func (s *Server) accept(ctx context.Context, conns *sync.WaitGroup) {
	places := make(chan struct{}, s.cfg.MaxConnections)
	for {
		c, err := s.calls.Accept()
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return
			}
			s.o.Logger.Warn("accept failed", "error", err)
			select {
			case <-time.After(100 * time.Millisecond): // most likely too many open files, which is temporary
			case <-ctx.Done():
				return
			}
			continue
		}
		s.acquireConnection(places)
		conns.Go(func() {
			defer func() { <-places }()
			s.server.ServeConn(ctx, c)
		})
	}
}

// acquireConnection takes one of the places for connections. It returns at the latest
// when calls in flight have ended.
func (s *Server) acquireConnection(places chan struct{}) {
	for {
		select {
		case places <- struct{}{}:
			return
		default:
			if !s.server.MakeRoom() {
				s.http2.MakeRoom()
			}
		}
		pause := time.NewTimer(50 * time.Millisecond) // poll: all connections may be in use
		select {
		case places <- struct{}{}:
			pause.Stop()
			return
		case <-pause.C:
		}
	}
}

// report returns health and readiness: ready once the server listens, until it drains.
func (s *Server) report() admin.Report {
	s.mu.Lock()
	fault, drain := s.fault, s.drain
	s.mu.Unlock()
	r := admin.Report{Ready: !drain, Checks: []admin.Check{{Name: "listener", OK: !drain}}}
	if drain {
		r.Checks[0].Reason = "stopping"
	}
	s.targets.each(func(e *targetEntry) {
		// A failing target or a waiting worker does not make the Pod unready: other
		// calls work.
		c := admin.Check{Name: "target " + e.target.Spec.Name, OK: true}
		if state := e.target.Breaker.State(); state != resilience.Closed {
			c.OK, c.Reason = false, "circuit "+state.String()
		}
		r.Checks = append(r.Checks, c)
		if e.worker != nil {
			status, name := e.worker.Status(), "accepted calls of "+e.target.Spec.Name
			r.Checks = append(r.Checks, admin.Check{Name: name, OK: status.Problem == "", Reason: status.Problem})
			for _, n := range status.Notes {
				r.Notes = append(r.Notes, name+": "+n)
			}
		}
	})
	if fault != nil {
		r.Notes = append(r.Notes, fault.Error())
	}
	return r
}
