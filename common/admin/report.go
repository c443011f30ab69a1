package admin

import (
	"encoding/json"
	"net/http"
	"strings"

	"github.com/lsm/fiso/common/terminal"
)

// Report says whether a process is ready, and why.
type Report struct {
	Ready  bool    `json:"ready"`
	Checks []Check `json:"checks"`
	// Notes are remarks for a person that do not change readiness, such as a file that
	// a reload refused.
	Notes []string `json:"notes"`
}

// Check is the state of one part of a process. A check that is not OK is shown as "not
// ready", or as "degraded" if the process is ready nevertheless.
type Check struct {
	Name   string `json:"name"` // such as "flow order-events"
	OK     bool   `json:"ok"`
	Reason string `json:"reason,omitempty"` // for a person; holds no secret
}

// text formats the report as lines for a person.
func (r Report) text() string {
	var b strings.Builder
	for _, c := range r.Checks {
		switch {
		case c.OK:
			b.WriteString("[ok] ")
		case r.Ready:
			b.WriteString("[degraded] ")
		default:
			b.WriteString("[not ready] ")
		}
		b.WriteString(oneLine(c.Name))
		if c.Reason != "" {
			b.WriteString(": " + oneLine(c.Reason))
		}
		b.WriteByte('\n')
	}
	for _, n := range r.Notes {
		b.WriteString("note: " + oneLine(n) + "\n")
	}
	return b.String() + r.summary()
}

func (r Report) summary() string {
	if r.Ready {
		return "ready\n"
	}
	return "not ready\n"
}

// oneLine makes a reason safe to print. It may quote a broker or a server, and must
// neither look like a line of the report nor control the terminal.
func oneLine(s string) string {
	return terminal.Line(strings.Join(strings.FieldsFunc(s, func(r rune) bool { return r == '\n' || r == '\r' }), " "))
}

// serveReady answers /readyz.
func serveReady(ready func() Report) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		report := ready()
		status := http.StatusOK
		if !report.Ready {
			status = http.StatusServiceUnavailable
		}
		query := r.URL.Query()
		verbose := query.Has("verbose") && query.Get("verbose") != "false"
		w.Header().Set("Cache-Control", "no-store")
		switch {
		case query.Get("output") == "json":
			serveJSON(w, status, report, verbose)
		case verbose:
			serveText(w, status, report.text())
		default:
			serveText(w, status, report.summary())
		}
	}
}

func serveJSON(w http.ResponseWriter, status int, report Report, verbose bool) {
	var v any = struct {
		Ready bool `json:"ready"`
	}{report.Ready}
	if verbose {
		// Lists are empty and never null, for programs that iterate over them.
		report.Checks = append([]Check{}, report.Checks...)
		report.Notes = append([]string{}, report.Notes...)
		v = report
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // it fails only if the caller is gone
}

func serveText(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(text)) // it fails only if the caller is gone
}
