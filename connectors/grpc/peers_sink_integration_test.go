//go:build integration

package grpc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lsm/fiso/common/cloudevent"
	"github.com/lsm/fiso/common/connector"
)

// taken is what a receiver in another language prints for an event.
type taken struct {
	ID, Source, Type, Key, Data, Time string
	Attempt                           int
	Drained                           bool // no event: a drained stream ended with all events answered
}

// expectedAt is the event with a number, as a receiver prints it.
func expectedAt(number, caller int) taken {
	t := taken{
		ID: "event-" + strconv.Itoa(number), Source: "/fiso", Type: "peer.counted", Key: "key-" + strconv.Itoa(caller),
		Data: fmt.Sprintf(`{"number": %d}`, number), Time: peerTime(number).Format(time.RFC3339), Attempt: -number,
	}
	if number%10 == 0 {
		t.Key = ""
	}
	return t
}

func peerTime(number int) time.Time { return time.Unix(1_800_000_000+int64(number), 0).UTC() }

func (e *taken) event() *cloudevent.Event {
	number := -e.Attempt
	out := &cloudevent.Event{
		ID: e.ID, Source: e.Source, Type: e.Type, Time: peerTime(number), DataContentType: "application/json", Data: cloudevent.Bytes([]byte(e.Data)),
		Extensions: []cloudevent.Extension{{Name: "attempt", Value: strconv.Itoa(e.Attempt), Kind: cloudevent.Integer}},
	}
	if e.Key != "" {
		out.Key = []byte(e.Key)
	}
	return out
}

// G2, G6: https://github.com/grpc/grpc-java/issues/9903, https://github.com/googleapis/java-pubsub/issues/368.
// A receiver written from events.proto alone takes each event once, although it hands
// events back and drains a stream.
func TestPeers_receiversInOtherLanguagesTakeEachEventOnce(t *testing.T) {
	const events, callers = 2000, 8
	for _, file := range []string{"receiver.py", "receiver.js"} {
		t.Run(file, func(t *testing.T) {
			server := serve(t, file)
			sink, err := NewSink(SinkConfig{Target: server.address}, SinkOptions{})
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			var again atomic.Int64
			var sending sync.WaitGroup
			for caller := range callers {
				sending.Go(func() {
					for number := caller; number < events; number += callers {
						e := expectedAt(number, caller)
						if err := sendUntilTaken(ctx, sink, e.event(), &again); err != nil {
							t.Errorf("%s: %v", e.ID, err)
							return
						}
					}
				})
			}
			sending.Wait()
			if err := sink.Close(ctx); err != nil {
				t.Error(err)
			}
			accountTaken(t, server.printed(t), events, callers)
			if got := again.Load(); got < events/50 {
				t.Errorf("%d events were sent again; want %d or more", got, events/50)
			}
		})
	}
}

// sendUntilTaken sends an event again for as long as the receiver asks for it.
func sendUntilTaken(ctx context.Context, sink *Sink, e *cloudevent.Event, again *atomic.Int64) error {
	for {
		err := sink.Send(ctx, e)
		if connector.ClassOf(err) != connector.Unavailable || err == nil {
			return err
		}
		var code *CodeError
		if !errors.As(err, &code) {
			return err // the stream broke: no receiver here does that
		}
		again.Add(1)
		select {
		case <-time.After(connector.RetryAfter(err)):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func accountTaken(t *testing.T, printed string, events, callers int) {
	t.Helper()
	seen, last, drained := map[string]bool{}, map[int]int{}, 0
	for line := range strings.Lines(printed) {
		var got taken
		if err := json.Unmarshal([]byte(line), &got); err != nil {
			t.Fatalf("the receiver printed %q: %v", line, err)
		}
		if got.Drained {
			drained++
			continue
		}
		number := -got.Attempt
		caller := number % callers
		if want := expectedAt(number, caller); got != want {
			t.Errorf("got  %+v\nwant %+v", got, want)
		}
		if seen[got.ID] {
			t.Errorf("%s was taken twice", got.ID)
		}
		if number < last[caller] {
			t.Errorf("%s was taken after event-%d", got.ID, last[caller])
		}
		seen[got.ID], last[caller] = true, number
	}
	if len(seen) != events {
		t.Errorf("%d events were taken; want %d", len(seen), events)
	}
	if drained != 1 {
		t.Errorf("%d streams were drained; want 1", drained)
	}
}
