package harness

import (
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/lsm/fiso/connectors/kafka/kafkatest"
	"github.com/lsm/fiso/e2e/faults/internal/ledger"
	"github.com/lsm/fiso/flow/plan"
)

func TestFlow_isValidWhateverIsSet(t *testing.T) {
	c := kafkatest.Embedded(t, kafkatest.Options{})
	s := &Env{Topic: "orders", DeadLetterTopic: "letters", Service: &Service{URL: "http://127.0.0.1:1/by"}, Kafka: &kafkatest.Processes{Admin: c.Admin}}
	for name, flow := range map[string]Flow{
		"usual":      defaultFlow("orders"),
		"as shipped": {Name: "orders", Group: "g", Plain: true, SinkTimeout: time.Hour, CommitInterval: time.Second},
	} {
		for _, m := range []*Member{{Name: "a"}, {Name: "a", Static: true, version: 7}} {
			file := strings.Replace(flow.file(s, m), "brokers: []", "brokers: [b]", 1) // no process runs here
			if _, err := plan.Parse("flow.yaml", []byte(file)); err != nil {
				t.Errorf("%s: %v\n%s", name, err, file)
			}
		}
	}
}

func TestCommit_isReadFromTheBrokersTopic(t *testing.T) {
	key, value := kmsg.NewOffsetCommitKey(), kmsg.NewOffsetCommitValue()
	key.Version, key.Group, key.Topic, key.Partition = 1, "g", "orders", 3
	value.Version, value.Offset = 3, 42
	r := &kgo.Record{Key: key.AppendTo(nil), Value: value.AppendTo(nil)}
	if p, o, ok := parseCommit(r, "g", "orders"); !ok || p != 3 || o != 42 {
		t.Error(p, o, ok)
	}
	for name, other := range map[string]*kgo.Record{
		"a deleted commit": {Key: r.Key}, "of a member": {Key: []byte{0, 2, 0, 0}, Value: r.Value}, "without a key": {Value: r.Value},
	} {
		if _, _, ok := parseCommit(other, "g", "orders"); ok {
			t.Errorf("%s is a commit", name)
		}
	}
	if _, _, ok := parseCommit(r, "other", "orders"); ok {
		t.Error("another group's commit is ours")
	}
}

func TestService_refusesByKind(t *testing.T) {
	l := ledger.New(ledger.Options{Topic: "orders", Partitions: 1, Size: func(int) int { return 100 }})
	s, err := newService(t.Context(), l)
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	event := func(kind string) []byte {
		return []byte(`{"id":"orders-0-0","data":{"n":0,"version":4,"kind":"` + kind + `"}}`)
	}
	l.Sent(0, 0, ledger.Flaky)
	for _, step := range []struct {
		name, body string
		away       bool
		want       int
	}{
		{"away", string(event("plain")), true, 503}, {"rejected", string(event("rejected")), false, 422}, {"no event", "{", false, 400},
		{"flaky", string(event("flaky")), false, 503}, {"flaky again", string(event("flaky")), false, 503}, {"flaky a third time", string(event("flaky")), false, 200},
	} {
		s.SetUnavailable(step.away)
		if got := s.statusFor([]byte(step.body), "orders-0-0", 7); got != step.want {
			t.Errorf("%s: %d, want %d", step.name, got, step.want)
		}
	}
	if s.Count(7) != 1 || s.Version(7) != 4 || l.Count() != 1 {
		t.Error(s.Count(7), s.Version(7), l.Count())
	}
}
