// Package demo shows fiso-link at work: a real server between a small application and a
// service that fails as real services do. A script causes the failures, both sides
// count, and the summary says whether every promise was kept.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/lsm/fiso/common/telemetry"
	sidecar "github.com/lsm/fiso/link/internal/server"

	_ "embed"
)

// Options configure the demo.
type Options struct {
	// Out is where progress is shown. Terminal says whether it can be redrawn.
	Out      io.Writer
	Terminal bool
	// Length is how long calls are made; default 16 s. Failures happen at fixed
	// fractions of it, and a step that needs longer gets it.
	Length time.Duration
	// Keep keeps everything running after the totals, until ctx ends.
	Keep bool
}

// ErrBroken is returned when a promise was not kept.
var ErrBroken = errors.New("a promise was broken")

//go:embed config.yaml
var configFile string

// reloaded is added to the file while fiso-link runs: one more target.
const reloaded = `  - name: weather             # added while it ran
    protocol: http
    host: UPSTREAM
    basePath: /weather
`

// demo holds everything that runs during a demo.
type demo struct {
	opts     Options
	ledger   *ledger
	upstream *upstream
	app      *application
	dir      string // of the configuration, the secrets and the log
	address  string // of the upstream
	calls    string // address of fiso-link for calls
	metrics  string // address of its metrics
	group    sync.WaitGroup
}

// Run runs the demo, and returns the summary; the error is ErrBroken if a promise was
// not kept. It ends early when ctx does.
func Run(ctx context.Context, opts Options) (Summary, error) {
	if opts.Length <= 0 {
		opts.Length = 16 * time.Second
	}
	s := &demo{opts: opts, ledger: newLedger()}
	s.upstream = newUpstream(s.ledger, max(2*time.Second, opts.Length/3))
	return s.run(ctx)
}

func (s *demo) run(ctx context.Context) (sum Summary, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer s.group.Wait() // wait for everything started here
	defer cancel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return sum, fmt.Errorf("start the service: %w", err)
	}
	s.address = listener.Addr().String()
	server := &http.Server{Handler: s.upstream.handler(), ReadHeaderTimeout: 5 * time.Second}
	s.group.Go(func() { _ = server.Serve(listener) }) // returns when it is closed
	defer func() { _ = server.Close() }()             // no caller is left
	remove, err := s.writeFiles()
	if err != nil {
		return sum, err
	}
	defer remove()
	log, err := os.Create(s.logPath())
	if err != nil {
		return sum, fmt.Errorf("keep fiso-link's log: %w", err)
	}
	defer func() { _ = log.Close() }() // the folder is removed anyway
	up := make(chan struct{})
	link, err := sidecar.New(sidecar.Options{
		File: s.path(), PollInterval: 100 * time.Millisecond,
		Logger: slog.New(&logTap{telemetry.Logger(log, slog.LevelInfo, false).Handler(), s.ledger, ""}),
		OnListening: func(calls, metrics net.Addr) {
			s.calls, s.metrics = calls.String(), metrics.String()
			close(up)
		},
	})
	if err != nil {
		return sum, fmt.Errorf("start fiso-link: %w", err)
	}
	linkCtx, stop := context.WithCancel(ctx)
	var failure error
	ended := make(chan struct{})
	s.group.Go(func() { defer close(ended); failure = link.Run(linkCtx) })
	<-up
	sum, err = s.play(ctx)
	stop()
	<-ended // before the service stops
	return sum, errors.Join(err, failure)
}

// play makes calls while the script runs, then counts.
func (s *demo) play(ctx context.Context) (Summary, error) {
	s.introduce()
	s.app = newApplication(s.calls, s.ledger)
	defer s.app.close()
	p := &panel{out: s.opts.Out, terminal: s.opts.Terminal, stage: s}
	showCtx, stopShow := context.WithCancel(ctx)
	defer stopShow()
	shown := make(chan struct{})
	s.group.Go(func() { defer close(shown); p.run(showCtx) })
	traffic, stopTraffic := context.WithCancel(ctx)
	defer stopTraffic()
	var callers, reader sync.WaitGroup
	streaming, stopStream := context.WithCancel(ctx)
	defer stopStream()
	s.app.traffic(ctx, traffic, &callers)
	reader.Go(func() { s.app.read(streaming) })

	err := s.script(ctx)
	stopTraffic()
	callers.Wait()
	stopStream()
	reader.Wait()
	stopShow()
	<-shown
	if err != nil {
		return Summary{}, err
	}
	sum, err := s.count(ctx)
	if err != nil {
		return sum, err
	}
	s.conclude(sum)
	if len(sum.Broken) > 0 {
		return sum, fmt.Errorf("%w: %s", ErrBroken, strings.Join(sum.Broken, "; "))
	}
	if s.opts.Keep {
		s.keep()
		<-ctx.Done()
	}
	return sum, nil
}

// writeFiles writes the configuration and the secrets into a temporary folder.
func (s *demo) writeFiles() (remove func(), err error) {
	if s.dir, err = os.MkdirTemp("", "fiso-link-demo-"); err != nil {
		return nil, fmt.Errorf("make a folder for the configuration: %w", err)
	}
	remove = func() { _ = os.RemoveAll(s.dir) } // in the system's temporary folder, which is cleaned anyway
	err = errors.Join(
		s.save("client-secret", s.upstream.clientSecret), s.save("partner-key", s.upstream.partnerKey()),
		s.save("config.yaml", s.fill(configFile)),
	)
	if err != nil {
		remove()
		return nil, err
	}
	return remove, nil
}

// fill inserts the addresses, paths and times of this demo into a part of the
// configuration.
func (s *demo) fill(text string) string {
	reset := max(s.opts.Length/16, 100*time.Millisecond)
	return strings.NewReplacer("UPSTREAM", s.address, "FOLDER", s.dir, "RESET", reset.String()).Replace(text)
}

func (s *demo) path() string    { return filepath.Join(s.dir, "config.yaml") }
func (s *demo) logPath() string { return filepath.Join(s.dir, "fiso-link.log") }

// save writes a file as editors do: to a second file, which then replaces the first.
func (s *demo) save(name, text string) error {
	path := filepath.Join(s.dir, name)
	if err := errors.Join(os.WriteFile(path+".tmp", []byte(text), 0o600), os.Rename(path+".tmp", path)); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}
