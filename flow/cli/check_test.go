package cli

import (
	"bytes"
	"testing"

	"github.com/lsm/fiso/common/command"
	"github.com/lsm/fiso/connectors/kafka/kafkatest"
)

// U5: with default retention, a broker deletes the dead letters of a topic.
func TestCheck_warnsOfDeadLettersThatTheBrokerDeletes(t *testing.T) {
	c := kafkatest.Embedded(t, kafkatest.Options{Topics: map[string]int32{"in": 1, "fiso-dlq-a": 1}})
	text := "name: a\nsource: {type: kafka, config: {brokers: '" + c.Brokers()[0] + "', topic: in, consumerGroup: g}}\nsink: {type: stdout}\n"
	file := write(t, t.TempDir(), "a.yaml", text)
	r := call(t, "check", file)
	r.wants(t, 0, "    warn  topic fiso-dlq-a (cleanup.policy=delete, retention.ms=604800000, retention.bytes=-1): the broker deletes records after 168h0m0s (retention.ms), ", "")
	r.wants(t, 0, "    ok    topic in\n", "")
	call(t, "check", "-o", "json", file).wants(t, 0, `"warning": "the broker deletes records after 168h0m0s (retention.ms), `, "")
	if err := c.CreateTopic(t.Context(), "kept", 1, map[string]string{"cleanup.policy": "compact"}); err != nil {
		t.Fatal(err)
	}
	file = write(t, t.TempDir(), "a.yaml", text+"errorHandling: {deadLetterTopic: kept}\n")
	call(t, "check", file).wants(t, 1, "retention.bytes=-1): cleanup.policy=compact: the broker refuses records without a key, and keeps only the last of each key: set it to delete\n", "")
}

// U22: a server's answer cannot add a line that looks like a step.
func TestCheck_indentsTheLinesOfAFault(t *testing.T) {
	var out bytes.Buffer
	a := newApp(command.IO{Out: &out})
	forged := "refused\n    ok    topic orders"
	a.printChecked(checkedFlow{Flow: "a", Parts: []checkedPart{{Part: "sink", What: "w", Steps: []checkedStep{
		{Step: "send", Error: forged}, {Step: "read", OK: true, Warning: forged},
	}}}})
	const rest = "refused\n              ok    topic orders\n"
	if got, want := out.String(), "a\n  sink: w\n    FAIL  send: "+rest+"    warn  read: "+rest; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// It said "connect to 127.0.0.1:1: connect to 127.0.0.1:1: connect: connection refused".
func TestCheck_saysOnceWhatItTried(t *testing.T) {
	dir := t.TempDir()
	for scheme, step := range map[string]string{"http": "connect to 127.0.0.1:1", "https": "connect to 127.0.0.1:1 with TLS"} {
		file := write(t, dir, "a.yaml", "name: a\nsource: {type: http}\nsink: {type: http, config: {url: '"+scheme+"://127.0.0.1:1/'}}\nerrorHandling: {onExhausted: block}\n")
		call(t, "check", file).wants(t, 1, "    FAIL  "+step+": connect: connection refused\n", "")
		call(t, "check", "-o", "json", file).wants(t, 1, `"error": "connect: connection refused"`, "")
	}
}
