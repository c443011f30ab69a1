package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"

	"github.com/lsm/fiso/common/connector"
	"github.com/lsm/fiso/common/http1"
	"github.com/lsm/fiso/connectors/kafka"
	"github.com/lsm/fiso/link/internal/credential"
	"github.com/lsm/fiso/link/internal/discovery"
	"github.com/lsm/fiso/link/internal/resilience"
	"github.com/lsm/fiso/link/spec"
)

// Step is one test of Check.
type Step struct {
	Target string
	Name   string
	Err    error // nil: it succeeded
}

// Check tests every target step by step; a failed step ends the test of its target.
// Beside connecting and authenticating it sends one harmless request.
func Check(ctx context.Context, cfg *spec.Config) ([]Step, error) {
	nobody := func(string, string) {}
	r := &targetSet{
		log: slog.New(slog.DiscardHandler), dns: discovery.SystemDNS(),
		refreshed: nobody, onDeadLetter: nobody, onUnwritten: nobody, onGap: func(string) {},
	}
	var vault *credential.Vault
	if cfg.Vault != nil {
		var err error
		if vault, err = credential.NewVault(cfg.Vault, credential.Parts{}); err != nil {
			return nil, err
		}
		defer vault.Close()
	}
	var steps []Step
	for _, s := range byName(cfg.Targets) {
		e, err := r.build(s, cfg, vault)
		if err != nil {
			steps = append(steps, Step{s.Name, "read the files that its settings name", err})
			continue
		}
		steps = append(steps, e.check(ctx)...)
		r.close(e)
	}
	return steps, nil
}

func byName(targets []spec.Target) []*spec.Target {
	all := make([]*spec.Target, len(targets))
	for i := range targets {
		all[i] = &targets[i]
	}
	slices.SortFunc(all, func(a, b *spec.Target) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// checkKafka tests the topics that a target needs.
func (e *targetEntry) checkKafka(ctx context.Context) (steps []Step) {
	s := e.target.Spec
	add := func(more []connector.Step) {
		for _, step := range more {
			steps = append(steps, Step{s.Name, "Kafka: " + step.Name, step.Err})
		}
	}
	topic := func(name string) {
		sink, err := kafka.NewSink(kafka.SinkConfig{ProducerConfig: kafka.ProducerConfig{ClientConfig: *e.brokers}, Topic: name}, kafka.ProducerOptions{})
		if err != nil {
			add([]connector.Step{{Name: "topic " + name, Err: err}})
			return
		}
		more := sink.Check(ctx)
		_ = sink.Close(ctx) // nothing was written
		at := slices.IndexFunc(more, func(s connector.Step) bool { return s.Name == "topic "+name })
		if len(steps) > 0 && at > 0 {
			more = more[at:] // the cluster was tested before
		}
		add(more)
	}
	if s.Kafka != nil {
		topic(s.Kafka.Topic)
		return steps
	}
	add(e.worker.Check(ctx))
	if s.Async.ReplyTopic != "" && steps[len(steps)-1].Err == nil {
		topic(s.Async.ReplyTopic)
	}
	return steps
}

func (e *targetEntry) check(ctx context.Context) (steps []Step) {
	if e.brokers != nil {
		steps = e.checkKafka(ctx)
	}
	if e.target.Spec.Protocol == "kafka" {
		return steps
	}
	t := e.target
	ctx, cancel := context.WithTimeout(ctx, t.TotalTimeout()) // a silent target must not use up the time of the others
	defer cancel()
	step := func(err error, format string, args ...any) bool {
		steps = append(steps, Step{t.Spec.Name, fmt.Sprintf(format, args...), err})
		return err == nil
	}
	address, done, err := t.Endpoints.Pick(ctx, nil)
	if !step(err, "find the address of %s", t.Host) {
		return steps
	}
	defer done(resilience.Inconclusive)
	if via := e.proxy.Tunnel().ProxyFor(address); via != "" && !step(e.tunnelTo(ctx, address), "connect to %s through the proxy %s", address, via) {
		return steps
	}
	out, name := checkRequest(t.Spec)
	out.Host = t.Host
	if t.Credential != nil && !step(t.Credential.Apply(ctx, out), "get the credential (%s)", t.Spec.Auth.Type) {
		return steps
	}
	a, err := t.Transport.RoundTrip(ctx, address, out, nil)
	var failed *http1.Error
	if errors.As(err, &failed) && failed.Reason == http1.ReasonConnect {
		cause := failed.Err
		if inner := errors.Unwrap(cause); inner != nil {
			cause = inner // the step already says what was being done
		}
		step(fmt.Errorf("%w: are host, port and tls correct, and can this machine reach the target?", cause), "connect to %s", address)
		return steps
	}
	step(nil, "connect to %s", address)
	var body []byte
	if err == nil {
		body, err = io.ReadAll(io.LimitReader(a.Body, 64<<10))
		_ = a.Body.Close() // it was read
	}
	if !step(err, "%s", name) {
		return steps
	}
	if t.Spec.Protocol == "grpc" {
		step(health(a, body), "be authorised, and find it serving")
	} else if a.Status == 401 || a.Status == 403 {
		step(fmt.Errorf("the target answers %d: is the credential right, and is it allowed to do this?", a.Status), "be authorised")
	}
	return steps
}

// tunnelTo tests the proxy only.
func (e *targetEntry) tunnelTo(ctx context.Context, address string) error {
	ctx, cancel := context.WithTimeout(ctx, e.target.Spec.Timeouts.Connect)
	defer cancel()
	c, err := e.proxy.Tunnel().Wrap(nil)(ctx, "tcp", address)
	if err != nil {
		return err
	}
	return c.Close()
}

// checkRequest returns a request that changes nothing: OPTIONS, or the gRPC health
// check (https://grpc.io/docs/guides/health-checking), which not every server has.
func checkRequest(s *spec.Target) (out *http1.Outgoing, name string) {
	if s.Protocol != "grpc" {
		return &http1.Outgoing{Method: "OPTIONS", Path: s.BasePath + "/"}, "OPTIONS " + s.BasePath + "/"
	}
	out = &http1.Outgoing{
		Method: "POST", Path: s.BasePath + "/grpc.health.v1.Health/Check", Kept: make([]byte, 5), Length: 5, // an empty message asks about the whole server
		Header: http1.Header{{Name: "Content-Type", Value: "application/grpc"}, {Name: "TE", Value: "trailers"}},
	}
	return out, "ask for its health"
}

// health returns what is wrong with the answer to a health check. A server without the
// health service is healthy.
func health(a *http1.Answer, body []byte) error {
	status := a.Header.Get("grpc-status")
	if status == "" && a.Trailer != nil {
		status = a.Trailer().Get("grpc-status")
	}
	switch {
	case a.Status != 200 || status == "":
		return fmt.Errorf("the target answers %d, which is not a gRPC answer: is it a gRPC server?", a.Status)
	case status == "7" || status == "16":
		return fmt.Errorf("the target answers grpc-status %s: is the credential right, and is it allowed to do this?", status)
	case status == "0" && bytes.Equal(body, []byte{0, 0, 0, 0, 2, 8, 2}):
		return errors.New("the target answers that it is not serving")
	case status != "0" && status != "5" && status != "12":
		return fmt.Errorf("the target answers grpc-status %s", status)
	}
	return nil
}
