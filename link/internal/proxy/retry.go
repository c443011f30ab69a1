package proxy

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/lsm/fiso/common/http1"
	"github.com/lsm/fiso/link/internal/call"
	"github.com/lsm/fiso/link/internal/resilience"
)

// shouldRetry reports whether another attempt is safe and wanted, and after what wait.
func (m *attempts) shouldRetry(ctx context.Context, a *http1.Answer, err error) (time.Duration, bool) {
	t, attempts := m.c.Target, m.c.record.Attempts
	if attempts >= t.Spec.Retry.MaxAttempts || ctx.Err() != nil {
		return 0, false
	}
	var wanted bool
	sent, asked := true, time.Duration(0)
	if err != nil {
		var failed *http1.Error
		if !errors.As(err, &failed) {
			return 0, false // fiso-link's own refusal: circuit open, no credential
		}
		wanted, sent = t.RetriesOn(failed.Reason), failed.Sent
	} else if wanted = t.RetriesStatus(httpStatus(a)); wanted {
		asked = retryAfter(a.Header.Get("Retry-After"), time.Now())
	}
	if !wanted || sent && !m.isSafe() || !m.body.canResend() || t.Breaker.State() == resilience.Open {
		return 0, false
	}
	wait := max(t.Backoff.Delay(attempts), asked)
	if asked > t.Spec.Retry.MaxInterval || wait >= m.limit.remaining() {
		return 0, false // too long to wait: answer the application now
	}
	return wait, true
}

// unprocessedCount counts the attempts that a target never took.
type unprocessedCount struct{ unserved, refused int }

// Bounds of requests that are sent again at once. Connections may be closed one after
// another, each after one request of many; a target that refuses is overloaded.
const (
	maxUnserved = 64
	maxRefused  = 1
)

// resendAtOnce reports whether the target did not process the request, which is then
// sent again at once, on another connection if that one is closing. It is not a retry:
// it counts neither as an attempt nor in the budget.
func (m *attempts) resendAtOnce(ctx context.Context, err error) bool {
	var failed *http1.Error
	if !errors.As(err, &failed) || failed.Sent || ctx.Err() != nil {
		return false
	}
	count, most := &m.unprocessed.unserved, maxUnserved
	switch failed.Reason {
	case call.ReasonUnserved:
	case call.ReasonRefused:
		count, most = &m.unprocessed.refused, maxRefused
	default:
		return false
	}
	if *count >= most || !m.body.detachAttempt() {
		return false
	}
	*count++
	m.c.record.Attempts--
	return true
}

// isSafe reports whether the request may reach the target twice (RFC 9110, section
// 9.2.2; draft-ietf-httpapi-idempotency-key-header). A key counts only if the target
// gets it. A WebSocket handshake begins a session, so it is not safe although it is a
// GET.
func (m *attempts) isSafe() bool {
	switch m.c.Method {
	case "GET", "HEAD", "OPTIONS", "PUT", "DELETE":
		if !m.c.websocket() {
			return true
		}
	}
	return m.c.Target.Spec.Retry.Unsafe || m.last.Header.Get("Idempotency-Key") != ""
}

// retryAfter reads both forms of Retry-After: seconds, and a date.
func retryAfter(s string, now time.Time) time.Duration {
	s = strings.TrimSpace(s)
	if n, err := strconv.Atoi(s); err == nil || errors.Is(err, strconv.ErrRange) {
		return time.Duration(min(max(n, 0), 1<<30)) * time.Second
	}
	if at, err := http.ParseTime(s); err == nil {
		return max(at.Sub(now), 0)
	}
	return 0
}

// sleep waits for d; false: the call ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
