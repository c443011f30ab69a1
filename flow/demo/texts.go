package demo

import (
	"fmt"
	"strings"
)

const diagram = `
  producer ──▶ Kafka topic "orders" ──▶ fiso-flow ──▶ POST ──▶ order service
              (embedded broker)            │
                                           └──▶ dead letters "fiso-dlq-order-events"
`

func (s *demo) printf(format string, args ...any) {
	// A closed output does not stop the demo.
	_, _ = fmt.Fprintf(s.opts.Out, format, args...)
}

// printIntroduction prints what the demo will do.
func (s *demo) printIntroduction() {
	s.printf("fiso-flow between a Kafka broker and an order service, for about %.0f seconds\n%s\n", s.opts.Length.Seconds(), diagram)
	s.printf("Some orders are not JSON, some lack a field, and the service refuses some.\n")
	s.printf("The service fails for a while, and the flow is changed while it runs.\n\n")
	if s.opts.Keep {
		s.printf("flow file: %s\n\n", s.path())
	}
}

// printTotals prints the totals.
func (s *demo) printTotals() {
	t := s.ledger.totals()
	verdict := "nothing was lost"
	if !t.addUp() {
		verdict = "THE TOTALS DO NOT ADD UP"
	}
	s.printf("\n  produced     %4d orders\n", t.produced)
	s.printf("  delivered    %4d, %d of them in the new form after the reload\n", t.delivered, t.withAmount)
	s.printf("  dead letters %4d: %s\n", t.dead, t.codeList())
	s.printf("  lost         %4d\n  twice        %4d\n  out of order %4d\n", len(t.lost), t.duplicates, len(t.disorder))
	s.printf("  (answered with 503 and retried: %d)\n\n  %d = %d delivered + %d dead letters: %s\n",
		t.retries, t.produced, t.delivered, t.dead, verdict)
	for _, x := range []struct {
		what string
		ids  []string
	}{{"missing", t.lost}, {"in the wrong place", t.unexpected}, {"out of order", t.disorder}} {
		if len(x.ids) > 0 {
			s.printf("  %s: %s\n", x.what, clip(strings.Join(x.ids, ", "), 400))
		}
	}
	s.printf(`
Try next:
  go run ./flow/cmd/fiso-flow init my-flow.yaml
  go run ./flow/cmd/fiso-flow validate --explain deploy/examples/order-events.yaml
  go run ./flow/cmd/fiso-flow transform --flow deploy/examples/order-events.yaml --input '{"legacy_id": "A-1", "order_status": "PAID"}'
`)
}

// waitForInterrupt prints what is still running and how to inspect it.
func (s *demo) waitForInterrupt() {
	s.printf(`
Still running, until Ctrl-C:
  curl 'http://%[1]s/readyz?verbose'
  curl -s http://%[1]s/metrics | grep ^fiso_flow
  go run ./flow/cmd/fiso-flow dlq list --flow %[2]s
  tail -f %[3]s
Edit %[2]s and watch it reload.
`, s.metrics.Load(), s.path(), s.logPath())
}
