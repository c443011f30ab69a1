package kafka

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/lsm/fiso/common/cloudevent"
	"github.com/lsm/fiso/common/connector"
	"github.com/lsm/fiso/connectors/kafka/kafkatest"
	"github.com/twmb/franz-go/pkg/kgo"
)

// readBack returns the event of a record, in either mode.
func readBack(t *testing.T, r *kgo.Record) *cloudevent.Event {
	t.Helper()
	for _, h := range r.Headers {
		if h.Key == "ce_specversion" {
			return eventOf(t, r)
		}
	}
	e := new(cloudevent.Event)
	if err := cloudevent.ParseJSON(r.Value, e); err != nil {
		t.Fatal(err)
	}
	return e
}

// U4: an event that circles between flows and topics ends with a permanent error after
// the allowed number of records.
func TestSink_refusesAnEventAfterTooManyHops(t *testing.T) {
	for _, mode := range []string{ModeBinary, ModeStructured} {
		t.Run(mode, func(t *testing.T) {
			c := kafkatest.Embedded(t, kafkatest.Options{Topics: map[string]int32{"t": 1}})
			s, err := NewSink(SinkConfig{ProducerConfig: ProducerConfig{ClientConfig: ClientConfig{Brokers: c.Brokers()}}, Topic: "t", Mode: mode}, ProducerOptions{MaxHops: 3})
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = s.Close(t.Context()) }() // nothing is in flight
			e := &cloudevent.Event{ID: "1", Source: "/s", Type: "t", Extensions: []cloudevent.Extension{{Name: "tenant", Value: "x"}}}
			for n := 1; n <= 3; n++ {
				if err := s.Send(t.Context(), e); err != nil {
					t.Fatal(err)
				}
				rs := all(t, c, "t")
				e = readBack(t, rs[len(rs)-1])
				if got, _ := e.Extension(HopsExtension); len(rs) != n || got != fmt.Sprint(n) || len(e.Extensions) != 2 {
					t.Fatalf("%d records, hops %s, extensions %v", len(rs), got, e.Extensions)
				}
			}
			fresh := &cloudevent.Event{ID: "2", Source: "/s", Type: "t"}
			errs := s.SendBatch(t.Context(), []*cloudevent.Event{fresh, e, fresh})
			want := "write to topic t: the event passed 3 sinks before this one (extension fisohops), and flows seem to read what they write: "
			if errs == nil || errs[0] != nil || errs[2] != nil || !errors.Is(errs[1], ErrTooManyHops) || !connector.IsUnsendable(errs[1]) ||
				!strings.HasPrefix(errs[1].Error(), want) {
				t.Errorf("%v", errs)
			}
			if err := s.Send(t.Context(), e); !errors.Is(err, ErrTooManyHops) {
				t.Errorf("alone: %v", err)
			}
			if rs := all(t, c, "t"); len(rs) != 5 {
				t.Errorf("%d records, want 5", len(rs))
			}
			if got, _ := e.Extension(HopsExtension); got != "3" || len(fresh.Extensions) != 0 {
				t.Errorf("the sink changed its events: %s, %v", got, fresh.Extensions)
			}
		})
	}
}

// U4: a value that is not a count is 0, and a sink that does not count leaves the
// extension unchanged.
func TestSink_aBrokenCountIsNone(t *testing.T) {
	c := kafkatest.Embedded(t, kafkatest.Options{Topics: map[string]int32{"t": 1}})
	for _, tc := range []struct {
		count string
		most  int
		want  string
	}{{"x", 3, "1"}, {"-7", 3, "1"}, {"", 3, "1"}, {"99999999999999999999", 3, "1"}, {"2", 3, "3"}, {"77", 0, "77"}} {
		s, err := NewSink(SinkConfig{ProducerConfig: ProducerConfig{ClientConfig: ClientConfig{Brokers: c.Brokers()}}, Topic: "t"}, ProducerOptions{MaxHops: tc.most})
		if err != nil {
			t.Fatal(err)
		}
		err = s.Send(t.Context(), &cloudevent.Event{ID: "1", Source: "/s", Type: "t", Extensions: []cloudevent.Extension{{Name: HopsExtension, Value: tc.count}}})
		if err := errors.Join(err, s.Close(t.Context())); err != nil {
			t.Fatal(err)
		}
		rs := all(t, c, "t")
		if got, _ := readBack(t, rs[len(rs)-1]).Extension(HopsExtension); got != tc.want {
			t.Errorf("%q with at most %d became %q, want %q", tc.count, tc.most, got, tc.want)
		}
	}
}
