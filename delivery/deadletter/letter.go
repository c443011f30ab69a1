// Package deadletter keeps what could not be delivered: the record as it was
// read, untouched, with headers that say what went wrong. The same record goes
// to a Kafka topic or to a file, and Parse reads it back.
package deadletter

import (
	"context"
	"time"

	"github.com/lsm/fiso/common/connector"
	"github.com/lsm/fiso/delivery/fault"
)

// Letter is one event that could not be delivered, and why.
type Letter struct {
	// Message is the record as it was read from the source. Parse gives it the
	// original position, and no header of ours.
	Message *connector.Message
	Code    fault.Code
	// Reason is for a person, and holds no secret. It is cut to 1 KiB of valid
	// UTF-8 when it is written.
	Reason   string
	Retries  int       // made before giving up
	FailedAt time.Time // in any zone; written in UTC
	Flow     string
	Sink     string // "" where the transform failed
	// Part is 1 for the first event of a message that became several, and so on;
	// 0 where it became one.
	Part int
	// Replays is how often the record was replayed. Parse fills it in; when
	// written, the count stands in the message's own fiso-replay-count header.
	Replays int
}

// Writer stores letters. It is safe for concurrent use.
type Writer interface {
	// Write returns nil only when the letter is stored for good: acks of all
	// replicas, or synced to disk; and ErrStands when its record is stored there
	// already. After any other error the caller writes the same letter again; it
	// may then stand there twice, never not at all. When ctx ends Write returns
	// promptly, and a write under way may still be stored. A deadline bounds the
	// caller's patience and nothing else: the same *Letter will be written again,
	// and a Writer still busy with it may join the two.
	Write(ctx context.Context, l *Letter) error
	// Close waits for writes under way until ctx ends. Write after Close
	// fails. Close may be called twice.
	Close(ctx context.Context) error
}
