package connector_test

import (
	"testing"

	"github.com/lsm/fiso/common/connector"
)

func TestOutcome_hasAName(t *testing.T) {
	for o, want := range map[connector.Outcome]string{
		connector.OutcomeUnknown: "unknown", connector.Filtered: "filtered", connector.Delivered: "delivered",
		connector.Dropped: "dropped", connector.DeadLettered: "dead_lettered", 99: "unknown",
	} {
		if o.String() != want {
			t.Errorf("outcome %d is %q, want %q", o, o, want)
		}
	}
}
