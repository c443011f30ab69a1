package connector

import "github.com/lsm/fiso/common/cloudevent"

// SendEncodable is for a sink whose batch has failed with an
// *cloudevent.EncodeError before anything was sent: it gives send those events
// that can be written in the JSON format, if there are any, so that one that
// cannot be written takes no other with it. The result is that of a BatchSink
// for all of them.
func SendEncodable(events []*cloudevent.Event, send func([]*cloudevent.Event) []error) []error {
	errs := make([]error, len(events))
	var sound []*cloudevent.Event
	var places []int
	var buf []byte
	for i, e := range events {
		if buf, errs[i] = e.AppendJSON(buf[:0]); errs[i] == nil {
			sound, places = append(sound, e), append(places, i)
		}
	}
	if len(sound) == 0 {
		return errs
	}
	for i, err := range send(sound) {
		errs[places[i]] = err
	}
	return errs
}
