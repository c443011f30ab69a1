package blueprint

import (
	"strings"
	"testing"

	"github.com/lsm/fiso/common/connector"
	"github.com/lsm/fiso/connectors/kafka/kafkatest"
	"github.com/lsm/fiso/flow/deadletter"
	"github.com/lsm/fiso/flow/fault"
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
	if last := checks[2].Steps[len(checks[2].Steps)-1]; !strings.Contains(last.Name, "the first dead letter creates it") {
		t.Errorf("last step = %+v", last)
	}
	checks = parsed(t, strings.Replace(text, "topic: out", "topic: missing", 1)).Check(t.Context(), env())
	if checks[0].Failed() || !checks[1].Failed() {
		t.Errorf("checks = %+v", checks)
	}
	// A source that cannot be tried has no steps.
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
	if err := o.Letters.Write(t.Context(), letter); err != nil {
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
