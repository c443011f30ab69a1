package plan

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/lsm/fiso/common/cloudevent"
	"github.com/lsm/fiso/common/connector"
	"github.com/lsm/fiso/connectors/kafka/kafkatest"
	"github.com/lsm/fiso/delivery/deadletter"
	"github.com/lsm/fiso/delivery/fault"
)

func TestCheck_triesEveryPartAndSaysWhichFails(t *testing.T) {
	c := kafkatest.Embedded(t, kafkatest.Options{Topics: map[string]int32{"orders": 1, "out": 1}})
	if err := c.Commit(t.Context(), "g", "orders", 0, 0); err != nil {
		t.Fatal(err)
	}
	brokers := strings.Join(c.Brokers(), ",")
	text := "name: a\nsource: {type: kafka, config: {brokers: '" + brokers + "', topic: orders, consumerGroup: g}}\n" +
		"sink: {type: kafka, config: {brokers: '" + brokers + "', topic: out}}\n"
	checks := parsed(t, text).Check(t.Context(), env())
	if len(checks) != 3 {
		t.Fatalf("checks = %+v", checks)
	}
	for _, check := range checks {
		if check.Failed() || len(check.Steps) == 0 || check.What == "" {
			t.Errorf("%+v", check)
		}
	}
	if steps := checks[2].Steps; !strings.Contains(steps[len(steps)-2].Name, "missing; the first record creates it, and nothing in it is deleted") || !strings.HasPrefix(steps[len(steps)-1].Name, "partition leaders: broker ") {
		t.Errorf("steps = %+v", steps)
	}
	checks = parsed(t, strings.Replace(text, "topic: out", "topic: missing", 1)).Check(t.Context(), env())
	if checks[0].Failed() || !checks[1].Failed() {
		t.Errorf("checks = %+v", checks)
	}
	// A source that cannot be checked has no steps.
	checks = parsed(t, "name: a\n"+httpIn+out+"errorHandling: {onExhausted: block}\n").Check(t.Context(), env())
	if len(checks) != 2 || len(checks[0].Steps)+len(checks[1].Steps) != 0 {
		t.Errorf("checks = %+v", checks)
	}
}

func TestKafkaLetters_areStoredInATopicThatIsCreated(t *testing.T) {
	c := kafkatest.Embedded(t, kafkatest.Options{})
	b := parsed(t, "name: a\nsource: {type: kafka, config: {brokers: '"+strings.Join(c.Brokers(), ",")+"', topic: orders, consumerGroup: g}}\n"+out)
	o, err := b.Outputs(env(), nil)
	if err != nil {
		t.Fatal(err)
	}
	letter := &deadletter.Letter{Message: &connector.Message{Key: []byte("k"), Value: []byte("v")}, Code: fault.SinkRejected, Flow: "a"}
	if err := o.letters[b.deadLetterKey].Write(t.Context(), letter); err != nil {
		t.Fatal(err)
	}
	if err := o.Close(t.Context()); err != nil {
		t.Error(err)
	}
	got, err := c.Records(t.Context(), "fiso-dlq-a")
	if err != nil || len(got) != 1 || string(got[0].Key) != "k" || string(got[0].Value) != "v" {
		t.Errorf("records = %v, %v", got, err)
	}
}

