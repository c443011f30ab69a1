// Package deadletter stores events that could not be delivered: the record as it
// was read, unchanged, with headers that say what went wrong. The record is
// written to a Kafka topic or to a file, and Parse reads it back.
package deadletter

import (
	"context"
	"time"

	"github.com/lsm/fiso/common/connector"
	"github.com/lsm/fiso/delivery/fault"
)

// Letter is one event that could not be delivered, and why.
type Letter struct {
	// Message is the record as it was read from the source. Parse sets the
	// original position and leaves out our headers.
	Message *connector.Message
	Code    fault.Code
	// Reason is a text for a person and contains no secret. It is cut to 1 KiB
	// of valid UTF-8 when it is written.
	Reason   string
	Retries  int       // made before giving up
	FailedAt time.Time // in any zone; written in UTC
	Flow     string
	Sink     string // "" if the transform failed
	// Part is 1 for the first event of a message that became several, and so
	// on; 0 if it became one.
	Part int
	// Replays is how often the record was replayed. Parse sets it. Writers
	// ignore it: the count is in the message's own header fiso-replay-count.
	Replays int
}

// Writer stores letters. It is safe for concurrent use.
type Writer interface {
	// Write returns nil only when the letter is stored durably: acknowledged
	// by all in-sync replicas, or synced to disk. It returns ErrAlreadyStored
	// if the record is stored there already. After any other error the caller
	// writes the same letter again; it may then be stored twice. When ctx ends
	// Write returns promptly, and the write under way may still succeed. A
	// deadline bounds only how long the caller waits: it will write the same
	// *Letter again, and a Writer still busy with it may join the two.
	Write(ctx context.Context, l *Letter) error
	// Close waits for writes under way until ctx ends. Write after Close
	// fails. Close may be called twice.
	Close(ctx context.Context) error
}
