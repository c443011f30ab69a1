// Package deadletters makes the broker refuse dead letters for minutes: first the flow may not
// write to the topic, then every record is too large for it. The scenario proves that events whose
// dead letters cannot be stored are held, that /readyz reports it, and that afterwards each dead
// letter is stored once.
package deadletters

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/lsm/fiso/e2e/faults/internal/harness"
	"github.com/lsm/fiso/e2e/faults/internal/ledger"
)

// Scenario is the scenario of this package.
var Scenario = harness.Scenario{
	Name: "deadletters", Title: "the dead letter topic refused, and back", Faults: 4, Run: run,
	Config: map[string]string{
		"authorizer.class.name":          "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
		"allow.everyone.if.no.acl.found": "true",
	},
}

func run(ctx context.Context, s *harness.Env) error {
	s.Produce(ctx, harness.Load{PerSecond: 1000, Backlog: 10_000, Kind: kind})
	m, err := s.StartDelivering(ctx, "a", false)
	if err != nil {
		return err
	}
	times := max(2, s.ScaledCount(s.Faults))
	for i := range times {
		if err := s.WaitDelivered(ctx, 1000); err != nil {
			return err
		}
		refuse, allow, what := deny, permit, "the dead letter topic is forbidden, fault"
		if i%2 == 1 {
			refuse, allow, what = shrink, widen, "everything is too large for the dead letter topic, fault"
		}
		s.Fault(what, times)
		if err := refuse(ctx, s); err != nil {
			return err
		}
		if err := s.WaitUntil(ctx, "/readyz to report held dead letters", time.Minute, func() bool { return !m.Ready(ctx) }); err != nil {
			return err
		}
		if err := s.Wait(ctx, s.Scaled(time.Minute, 3*time.Second)); err != nil {
			return err
		}
		if err := allow(ctx, s); err != nil {
			return err
		}
		back := time.Now()
		if err := s.WaitUntil(ctx, "/readyz to be ready again", time.Minute, func() bool { return m.Ready(ctx) }); err != nil {
			return err
		}
		s.Log("ready %v after the topic was back", time.Since(back).Round(100*time.Millisecond))
	}
	return s.Finish(ctx)
}

func kind(n int) ledger.Kind {
	if n%50 == 7 {
		return ledger.Rejected
	}
	return ledger.Plain
}

// acls is the ACL that denies everyone to write to the dead letter topic.
func acls(s *harness.Env) *kadm.ACLBuilder {
	return kadm.NewACLs().Topics(s.DeadLetterTopic).ResourcePatternType(kadm.ACLPatternLiteral).
		Operations(kadm.OpWrite).Deny("User:*").DenyHosts("*")
}

func deny(ctx context.Context, s *harness.Env) error {
	adm, closed, err := s.Admin()
	if err != nil {
		return err
	}
	defer closed()
	results, err := adm.CreateACLs(ctx, acls(s))
	for _, r := range results {
		if err == nil {
			err = r.Err
		}
	}
	if err != nil {
		return fmt.Errorf("forbid the dead letter topic: %w", err)
	}
	return nil
}

func permit(ctx context.Context, s *harness.Env) error {
	adm, closed, err := s.Admin()
	if err != nil {
		return err
	}
	defer closed()
	results, err := adm.DeleteACLs(ctx, acls(s))
	for _, r := range results {
		if err == nil {
			err = r.Err
		}
	}
	if err != nil {
		return fmt.Errorf("allow the dead letter topic: %w", err)
	}
	return nil
}

func shrink(ctx context.Context, s *harness.Env) error { return limit(ctx, s, "64") }
func widen(ctx context.Context, s *harness.Env) error  { return limit(ctx, s, "16777216") }

func limit(ctx context.Context, s *harness.Env, size string) error {
	adm, closed, err := s.Admin()
	if err != nil {
		return err
	}
	defer closed()
	results, err := adm.AlterTopicConfigs(ctx, []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "max.message.bytes", Value: &size}}, s.DeadLetterTopic)
	for _, r := range results {
		if err == nil {
			err = r.Err
		}
	}
	if err != nil {
		return fmt.Errorf("set the largest dead letter: %w", err)
	}
	return nil
}
