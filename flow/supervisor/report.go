package supervisor

import (
	"slices"
	"strings"

	"github.com/lsm/fiso/common/admin"
)

// Report is the state of the instance at one moment.
type Report struct {
	// Ready is false while a flow is not ready.
	Ready bool
	// Flows are sorted by name.
	Flows []FlowReport
	// Notes are remarks that do not make the instance unready, such as a changed file that is not
	// valid.
	Notes []string
}

// FlowReport is the state of one flow.
type FlowReport struct {
	Name    string
	Phase   string // starting, running, paused, failed or stopping
	Problem string // why the flow is not ready; empty: ready
	// Unreached: the servers of the source have not answered since the start.
	Unreached bool
	Notes     []string
}

// Report is cheap and safe for concurrent use.
func (s *Supervisor) Report() Report {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := Report{Ready: s.state == "running" && len(s.flows) > 0}
	for _, f := range s.flows {
		fr := f.report()
		r.Ready = r.Ready && fr.Problem == ""
		r.Flows = append(r.Flows, fr)
	}
	slices.SortFunc(r.Flows, func(a, b FlowReport) int { return strings.Compare(a.Name, b.Name) })
	switch {
	case s.state != "running":
		r.Notes = append(r.Notes, "fiso-flow is "+s.state)
	case len(s.flows) == 0:
		r.Notes = append(r.Notes, "there is no flow: all flow files were removed")
	}
	if s.listFault != "" {
		r.Notes = append(r.Notes, "flow files cannot be listed: "+s.listFault)
	}
	for _, f := range s.sortedFiles() {
		if f.fault != nil && s.state == "running" {
			r.Notes = append(r.Notes, "file is not valid and not in force: "+fileError(f.path, f.fault).Error())
		}
	}
	return r
}

func (f *flow) report() FlowReport {
	f.mu.Lock()
	pipe, st, note := f.pipe, f.state, f.note
	f.mu.Unlock()
	r := FlowReport{Name: f.name, Phase: st.phase}
	if note != "" {
		r.Notes = append(r.Notes, note)
	}
	switch {
	case st.phase == "paused":
		r.Notes = append(r.Notes, "paused: it fetches nothing and keeps its commits")
	case st.phase == "failed":
		r.Problem = st.reason
	case st.phase != "running":
		r.Problem = st.phase
	case pipe != nil:
		status := pipe.Status()
		r.Problem, r.Unreached = status.Problem, status.Unreached
		r.Notes = append(r.Notes, status.Notes...)
	}
	return r
}

// Admin converts the report for /readyz of the admin server.
func (r Report) Admin() admin.Report {
	out := admin.Report{Ready: r.Ready, Notes: slices.Clone(r.Notes)}
	for _, f := range r.Flows {
		out.Checks = append(out.Checks, admin.Check{Name: "flow " + f.Name, OK: f.Problem == "", Reason: f.Problem})
		for _, n := range f.Notes {
			out.Notes = append(out.Notes, "flow "+f.Name+": "+n)
		}
	}
	return out
}
