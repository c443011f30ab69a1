package server

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/lsm/fiso/link/internal/call"
	"github.com/lsm/fiso/link/internal/proxy"
)

// UL11: failures of a target are logged with their reason, at most one line a minute
// for each target and code.
func TestObserve_tellsOfFailuresOnceAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		i := &Server{metrics: newMetrics(prometheus.NewRegistry()), o: Options{Logger: slog.New(slog.NewTextHandler(&log, nil))}}
		said := func() []string {
			defer log.Reset()
			return strings.Split(strings.TrimSuffix(log.String(), "\n"), "\n")
		}
		failed := func(target string, code call.Code) {
			i.observe(proxy.CallRecord{Target: target, Method: "GET", Status: code.Status(), Code: code, Detail: "because of " + target, Mode: "sync", Attempts: 3})
		}
		for range 10 {
			failed("crm", call.ConnectFailed)
			failed("crm", call.UpstreamTimeout)
			failed("erp", call.ConnectFailed)
		}
		i.observe(proxy.CallRecord{Target: "crm", Status: 200, Code: call.UpstreamReset, Detail: "the answer broke off", Mode: "sync"})
		lines := said()
		want := []string{
			`level=WARN msg="call failed" target=crm method=GET status=502 mode=sync attempts=3 took=0s code=CONNECT_FAILED reason="because of crm"`,
			`level=WARN msg="call failed" target=crm method=GET status=504 mode=sync attempts=3 took=0s code=UPSTREAM_TIMEOUT reason="because of crm"`,
			`level=WARN msg="call failed" target=erp method=GET status=502 mode=sync attempts=3 took=0s code=CONNECT_FAILED reason="because of erp"`,
			`level=WARN msg="call failed" target=crm method="" status=200 mode=sync attempts=0 took=0s code=UPSTREAM_RESET reason="the answer broke off"`,
		}
		if len(lines) != len(want) {
			t.Fatalf("%q", lines)
		}
		for n, w := range want {
			if !strings.HasSuffix(lines[n], w) {
				t.Errorf("got  %s\nwant %s", lines[n], w)
			}
		}
		time.Sleep(time.Minute)
		failed("crm", call.ConnectFailed)
		if lines := said(); len(lines) != 1 || !strings.HasSuffix(lines[0], `reason="because of crm" not_logged=9`) {
			t.Errorf("%q", lines)
		}
		time.Sleep(time.Minute)
		failed("crm", call.ConnectFailed)
		if lines := said(); len(lines) != 1 || strings.Contains(lines[0], "not_logged") {
			t.Errorf("%q", lines)
		}
	})
}

func TestObserve_saysNothingOfWhatIsNoFailureOfTheTarget(t *testing.T) {
	for name, r := range map[string]proxy.CallRecord{
		"a good call":               {Target: "crm", Status: 200},
		"the target's own 503":      {Target: "crm", Status: 503},
		"a refused path":            {Target: "crm", Status: 403, Code: call.PathNotAllowed},
		"rateLimit":                 {Target: "crm", Status: 429, Code: call.RateLimited},
		"an application that left":  {Target: "crm", Status: 499},
		"an application that waits": {Target: "crm", Status: 408, Code: call.RequestTimeout},
	} {
		t.Run(name, func(t *testing.T) {
			var log bytes.Buffer
			i := &Server{metrics: newMetrics(prometheus.NewRegistry()), o: Options{Logger: slog.New(slog.NewTextHandler(&log, nil))}}
			if i.observe(r); log.Len() > 0 {
				t.Error(log.String())
			}
		})
	}
}

func TestFailureLog_isBounded(t *testing.T) {
	var all failureLog
	for n := range 2*maxFailureKeys + 1 {
		if _, due := all.allow(fmt.Sprint(n), call.ConnectFailed, time.Now()); !due {
			t.Fatal(n)
		}
	}
	if n := len(all.last); n > maxFailureKeys {
		t.Errorf("%d are remembered", n)
	}
}
