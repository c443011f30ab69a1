package plan

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/lsm/fiso/delivery/deadletter"
)

// ErrNoDeadLetters is returned for a flow without a place for dead letters.
var ErrNoDeadLetters = errors.New("this flow has no dead letter queue: it holds what it cannot deliver (onExhausted: block)")

// StoredLetter is a dead letter and where it is stored.
type StoredLetter struct {
	// In names the topic or file, differently for each place of the flow.
	In string
	// At is the position in it: partition:offset in a topic, or the line number in a file.
	At     string
	Letter *deadletter.Letter // may be nil or incomplete if Err is set
	Err    error              // why the record is not a dead letter of fiso
	// Unread is the number of records from At on that could not be read, for the reason in Err;
	// 0 for a letter.
	Unread int
}

// ReadDeadLetters calls fn with each dead letter of the flow that failed at or after since, oldest
// first within a partition, until all are read or fn returns an error. It may be called while the
// flow runs, and changes nothing.
func (p *Plan) ReadDeadLetters(ctx context.Context, since time.Time, fn func(StoredLetter) error) error {
	places := p.placesToRead()
	if len(places) == 0 {
		return ErrNoDeadLetters
	}
	names := placeNames(places)
	for i, l := range places {
		err := l.read(ctx, since, func(s StoredLetter) error {
			s.In = names[i]
			return fn(s)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// DeadLetterPlaces returns the names of the places for dead letters of the flow: see
// StoredLetter.In.
func (p *Plan) DeadLetterPlaces() []string { return placeNames(p.placesToRead()) }

// placesToRead returns the places for dead letters, each topic and file once: two sinks may write to
// one topic with different settings.
func (p *Plan) placesToRead() []deadLetters {
	var all []deadLetters
	for _, l := range p.deadLetterPlaces() {
		if !slices.ContainsFunc(all, func(o deadLetters) bool { return o.name() == l.name() && slices.Equal(o.servers(), l.servers()) }) {
			all = append(all, l)
		}
	}
	return all
}

// placeNames returns a name for each place. Topics of the same name are told apart by their brokers.
func placeNames(places []deadLetters) []string {
	count := map[string]int{}
	for _, l := range places {
		count[l.name()]++
	}
	names := make([]string, 0, len(places))
	for _, l := range places {
		name := l.name()
		if brokers := l.servers(); count[name] > 1 && len(brokers) > 0 {
			name += "@" + strings.Join(brokers, ",")
		}
		names = append(names, name)
	}
	return names
}

// deadLetterPlaces returns the places for dead letters of the flow, without duplicates.
func (p *Plan) deadLetterPlaces() []deadLetters {
	var all []deadLetters
	seen := map[string]bool{}
	add := func(key string, l deadLetters) {
		if l != nil && !seen[key] {
			seen[key] = true
			all = append(all, l)
		}
	}
	add(p.deadLetterKey, p.deadLetterQueue)
	for _, o := range p.outputs {
		add(o.deadLetterKey, o.deadLetterQueue)
	}
	return all
}

// DeadLetters describes the places for dead letters in one line, or returns "".
func (p *Plan) DeadLetters() string {
	var places []string
	for _, l := range p.deadLetterPlaces() {
		places = append(places, l.describe())
	}
	return strings.Join(places, "; ")
}

func callIfSince(s StoredLetter, since time.Time, fn func(StoredLetter) error) error {
	if s.Err == nil && s.Letter.FailedAt.Before(since) {
		return nil
	}
	return fn(s)
}
