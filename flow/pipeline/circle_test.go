package pipeline

import (
	"bytes"
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// between returns a flow from topics to a sink that uses brokers unchanged.
func (in *instance) between(name, topics, sink, more string) string {
	return fmt.Sprintf("name: %s\nsource: {type: kafka, config: {brokers: %q, topics: [%s], consumerGroup: %s, startOffset: earliest, commitInterval: 50ms, metadataMaxAge: 1s}}\nsink: %s\n%s\n",
		name, strings.Join(in.kafka.Brokers(), ","), topics, name, sink, more)
}

func (in *instance) toTopic(topic string) string {
	return fmt.Sprintf("{type: kafka, config: {brokers: %q, topic: %s, compression: none}}", strings.Join(in.kafka.Brokers(), ","), topic)
}

func (in *instance) toService() string {
	return fmt.Sprintf("{type: http, config: {url: %q}}", in.service.URL)
}

func (in *instance) topic(names ...string) {
	in.t.Helper()
	for _, name := range names {
		if err := in.kafka.CreateTopic(in.t.Context(), name, 1, nil); err != nil {
			in.t.Fatal(err)
		}
	}
}

func (in *instance) count(topic string) int {
	in.t.Helper()
	rs, err := in.kafka.Records(in.t.Context(), topic)
	if err != nil {
		in.t.Fatal(err)
	}
	return len(rs)
}

func (in *instance) ended(flow, status string) float64 {
	return in.metric("fiso_flow_events_total", map[string]string{"flow": flow, "status": status})
}

// U4: validate cannot see that two broker names are one cluster and that the flow reads its own
// dead letters. Each of them is tried once more and makes no other one.
func TestFlow_itsOwnDeadLettersUnderAnotherNameMakeNoMore(t *testing.T) {
	in := prepare(t)
	in.topic("orders-dlq")
	_, port, err := net.SplitHostPort(in.kafka.Brokers()[0])
	if err != nil {
		t.Fatal(err)
	}
	in.put("orders.yaml", in.between("orders", "orders, orders-dlq", in.toService(),
		"errorHandling: {deadLetter: {type: kafka, config: {brokers: 'localhost:"+port+"', topic: orders-dlq}}}"))
	in.service.answers(func(string) int { return 422 })
	in.start(Options{})
	for n := range 3 {
		in.produce("orders", "k", fmt.Sprint(n))
	}
	in.until("three dead letters, tried again", func() bool { return in.ended("orders", "dead_lettered") == 6 })
	if n := in.count("orders-dlq"); n != 3 || !strings.Contains(in.log.String(), "dead letter already stored") {
		t.Errorf("%d dead letters, want 3", n)
	}
}

// U4: flows in separate files read each other's dead letters. After a bounded number of rounds the
// last one is held, with a reason.
func TestFlow_deadLettersThatGoRoundAreHeldInTheEnd(t *testing.T) {
	in := prepare(t)
	in.topic("fiso-dlq-a", "fiso-dlq-b")
	in.put("a.yaml", in.between("a", "orders, fiso-dlq-b", in.toService(), ""))
	in.put("b.yaml", in.between("b", "fiso-dlq-a", in.toService(), ""))
	in.service.answers(func(string) int { return 422 })
	in.start(Options{})
	in.produce("orders", "k", "x")
	in.until("the last to be held", func() bool { return in.metric("fiso_flow_held_events", map[string]string{"flow": "a"}) == 1 })
	if a, b := in.count("fiso-dlq-a"), in.count("fiso-dlq-b"); a != 16 || b != 16 {
		t.Errorf("%d and %d dead letters, want 16 each", a, b)
	}
	if log := in.log.String(); !strings.Contains(log, "32 dead letters were made of the record at fiso-dlq-b-0-15 in a row (fiso-dead-letter-count): the flows that read fiso-dlq-b and fiso-dlq-a form a loop") {
		t.Error("the log does not say why")
	}
}

// U4: an event that circulates between two flows ends as one dead letter.
func TestFlow_anEventThatGoesRoundBecomesADeadLetter(t *testing.T) {
	in := prepare(t)
	in.put("a.yaml", in.between("a", "orders", in.toTopic("other"), ""))
	in.put("b.yaml", in.between("b", "other", in.toTopic("orders"), "transform: {cel: '{\"again\": true}'}"))
	in.start(Options{})
	in.produce("orders", "k", `{"n": 1}`)
	in.until("the end of it", func() bool { return in.ended("a", "dead_lettered") == 1 })
	if there, back := in.count("other"), in.count("orders"); there != 16 || back != 17 || in.count("fiso-dlq-a") != 1 {
		t.Errorf("%d records there and %d back, want 16 and 17", there, back)
	}
}

// U6: if the broker refuses one of sixty events that are sent together, only that one becomes a
// dead letter.
func TestFlow_oneRefusedRecordIsOneDeadLetter(t *testing.T) {
	in := prepare(t)
	in.put("a.yaml", in.between("a", "orders", in.toTopic("other"), fmt.Sprintf("errorHandling: {deadLetter: {type: kafka, config: {brokers: %q, compression: none}}}", strings.Join(in.kafka.Brokers(), ","))))
	for n := range 60 {
		word := "good"
		if n == 37 {
			word = "guilty"
		}
		in.produce("orders", fmt.Sprint(n), fmt.Sprintf(`{"n": "%s %d"}`, word, n))
	}
	in.kafka.Fake.ControlKey(int16(kmsg.Produce), func(kreq kmsg.Request) (kmsg.Response, error, bool) {
		in.kafka.Fake.KeepControl()
		req := kreq.(*kmsg.ProduceRequest)
		resp := req.ResponseKind().(*kmsg.ProduceResponse)
		refused := false
		for _, rt := range req.Topics {
			t := kmsg.NewProduceResponseTopic()
			t.Topic, t.TopicID = rt.Topic, rt.TopicID
			for _, rp := range rt.Partitions {
				p := kmsg.NewProduceResponseTopicPartition()
				p.Partition, p.ErrorCode = rp.Partition, kerr.InvalidRecord.Code
				// Only a dead letter has the source of the record in a header.
				refused = refused || bytes.Contains(rp.Records, []byte("guilty")) && !bytes.Contains(rp.Records, []byte("fiso-original-topic"))
				t.Partitions = append(t.Partitions, p)
			}
			resp.Topics = append(resp.Topics, t)
		}
		return resp, nil, refused
	})
	in.start(Options{})
	in.until("all to end", func() bool { return in.ended("a", "delivered")+in.ended("a", "dead_lettered") == 60 })
	if letters, delivered := in.count("fiso-dlq-a"), in.count("other"); letters != 1 || delivered != 59 {
		t.Errorf("%d dead letters and %d delivered, want 1 and 59", letters, delivered)
	}
}
