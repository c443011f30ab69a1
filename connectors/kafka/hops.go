package kafka

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/lsm/fiso/common/cloudevent"
)

// HopsExtension is the CloudEvents extension that counts the sinks that an event has
// passed: see ProducerOptions.MaxHops.
const HopsExtension = "fisohops"

// ErrTooManyHops is in the chain of the error for an event that has already passed
// MaxHops sinks.
var ErrTooManyHops = errors.New("flows seem to read what they write")

// hops returns how many sinks the event has passed. A value that is not a count is 0.
func hops(e *cloudevent.Event) int {
	v, ok := e.Extension(HopsExtension)
	if !ok {
		return 0
	}
	n, err := strconv.ParseUint(v, 10, 31)
	if err != nil {
		return 0
	}
	return int(n)
}

// hopsFault returns the error of an event that has passed too many sinks, or nil.
func hopsFault(e *cloudevent.Event, most int) error {
	if most == 0 || hops(e) < most {
		return nil
	}
	return fmt.Errorf("the event passed %d sinks before this one (extension %s), and %w: break the cycle, or reset the extension where the cycle is intended",
		hops(e), HopsExtension, ErrTooManyHops)
}

// hop adds the header with the incremented count, for binary mode.
func (f *produceCall) hop(e *cloudevent.Event) {
	if f.maxHops == 0 {
		return
	}
	at := len(f.bytes)
	f.bytes = strconv.AppendInt(f.bytes, int64(hops(e))+1, 10)
	f.header(cloudevent.KafkaPrefix+HopsExtension, f.since(at))
}

// counted returns e with the incremented count, for structured mode. The result is
// valid until the next call.
func (f *produceCall) counted(e *cloudevent.Event) *cloudevent.Event {
	if f.maxHops == 0 {
		return e
	}
	f.event = *e
	f.extensions = append(f.extensions[:0], e.Extensions...)
	f.event.Extensions = f.extensions
	f.event.SetExtension(HopsExtension, strconv.Itoa(hops(e)+1))
	f.extensions = f.event.Extensions
	return &f.event
}
