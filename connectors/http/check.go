package http

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/lsm/fiso/common/connector"
	"github.com/lsm/fiso/common/http1"
)

// Check reads the credential, resolves the host, connects, and sends OPTIONS to the
// URL, which has no effect. The step names the status of the answer but does not judge
// it: many servers that accept events do not allow OPTIONS.
func (s *Sink) Check(ctx context.Context) []connector.Step {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	var steps []connector.Step
	step := func(name string, err error) bool {
		steps = append(steps, connector.Step{Name: name, Err: err})
		return err == nil
	}
	secret, err := s.credential.reveal()
	if s.credential.kind != authNone && !step("read the credential", err) {
		return steps
	}
	if net.ParseIP(s.target.host) == nil && !step("resolve "+s.target.host, resolve(ctx, s.target.host)) {
		return steps
	}
	name := "connect to " + s.target.address
	if s.target.tls != nil {
		name += " with TLS"
	}
	probe := []byte(s.target.probeLine)
	probe = s.credential.appendQuery(probe, secret, s.target.hasQuery)
	probe = append(probe, s.target.fixed...)
	probe = s.credential.appendHeader(probe, secret)
	probe = append(probe, "Content-Length: 0\r\nConnection: close\r\n\r\n"...)
	x := &exchange{out: http1.Outgoing{Method: "OPTIONS", Raw: probe, NewConnection: true, Borrow: true}}
	x.out.Deadline, _ = ctx.Deadline()
	_, err = s.roundTrip(ctx, x, maxAnswer)
	if failed, ok := errors.AsType[*http1.Error](err); ok && (failed.Reason == http1.ReasonConnect || !failed.Sent && ctx.Err() != nil) {
		step(name, explain(err))
		return steps
	}
	step(name, nil)
	name = "ask OPTIONS of the URL"
	if err != nil {
		err = explain(err)
	} else {
		name += ": " + statusText(x.status)
	}
	step(name, err)
	return steps
}

func resolve(ctx context.Context, host string) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if _, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host); err != nil {
		return fmt.Errorf("%w; check the name, and whether this machine can resolve it", err)
	}
	return nil
}