// U5: the dead letter of an old record was deleted by retention right after it was stored.
func TestKafkaLetters_areDatedWhenTheyAreWritten(t *testing.T) {
	c := kafkatest.Embedded(t, kafkatest.Options{})
	b := parsed(t, "name: a\nsource: {type: kafka, config: {brokers: '"+strings.Join(c.Brokers(), ",")+"', topic: orders, consumerGroup: g}}\n"+out)
	o, err := b.Outputs(env(), nil)
	if err != nil {
		t.Fatal(err)
	}
	began, old := time.Now().Truncate(time.Millisecond), time.Date(2020, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, made := range []time.Time{old, {}} {
		letter := &deadletter.Letter{Message: &connector.Message{Value: []byte("v"), Time: made}, Code: fault.SinkRejected, Flow: "a", FailedAt: began}
		if err := o.letters[b.deadLetterKey].Write(t.Context(), letter); err != nil {
			t.Fatal(err)
		}
	}
	if err := o.Close(t.Context()); err != nil {
		t.Error(err)
	}
	rs, err := c.Records(t.Context(), "fiso-dlq-a")
	if err != nil || len(rs) != 2 {
		t.Fatalf("%d records, %v", len(rs), err)
	}
	for _, r := range rs {
		if r.Timestamp.Before(began) || r.Timestamp.After(time.Now()) {
			t.Errorf("dated %v", r.Timestamp)
		}
	}
	var made []time.Time
	err = b.ReadDeadLetters(t.Context(), time.Time{}, func(s StoredLetter) error {
		made = append(made, s.Letter.Message.Time)
		return s.Err
	})
	if err != nil || len(made) != 2 || !slices.ContainsFunc(made, old.Equal) || !slices.ContainsFunc(made, time.Time.IsZero) {
		t.Errorf("read back as of %v, %v", made, err)
	}
}

// An event that cannot be sent must not be stored after it was handed over to another member,
// which stores it too.
func TestKafkaSink_anEventThatCannotBeSentIsGivenUpWithinTheDrain(t *testing.T) {
	c := kafkatest.Embedded(t, kafkatest.Options{Topics: map[string]int32{"out": 1}})
	brokers := strings.Join(c.Brokers(), ",")
	b := parsed(t, "name: a\nsource: {type: kafka, config: {brokers: '"+brokers+"', topic: orders, consumerGroup: g}}\n"+
		"sink: {type: kafka, config: {brokers: '"+brokers+"', topic: out, deliveryTimeout: 1m}}\ndelivery: {drainTimeout: 5s}\n")
	o, err := b.Outputs(env(), nil)
	if err != nil {
		t.Fatal(err)
	}
	send := func(id string) error {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		return o.sinks[b.outputs[0].sinkKey].Send(ctx, &cloudevent.Event{ID: id, Source: "s", Type: "t", Key: []byte(id)})
	}
	f := c.Fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.InitProducerID}, TopLevel: true, Err: kerr.CoordinatorLoadInProgress, Count: -1})
	if err := send("refused"); err == nil || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("after five seconds: %v", err)
	}
	f.Remove()
	if err := send("taken"); err != nil {
		t.Fatal(err)
	}
	if err := o.Close(t.Context()); err != nil {
		t.Error(err)
	}
	got, err := c.Records(t.Context(), "out")
	if err != nil || len(got) != 1 || string(got[0].Key) != "taken" {
		t.Errorf("records = %v, %v", got, err)
	}
}

// A letter that cannot be sent must not stay in the producer after its event was handed back: the
// next member that gets the event stores a letter too.
func TestKafkaLetters_oneThatCannotBeSentIsGivenUpWithinTheDrain(t *testing.T) {
	for name, place := range map[string]string{
		"on the cluster of the source": "",
		"in a place of its own":        "errorHandling: {deadLetter: {type: kafka, config: {brokers: '%s', deliveryTimeout: 1m}}}\n",
	} {
		t.Run(name, func(t *testing.T) {
			c := kafkatest.Embedded(t, kafkatest.Options{Topics: map[string]int32{"fiso-dlq-a": 1}})
			brokers := strings.Join(c.Brokers(), ",")
			b := parsed(t, "name: a\nsource: {type: kafka, config: {brokers: '"+brokers+"', topic: orders, consumerGroup: g}}\n"+
				out+"delivery: {drainTimeout: 5s}\n"+strings.Replace(place, "%s", brokers, 1))
			o, err := b.Outputs(env(), nil)
			if err != nil {
				t.Fatal(err)
			}
			write := func(key string) error {
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
				defer cancel()
				return o.letters[b.deadLetterKey].Write(ctx, &deadletter.Letter{Message: &connector.Message{Key: []byte(key)}, Code: fault.SinkRejected, Flow: "a"})
			}
			f := c.Fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.InitProducerID}, TopLevel: true, Err: kerr.CoordinatorLoadInProgress, Count: -1})
			if err := write("refused"); err == nil || errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("after five seconds: %v", err)
			}
			f.Remove()
			if err := write("taken"); err != nil {
				t.Fatal(err)
			}
			if err := o.Close(t.Context()); err != nil {
				t.Error(err)
			}
			got, err := c.Records(t.Context(), "fiso-dlq-a")
			if err != nil || len(got) != 1 || string(got[0].Key) != "taken" {
				t.Errorf("records = %v, %v", got, err)
			}
		})
	}
}
