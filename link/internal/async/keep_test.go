package async

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/lsm/fiso/common/http1"
	"github.com/lsm/fiso/link/internal/target"
)

// F9: a dead letter that Kafka never confirms is reported like one that Kafka refuses,
// and is stored once all the same.
// https://github.com/confluentinc/kafka-connect-jdbc/issues/1597
func TestF9_aDeadLetterThatKafkaIsSilentAboutIsHeld(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "async: {topic: calls, timeout: 1s}", map[string]int32{"calls": 1, "calls-dlq": 1})
	w.answers(func(_ int, rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(422) })
	var silent atomic.Bool
	silent.Store(true)
	w.hangUp(func(topic string) bool { return topic == "calls-dlq" && silent.Load() })
	w.accept("POST", "/link/crm/", "")
	w.work()
	eventually(t, "words about the dead letter", func() bool {
		s := w.worker.Status()
		return s.Held == 1 && strings.Contains(s.Problem, "1 call(s) held because their dead letter cannot be written: waiting for topic calls-dlq to take a dead letter: ")
	})
	silent.Store(false)
	w.settled(1)
	if n := len(w.records("calls-dlq")); n != 1 || w.worker.Status().Held != 0 {
		t.Errorf("%d dead letters, %+v", n, w.worker.Status())
	}
}

// F9: the same for a reply.
// https://github.com/confluentinc/kafka-connect-jdbc/issues/1597
func TestF9_aReplyThatKafkaIsSilentAboutIsHeld(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "async: {topic: calls, replyTopic: answers, timeout: 1s}", map[string]int32{"calls": 1, "answers": 1})
	var silent atomic.Bool
	silent.Store(true)
	w.hangUp(func(topic string) bool { return topic == "answers" && silent.Load() })
	w.accept("POST", "/link/crm/", "")
	w.work()
	eventually(t, "words about the reply", func() bool {
		s := w.worker.Status()
		return s.Held == 1 && strings.Contains(s.Problem, "1 call(s) held because their reply cannot be written: waiting for Kafka to take the reply: ")
	})
	silent.Store(false)
	w.settled(1)
	if n := len(w.records("answers")); n != 1 || len(w.seen()) != 1 || w.worker.Status().Held != 0 || w.count(w.unwritten, Reply) == 0 {
		t.Errorf("%d replies, %d calls, %+v", n, len(w.seen()), w.worker.Status())
	}
}

// U5: a dead letter with its record's time could be deleted as soon as it was stored,
// after a long outage.
func TestWorker_datesADeadLetterWhenItIsWritten(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "async: {topic: calls}", map[string]int32{"calls": 1})
	began := time.Now().Truncate(time.Millisecond)
	if err := w.kafka.Produce(t.Context(), &kgo.Record{
		Topic: "calls", Value: []byte("no event"), Timestamp: time.UnixMilli(1700000000123),
		Headers: []kgo.RecordHeader{{Key: "fiso-original-timestamp", Value: []byte("of an earlier death")}, {Key: "fiso-sink", Value: []byte("of an earlier death")}},
	}); err != nil {
		t.Fatal(err)
	}
	w.work()
	w.settled(1)
	rs := w.records("calls-dlq")
	if len(rs) != 1 || headerOf(rs[0], "fiso-original-timestamp") != "2023-11-14T22:13:20.123Z" || headerOf(rs[0], "fiso-sink") != "" ||
		headerOf(rs[0], "fiso-dead-letter-count") != "1" || rs[0].Timestamp.Before(began) {
		t.Errorf("%v at %v", rs[0].Headers, rs[0].Timestamp)
	}
}

// The drain timeout is for the whole worker, not for each record that waits behind
// another.
func TestWorker_stopsInTimeWhateverKafkaDoes(t *testing.T) {
	t.Parallel()
	const records = 60
	w := newWorld(t, "async: {topic: calls, timeout: 1s}", map[string]int32{"calls": 1, "calls-dlq": 1})
	w.hangUp(func(topic string) bool { return topic == "calls-dlq" })
	var rs []*kgo.Record
	for i := range records {
		rs = append(rs, &kgo.Record{Topic: "calls", Key: []byte("k"), Value: []byte(strconv.Itoa(i))})
	}
	if err := w.kafka.Produce(t.Context(), rs...); err != nil {
		t.Fatal(err)
	}
	w.work(func(c *Config) { c.Drain = 10 * time.Millisecond })
	eventually(t, "records behind the one that is held", func() bool { return w.worker.engine.Status().InFlight == records })
	began := time.Now()
	w.stop()
	if took := time.Since(began); took > records*abandonGrace/2 { // with a timeout for each record it would take longer
		t.Errorf("it took %v", took)
	}
}

// At most maxInFlight answers wait for their reply to be stored.
func TestWorker_boundsTheAnswersThatItKeeps(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "async: {topic: calls, replyTopic: answers, maxInFlight: 2}", map[string]int32{"calls": 1, "answers": 1})
	var denied atomic.Bool
	denied.Store(true)
	w.deny(func(topic string) bool { return denied.Load() && topic == "answers" })
	for range 8 {
		w.accept("POST", "/link/crm/", "")
	}
	w.work()
	eventually(t, "tries to write the replies", func() bool { return w.count(w.unwritten, Reply) >= 6 })
	if n := len(w.seen()); n != 2 {
		t.Errorf("%d answers are kept", n)
	}
	denied.Store(false)
	w.settled(8)
	if n := len(w.records("answers")); n != 8 || len(w.seen()) != 8 {
		t.Errorf("%d replies, %d calls", n, len(w.seen()))
	}
}

// A bug that one record triggers ends neither the process nor the next record.
func TestWorker_outlivesAPanic(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "async: {topic: calls, maxInFlight: 1}", map[string]int32{"calls": 1})
	w.accept("POST", "/link/crm/bad", "canary")
	w.accept("POST", "/link/crm/good", "")
	w.work(func(c *Config) {
		c.Deliver = func(ctx context.Context, a http1.ResponseWriter, to *target.Target, r *http1.Request) error {
			if r.Target == "/bad" {
				panic("canary")
			}
			return w.proxy.Deliver(ctx, a, to, r)
		}
	})
	w.settled(2)
	rs := w.records("calls-dlq")
	if len(rs) != 1 || headerOf(rs[0], "fiso-error-code") != "SINK_DELIVERY_FAILED" || string(rs[0].Value) != "canary" || strings.Contains(headerOf(rs[0], "fiso-error-message"), "canary") || len(w.seen()) != 1 {
		t.Error(rs, w.seen())
	}
}

// F7: calls that Kafka deleted before they were made are reported.
// https://github.com/confluentinc/parallel-consumer/issues/409
func TestF7_callsThatKafkaDeletedAreToldOf(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "async: {topic: calls}", map[string]int32{"calls": 1})
	w.accept("POST", "/link/crm/made", "")
	w.work()
	w.settled(1)
	w.stop()
	for range 3 {
		w.accept("POST", "/link/crm/deleted", "")
	}
	w.accept("POST", "/link/crm/left", "")
	w.deleteBefore("calls", 4)
	w.work()
	w.settled(5)
	w.mu.Lock()
	defer w.mu.Unlock()
	if s := w.worker.Status(); w.gaps != 1 || len(s.Notes) != 1 || !strings.Contains(s.Notes[0], "the broker no longer has offset 1") || len(w.calls) != 2 {
		t.Error(w.gaps, s, w.calls)
	}
}
