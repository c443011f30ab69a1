package connector

import "github.com/lsm/fiso/common/cloudevent"

// SendEncodable is for a sink whose batch failed with a *cloudevent.EncodeError
// before anything was sent. It calls send with the events that can be written as
// JSON, if there are any, so that one event that cannot be written does not fail
// the others. The result is that of BatchSink.SendBatch for all events.
func SendEncodable(events []*cloudevent.Event, send func([]*cloudevent.Event) []error) []error {
	errs := make([]error, len(events))
	var encodable []*cloudevent.Event
	var indices []int // of encodable, in events
	var buf []byte
	for i, e := range events {
		if buf, errs[i] = e.AppendJSON(buf[:0]); errs[i] == nil {
			encodable, indices = append(encodable, e), append(indices, i)
		}
	}
	if len(encodable) == 0 {
		return errs
	}
	for i, err := range send(encodable) {
		errs[indices[i]] = err
	}
	return errs
}
