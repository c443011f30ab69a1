package plan

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/lsm/fiso/delivery/deadletter"
)

// ErrNoDeadLetters is returned for a flow without a place for dead letters.
var ErrNoDeadLetters = errors.New("this flow has no dead letter queue: it holds what it cannot deliver (onExhausted: block)")

// StoredLetter is a dead letter where it stands.
type StoredLetter struct {
	// Place names it to a person: partition:offset of a topic, or the number
	// of a line.
	Place  string
	Letter *deadletter.Letter // as far as it could be read; may be nil with Err
	Err    error              // the record is no dead letter of ours
	// Unread is how many records stand from Place on that could not be read,
	// for the reason in Err; 0 for a letter.
	Unread int
}

// ReadDeadLetters calls fn with each dead letter of the flow that failed at
// since or later, oldest first within a partition, until there is no more or
// fn returns an error. It reads beside the running flow and changes nothing.
func (b *Plan) ReadDeadLetters(ctx context.Context, since time.Time, fn func(StoredLetter) error) error {
	places := b.places()
	if len(places) == 0 {
		return ErrNoDeadLetters
	}
	for _, l := range places {
		if err := l.read(ctx, since, fn); err != nil {
			return err
		}
	}
	return nil
}

// places are the flow's places for dead letters, each once.
func (b *Plan) places() []deadLetters {
	var all []deadLetters
	seen := map[string]bool{}
	add := func(key string, l deadLetters) {
		if l != nil && !seen[key] {
			seen[key] = true
			all = append(all, l)
		}
	}
	add(b.deadLetterKey, b.deadLetterQueue)
	for _, o := range b.outputs {
		add(o.deadLetterKey, o.deadLetterQueue)
	}
	return all
}

// DeadLetters are the places for dead letters in a line, or "".
func (b *Plan) DeadLetters() string {
	var told []string
	for _, l := range b.places() {
		told = append(told, l.describe())
	}
	return strings.Join(told, "; ")
}

func forward(s StoredLetter, since time.Time, fn func(StoredLetter) error) error {
	if s.Err == nil && s.Letter.FailedAt.Before(since) {
		return nil
	}
	return fn(s)
}
