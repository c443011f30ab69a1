package connector

import (
	"errors"
	"reflect"
	"testing"

	"github.com/lsm/fiso/common/cloudevent"
)

// U1: an event that cannot be written does not fail the others of its batch.
func TestSendSound_refusesOnlyTheEventAtFault(t *testing.T) {
	event := func(id, data string) *cloudevent.Event {
		return &cloudevent.Event{ID: id, DataContentType: "application/json", Data: cloudevent.Bytes([]byte(data))}
	}
	refused := errors.New("no such order")
	for _, row := range []struct {
		name   string
		events []*cloudevent.Event
		sent   []string
		answer []error
		want   []string // "": delivered
	}{
		{"the second of three cannot be encoded", []*cloudevent.Event{event("a", `1`), event("b", `1}`), event("c", `2`)}, []string{"a", "c"}, nil, []string{"", "guilty", ""}},
		{"and one that is refused", []*cloudevent.Event{event("a", `x`), event("b", `1`), event("c", `2`)}, []string{"b", "c"}, []error{nil, refused}, []string{"guilty", "", "refused"}},
		{"all", []*cloudevent.Event{event("a", `x`), event("b", `y`)}, nil, nil, []string{"guilty", "guilty"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			var sent []string
			errs := SendEncodable(row.events, func(events []*cloudevent.Event) []error {
				for _, e := range events {
					sent = append(sent, e.ID)
				}
				return row.answer
			})
			if !reflect.DeepEqual(sent, row.sent) {
				t.Errorf("sent %v, want %v", sent, row.sent)
			}
			for i, want := range row.want {
				_, guilty := errors.AsType[*cloudevent.EncodeError](errs[i])
				if guilty != (want == "guilty") || errors.Is(errs[i], refused) != (want == "refused") || (errs[i] == nil) != (want == "") {
					t.Errorf("event %s: %v, want %q", row.events[i].ID, errs[i], want)
				}
				if guilty && ClassOf(errs[i]) != Permanent {
					t.Errorf("event %s: %v is %v", row.events[i].ID, errs[i], ClassOf(errs[i]))
				}
			}
		})
	}
}
