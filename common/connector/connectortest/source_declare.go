package connectortest

import (
	"testing"

	"github.com/lsm/fiso/common/connector"
)

// SourceDeclares checks that a source declares no guarantee that is not tested.
func SourceDeclares(t testing.TB, f Features, n NewSource) {
	e := newSourceEnv(t, f, n)
	if declared := e.h.New(e).Guarantees(); !f.Guarantees.Covers(declared) {
		e.Errorf("the source declares %+v, and only %+v is shown", declared, f.Guarantees)
	}
}

// SourceMakesFewAssignments checks that a source makes assignments for what it
// reads and not for messages: a handler keeps state, and order, for each assignment.
func SourceMakesFewAssignments(t testing.TB, f Features, n NewSource) {
	e := newSourceEnv(t, f, n)
	keys := []string{"a", "b", "c", "d"}
	in := inputs("m", 40, keys...)
	s := e.start(settleAll)
	for i := range in {
		e.h.Produce(e, in[i])
		s.hasAll(in[i : i+1])
	}
	if made := e.assignments(s); made > len(keys) {
		e.Errorf("%d messages of %d keys came in %d assignments", len(in), len(keys), made)
	}
	of := map[Partition]*connector.Assignment{}
	for _, d := range s.deliveries() {
		if !f.Partitions {
			break
		}
		p := partitionOf(d.m)
		if before, ok := of[p]; ok && before != d.a {
			e.Errorf("partition %v came in several assignments at once", p)
			break
		}
		of[p] = d.a
	}
	s.stop()
}

// assignments returns how many assignments a session has seen.
func (e *sourceEnv) assignments(s *session) int {
	seen := map[*connector.Assignment]bool{}
	for _, d := range s.deliveries() {
		seen[d.a] = true
	}
	return len(seen)
}
