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

// Options are what a process decides. The zero value but for File works.
type Options struct {
	File        string
	ListenAddr  string // instead of the file's
	MetricsAddr string // the same
	Logger      *slog.Logger
	// OnListening hears where the instance listens, once it does. nil: nobody.
	OnListening func(calls, metrics net.Addr)
	// PollInterval is how often the files are looked at; default a second.
	PollInterval time.Duration
	// Tracing makes the spans of calls. nil: there are none, at no cost.
	Tracing trace.TracerProvider
}

// Server is one running fiso-link.
type Server struct {
	o       Options
	cfg     *spec.Config
	vault   *credential.Vault // nil: none
	files   *reload.Follower[*spec.Config]
	targets *targetSet
	metrics *metrics
	told    failureLog
	proxy   *proxy.Proxy
	server  *http1.Server // of connections; those that speak HTTP/2 are handed to http2
	http2   *h2.Server
	admin   *admin.Server
	calls   net.Listener

	mu    sync.Mutex
	fault error // of the file as it is; nil: it is in force
	drain bool
}

// New reads the file, and listens; nothing is called before Run. An error says
// what to do.
func New(o Options) (*Server, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.PollInterval <= 0 {
		o.PollInterval = time.Second
	}
	i := &Server{o: o, files: follow(o)}
	cfg, err := i.first()
	if err != nil {
		return nil, err
	}
	i.cfg = cfg
	if o.ListenAddr != "" {
		cfg.ListenAddr = o.ListenAddr
	}
	if o.MetricsAddr != "" {
		cfg.MetricsAddr = o.MetricsAddr
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	i.metrics = newMetrics(registry)
	i.proxy = &proxy.Proxy{Observe: i.observe, Defer: async.Accept, Publish: async.Publish}
	i.targets = &targetSet{
		log: o.Logger, dns: discovery.SystemDNS(), deliver: i.proxy.Deliver, buried: i.metrics.countDeadLetter, unwritten: i.metrics.countUnwritten,
		gap:       func(target string) { i.metrics.gaps.WithLabelValues(target).Inc() },
		refreshed: func(target, status string) { i.metrics.refreshes.WithLabelValues(target, status).Inc() },
	}
	i.proxy.Target = i.targets.find
	registry.MustRegister(newStanding(i.targets))
	if cfg.Vault != nil {
		if i.vault, err = credential.NewVault(cfg.Vault, credential.Parts{Log: o.Logger}); err != nil {
			return nil, err
		}
	}
	if err := i.targets.replace(cfg, i.vault); err != nil {
		return nil, errors.Join(err, i.closeVault())
	}
	if err := i.listen(registry); err != nil {
		i.targets.stop()
		return nil, errors.Join(err, i.closeVault())
	}
	return i, nil
}

func (i *Server) closeVault() error {
	if i.vault != nil {
		i.vault.Close()
	}
	return nil
}

// listen takes both addresses.
func (i *Server) listen(registry *prometheus.Registry) error {
	l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", i.cfg.ListenAddr)
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("%s is in use by another process: stop that, or set listenAddr or --listen-addr", i.cfg.ListenAddr)
	}
	if err != nil {
		return fmt.Errorf("listen for calls on %s (listenAddr or --listen-addr): %w", i.cfg.ListenAddr, err)
	}
	i.calls = l
	i.admin, err = admin.New(admin.Options{
		Addr: i.cfg.MetricsAddr, Setting: "metricsAddr or --metrics-addr", Registry: registry, Ready: i.report, Logger: i.o.Logger,
	})
	if err != nil {
		return errors.Join(err, l.Close())
	}
	addr, _ := l.Addr().(*net.TCPAddr)
	i.proxy.Guard = proxy.Guard{Loopback: addr.IP.IsLoopback(), Hosts: i.cfg.AllowedHosts, Origins: i.cfg.AllowedOrigins}
	if i.o.Tracing != nil {
		i.proxy.Tracer = i.o.Tracing.Tracer("github.com/lsm/fiso/link")
	}
	i.http2 = &h2.Server{Handler: i.proxy, Refuse: refuse, Limits: h2.Limits{Head: int(i.cfg.MaxHeaderBytes)}}
	i.server = &http1.Server{Handler: i.proxy, Refuse: refuseStatus, HTTP2: i.http2.ServeConn, Limits: http1.Limits{Head: int(i.cfg.MaxHeaderBytes), HeadSetting: call.RequestHeadSetting}}
	i.bodiesMayPause(i.cfg)
	return nil
}

// refuseStatus is refuse for a request of HTTP/1.1.
func refuseStatus(w call.ResponseWriter, status int, err error) { refuse(w, call.CodeOf(status), err) }

