package grpc

import (
	"testing"

	"github.com/lsm/fiso/common/connector"
	pb "github.com/lsm/fiso/connectors/grpc/eventpb"
)

func TestOutcomeOf_tellsTheProducerHowItsEventEnded(t *testing.T) {
	for o, want := range map[connector.Outcome]pb.Outcome{
		connector.OutcomeUnknown: pb.Outcome_OUTCOME_UNSPECIFIED,
		connector.Delivered:      pb.Outcome_OUTCOME_DELIVERED,
		connector.Filtered:       pb.Outcome_OUTCOME_FILTERED,
		connector.Dropped:        pb.Outcome_OUTCOME_DROPPED,
		connector.DeadLettered:   pb.Outcome_OUTCOME_DEAD_LETTERED,
	} {
		if got := outcomeOf(&connector.Message{Outcome: o}); got != want {
			t.Errorf("%s: the producer is told %s, want %s", o, got, want)
		}
	}
}
