package instance

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"github.com/lsm/fiso/link/internal/call"
	"github.com/lsm/fiso/link/internal/credential"
	"github.com/lsm/fiso/link/internal/discovery"
	"github.com/lsm/fiso/link/internal/resilience"
	"github.com/lsm/fiso/link/spec"
)

// Step is one thing that Check tried.
type Step struct {
	Target string
	Name   string
	Err    error // nil when it worked
}

// Check tries every target step by step, and stops with each at its first
// failure. Nothing but one safe request is sent.
func Check(ctx context.Context, cfg *spec.Config) ([]Step, error) {
	r := &roster{log: slog.New(slog.DiscardHandler), dns: discovery.SystemDNS(), refreshed: func(string, string) {}}
	var vault *credential.Vault
	if cfg.Vault != nil {
		var err error
		if vault, err = credential.NewVault(cfg.Vault, credential.Parts{}); err != nil {
			return nil, err
		}
		defer vault.Close()
	}
	if err := r.replace(cfg, vault); err != nil {
		return nil, err
	}
	defer r.stop()
	var steps []Step
	r.each(func(e *entry) { steps = append(steps, e.check(ctx)...) })
	return steps, nil
}

func (e *entry) check(ctx context.Context) (steps []Step) {
	t := e.target
	ctx, cancel := context.WithTimeout(ctx, t.Total()) // one that is silent must not take the time of the others
	defer cancel()
	step := func(err error, format string, args ...any) bool {
		steps = append(steps, Step{t.Spec.Name, fmt.Sprintf(format, args...), err})
		return err == nil
	}
	address, done, err := t.Endpoints.Pick(ctx, nil)
	if !step(err, "find the address of %s", t.Host) {
		return steps
	}
	defer done(resilience.Nothing)
	out := &call.Outgoing{Method: "OPTIONS", Path: t.Spec.BasePath + "/", Host: t.Host}
	if t.Credential != nil && !step(t.Credential.Apply(ctx, out), "have the credential (%s)", t.Spec.Auth.Type) {
		return steps
	}
	a, err := t.Transport.RoundTrip(ctx, address, out, nil)
	var failed *call.Error
	if errors.As(err, &failed) && failed.Reason == call.Connect {
		step(failed.Err, "connect to %s", address)
		return steps
	}
	step(nil, "connect to %s", address)
	if !step(err, "OPTIONS %s", out.Path) {
		return steps
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(a.Body, 64<<10)) // only its status is of interest
	_ = a.Body.Close()                                         // the same
	if a.Status == 401 || a.Status == 403 {
		step(fmt.Errorf("the target answers %d: is the credential right, and may it do this?", a.Status), "be let in")
	}
	return steps
}
