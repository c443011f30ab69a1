package connector

import (
	"context"
	"testing"
)

func TestAssignment_isOverWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	a := NewAssignment(ctx, "orders-3")
	if a.Over() || a.String() != "orders-3" || a.Context() != ctx {
		t.Errorf("%v is over = %v before its context", a, a.Over())
	}
	if cancel(); !a.Over() {
		t.Error("it goes on after its context")
	}
}

func TestGuarantees_coverWhatTheyHold(t *testing.T) {
	each := []Guarantees{{Redelivers: true}, {Orders: true}, {Rewinds: true}, {Assigns: true}, {Transacts: true}}
	all := Guarantees{true, true, true, true, true}
	for i, g := range each {
		if !all.Covers(g) || !g.Covers(g) || !g.Covers(Guarantees{}) || g.Covers(all) || g.Covers(each[(i+1)%len(each)]) {
			t.Errorf("%+v covers something else", g)
		}
	}
}