// refuse answers a request that is malformed.
func refuse(w call.ResponseWriter, code call.Code, err error) {
	p := call.NewProblem(code, "", err.Error())
	body := p.JSON()
	if w.Head(p.Status, p.Header(), int64(len(body))) != nil {
		return // the application is gone
	}
	_, _ = w.Write(body) // the same
	_ = w.End(nil)       // the same
}

// Run serves until ctx ends, and then lets calls under way finish for the drain
// timeout. It returns when nothing of the instance is left.
func (i *Server) Run(ctx context.Context) error {
	if i.o.OnListening != nil {
		i.o.OnListening(i.calls.Addr(), i.admin.Addr())
	}
	i.o.Logger.Info("fiso-link listens", "calls", i.calls.Addr().String(), "metrics", i.admin.Addr().String(), "targets", len(i.cfg.Targets))
	beside, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var others sync.WaitGroup
	others.Go(func() {
		if err := i.admin.Run(beside); err != nil {
			i.o.Logger.Error("health and metrics are no longer served", "error", err)
		}
	})
	i.targets.startWorkers()
	following := make(chan struct{})
	others.Go(func() { defer close(following); i.files.Run(ctx, i.apply) })
	var conns sync.WaitGroup
	others.Go(func() { i.accept(beside, &conns) })
	<-ctx.Done()
	i.o.Logger.Info("stopping: calls under way finish")
	i.mu.Lock()
	i.drain = true
	i.mu.Unlock()
	_ = i.calls.Close() // accept ends
	<-following         // no worker begins from here on
	i.targets.stopWorkers()
	limit, cancel := context.WithTimeout(beside, i.cfg.DrainTimeout)
	defer cancel()
	others.Go(func() { _ = i.http2.Shutdown(limit) }) // server says it when ctx ends first
	if err := i.server.Shutdown(limit); err != nil {
		i.o.Logger.Warn("calls were cut off: they took longer than drainTimeout", "drainTimeout", i.cfg.DrainTimeout.String())
	}
	stop()
	others.Wait() // accept, which may have had one more connection in hand
	conns.Wait()
	i.targets.stop()
	return i.closeVault()
}

// Close gives everything back. It is for an Instance that never runs.
func (i *Server) Close() error {
	i.targets.stop()
	return errors.Join(i.calls.Close(), i.admin.Close(), i.closeVault())
}

// accept serves connections, so many at once. One more waits until there is room,
// which connections make that ask for nothing; further ones wait in the kernel.
func (i *Server) accept(ctx context.Context, conns *sync.WaitGroup) {
	places := make(chan struct{}, i.cfg.MaxConnections)
	for {
		c, err := i.calls.Accept()
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return
			}
			i.o.Logger.Warn("a connection could not be accepted", "error", err)
			select {
			case <-time.After(100 * time.Millisecond): // too many files, most likely: it passes
			case <-ctx.Done():
				return
			}
			continue
		}
		i.acquireConnection(places)
		conns.Go(func() {
			defer func() { <-places }()
			i.server.ServeConn(ctx, c)
		})
	}
}

// acquireConnection takes a place. It ends with the calls under way, if not before.
func (i *Server) acquireConnection(places chan struct{}) {
	for {
		select {
		case places <- struct{}{}:
			return
		default:
			if !i.server.MakeRoom() {
				i.http2.CloseIdle()
			}
		}
		pause := time.NewTimer(50 * time.Millisecond) // where all are at work
		select {
		case places <- struct{}{}:
			pause.Stop()
			return
		case <-pause.C:
		}
	}
}

// report is how the instance stands: ready once it listens, until it drains.
func (i *Server) report() admin.Report {
	i.mu.Lock()
	fault, drain := i.fault, i.drain
	i.mu.Unlock()
	r := admin.Report{Ready: !drain, Checks: []admin.Check{{Name: "listener", OK: !drain}}}
	if drain {
		r.Checks[0].Reason = "stopping"
	}
	i.targets.each(func(e *targetEntry) {
		// A target that fails, and a worker that waits, leave the Pod in service: the
		// other calls work.
		c := admin.Check{Name: "target " + e.target.Spec.Name, OK: true}
		if s := e.target.Breaker.State(); s != resilience.Closed {
			c.OK, c.Reason = false, "circuit "+s.String()
		}
		r.Checks = append(r.Checks, c)
		if e.worker != nil {
			s, name := e.worker.Status(), "accepted calls of "+e.target.Spec.Name
			r.Checks = append(r.Checks, admin.Check{Name: name, OK: s.Problem == "", Reason: s.Problem})
			for _, n := range s.Notes {
				r.Notes = append(r.Notes, name+": "+n)
			}
		}
	})
	if fault != nil {
		r.Notes = append(r.Notes, fault.Error())
	}
	return r
}
