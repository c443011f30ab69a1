package connectortest

import (
	"errors"
	"testing"

	"github.com/lsm/fiso/common/cloudevent"
	"github.com/lsm/fiso/common/connector"
)

// SinkKeepsDataApart checks that data that is not JSON, though its content type says
// so, never becomes a part of the event around it: the event arrives byte for byte
// or is refused permanently, and the other events of its batch arrive.
func SinkKeepsDataApart(t testing.TB, f Features, n NewSink) {
	e := newSinkEnv(t, f, n)
	forger := func(id string) *cloudevent.Event {
		x := event(id)
		x.Data = cloudevent.Bytes([]byte(`1,"type":"forged","source":"/bank"`))
		return x
	}
	var delivered []*cloudevent.Event
	judge := func(x *cloudevent.Event, err error) {
		if err == nil {
			delivered = append(delivered, x)
			return
		}
		if _, ok := errors.AsType[*cloudevent.EncodeError](err); !ok || connector.ClassOf(err) != connector.Permanent {
			e.Errorf("event %q: %v, which is %v, want a permanent *cloudevent.EncodeError", x.ID, err, connector.ClassOf(err))
		}
	}
	alone := forger("alone")
	judge(alone, e.send(alone))
	if f.Batch {
		events := []*cloudevent.Event{event("before"), forger("between"), event("after")}
		e.checkBatch(e.batch(events...), len(events), func(i int, err error) {
			if i != 1 && err != nil {
				e.Errorf("event %q, which is good, failed with its neighbour: %v", events[i].ID, err)
			}
			judge(events[i], err)
		})
	}
	e.received(delivered...)
}
