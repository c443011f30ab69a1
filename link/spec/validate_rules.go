package spec

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/lsm/fiso/common/config"
	"github.com/lsm/fiso/link/internal/urlpath"
)

// validateRules checks allowed paths, characters and methods, and the base path.
func (t *Target) validateRules() error {
	var errs []error
	if _, err := urlpath.NewRules(t.AllowedPaths); err != nil {
		var p *urlpath.PatternError
		if errors.As(err, &p) {
			errs = append(errs, config.Fault(fmt.Sprintf("allowedPaths[%d]", p.Index), "%v", p.Err))
		}
	}
	for i, c := range t.AllowedCharacters {
		if _, ok := urlpath.Characters[c]; !ok {
			errs = append(errs, config.Fault(fmt.Sprintf("allowedCharacters[%d]", i), "write ?, #, ; or letters, in quotes"))
		}
	}
	for i, m := range t.AllowedMethods {
		key := fmt.Sprintf("allowedMethods[%d]", i)
		switch {
		case !token.MatchString(m) || m != strings.ToUpper(m):
			errs = append(errs, config.Fault(key, "%q is not a method: write it in capitals, as GET", m))
		case m == "CONNECT" || m == "TRACE":
			errs = append(errs, config.Fault(key, "%s is never forwarded", m))
		}
	}
	if t.BasePath != "" {
		if canon, err := urlpath.Path(t.BasePath, true); err != nil {
			errs = append(errs, config.Fault("basePath", "%v", err))
		} else if canon != t.BasePath || strings.HasSuffix(canon, "/") {
			errs = append(errs, config.Fault("basePath", "write it as %s", strings.TrimSuffix(canon, "/")))
		}
	}
	return errors.Join(errs...)
}

// reservedHeaders frame the message or are made by fiso-link, so rules may not change
// them.
var reservedHeaders = []string{
	"connection", "content-length", "host", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade",
}

// Validate checks names and values of headers.
func (h *Headers) Validate() error {
	var errs []error
	for name, value := range h.Set {
		key := "set." + name
		errs = append(errs, headerName(key, name))
		if strings.ContainsAny(value, "\r\n\x00") {
			errs = append(errs, config.Fault(key, "a header value cannot contain a line break"))
		}
	}
	for i, name := range h.Remove {
		errs = append(errs, headerName(fmt.Sprintf("remove[%d]", i), name))
	}
	return errors.Join(errs...)
}

func headerName(key, name string) error {
	switch {
	case !token.MatchString(name):
		return config.Fault(key, "%q is not a header name", name)
	case slices.Contains(reservedHeaders, strings.ToLower(name)):
		return config.Fault(key, "%s is set by fiso-link itself", name)
	}
	return nil
}

// Validate checks thresholds.
func (b *CircuitBreaker) Validate() error {
	return errors.Join(
		number("failureThreshold", b.FailureThreshold, 1, 1_000_000), number("successThreshold", b.SuccessThreshold, 1, 1000),
		number("minRequests", b.MinRequests, 1, 1_000_000), share("failureRatio", b.FailureRatio),
		duration("resetTimeout", b.ResetTimeout, time.Millisecond, maxTime),
	)
}

var retryStatus = regexp.MustCompile(`^[45][0-9][0-9]$`)

// Validate checks bounds and retry reasons.
func (r *Retry) Validate() error {
	errs := []error{
		number("maxAttempts", r.MaxAttempts, 1, maxAttempts), share("jitter", r.Jitter), share("budget", r.Budget),
		duration("initialInterval", r.InitialInterval, time.Millisecond, maxTime), duration("maxInterval", r.MaxInterval, time.Millisecond, maxTime),
		number("maxBodyBytes", int(r.MaxBodyBytes), 0, maxKeptBody),
	}
	if r.InitialInterval > r.MaxInterval {
		errs = append(errs, config.Fault("initialInterval", "%v is more than maxInterval, %v", r.InitialInterval, r.MaxInterval))
	}
	for i, on := range r.On {
		if on != "connect" && on != "timeout" && on != "reset" && !retryStatus.MatchString(on) {
			errs = append(errs, config.Fault(fmt.Sprintf("on[%d]", i), "%q is not a reason to retry: write connect, timeout, reset, or a status from 400 to 599", on))
		}
	}
	return errors.Join(errs...)
}

// Validate checks rate and burst.
func (l *RateLimit) Validate() error {
	var errs []error
	if !(l.RequestsPerSecond > 0 && l.RequestsPerSecond <= 1e9) {
		errs = append(errs, config.Fault("requestsPerSecond", "%v is not a rate: write a number above 0", l.RequestsPerSecond))
	}
	return errors.Join(append(errs, number("burst", l.Burst, 0, maxConcurrent))...)
}

// Validate checks bounds.
func (t *Timeouts) Validate() error {
	return errors.Join(
		duration("connect", t.Connect, time.Millisecond, maxTime), duration("responseHeader", t.ResponseHeader, 0, maxTime),
		duration("perAttempt", t.PerAttempt, 0, maxTime), duration("idle", t.Idle, time.Millisecond, maxTime), duration("idleConnection", t.IdleConnection, time.Millisecond, maxTime),
	)
}
