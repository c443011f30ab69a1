package demo

import "fmt"

const drawing = `
  application ──▶ fiso-link ──┬──▶ shop     OAuth2 tokens that end; fails, goes away, comes back
   (no secret)   localhost    ├──▶ partner  an API key that is replaced; 8 calls a second
                              └──▶ news     server-sent events
`

func (s *demo) printf(format string, args ...any) {
	// A reader that went away does not stop the demo.
	_, _ = fmt.Fprintf(s.opts.Out, format, args...)
}

// introduce prints what will happen.
func (s *demo) introduce() {
	s.printf("fiso-link at work, for about %.0f seconds: a real server on %s\n%s\n", s.opts.Length.Seconds(), s.calls, drawing)
}

// conclude prints the totals.
func (s *demo) conclude(t Summary) {
	s.printf(`
  calls               %5d
    answered          %5d  by the target
    target's failures %5d  passed on, after all attempts
    no answer         %5d  502: the shop cut the connection, and nobody may repeat an order without a key
    breaker           %5d  503 at once, while the shop was away; opened %d, closed %d
    rate limit        %5d  429
    refused           %5d  403 and 400 for paths, 404 for a target that there was not yet; %d of them arrived
  retried             %5d  within the budget; tokens fetched %d

`, t.Calls, t.Answered, t.TargetFailed, t.NoAnswer, t.RefusedByBreaker, t.Opened, t.Closed, t.RateLimited, t.Refused, t.Forbidden, t.Retried, t.Refreshed)
	s.printf("  orders without a key %4d, executed more than once, by the shop's own count: %d\n", t.Orders, t.OrdersTwice)
	s.printf("  orders with a key    %4d, sent again %d, executed more than once: %d\n", t.KeyedOrders, t.KeyedRepeated, t.KeyedTwice)
	s.printf("  news                 %4d events on %d connection across the reload, missing: %d\n", t.Events, t.Connections, t.Missing)
	s.printf("  secrets seen by the application, in the log or in metrics: %d\n", t.SecretsSeen)
	s.printf("  requests without a good credential: %d\n", t.Unproven)
	if len(t.Broken) == 0 {
		s.printf("\n  %d calls, and every promise was kept\n", t.Calls)
	}
	for _, b := range t.Broken {
		s.printf("\n  BROKEN: %s\n", b)
	}
}

// keep prints what keeps running and how to look at it.
func (s *demo) keep() {
	s.printf(`
Still running, until Ctrl-C:
  curl -i http://%[1]s/link/shop/orders/1
  curl -i http://%[1]s/link/shop/admin/users                  # 403, and it does not arrive
  curl -N http://%[1]s/link/news/stream
  for i in 1 2 3 4 5 6 7 8; do curl -s -o /dev/null -w '%%{http_code}\n' http://%[1]s/link/partner/rates; done
  curl 'http://%[2]s/readyz?verbose'
  curl -s http://%[2]s/metrics | grep ^fiso_link
  tail -f %[3]s
Edit %[4]s and watch it reload.
`, s.calls, s.metrics, s.logPath(), s.path())
}
