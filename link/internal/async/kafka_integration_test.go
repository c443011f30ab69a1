//go:build integration

package async

import (
	"fmt"
	"net/http"
	"strconv"
	"testing"

	"github.com/lsm/fiso/connectors/kafka/kafkatest"
)

// With a real Kafka, an outage of the target and a worker that stops midway and starts
// again, each call has one reply or dead letter, and the calls of a key were made in
// order.
func TestReal_everyAcceptedCallEndsOnce(t *testing.T) {
	const calls = 400
	c := kafkatest.Real(t, kafkatest.RealOptions{})
	for topic, partitions := range map[string]int32{"calls": 4, "answers": 1} {
		if err := c.CreateTopic(t.Context(), topic, partitions, nil); err != nil {
			t.Fatal(err)
		}
	}
	w := newWorldOn(t, &kafkatest.Cluster{Admin: c.Admin}, "retry: {maxAttempts: 1, initialInterval: 1ms, maxInterval: 20ms}\ncircuitBreaker: {enabled: false}\nasync: {topic: calls, replyTopic: answers, key: 'headers[\"k\"]'}")
	done := map[string]int{} // the last call of each key
	half := make(chan struct{})
	w.answers(func(n int, rw http.ResponseWriter, r *http.Request) {
		if n > 100 && n <= 120 {
			rw.WriteHeader(503)
			return
		}
		i, err := strconv.Atoi(r.RequestURI[1:])
		if err != nil {
			t.Error(err)
		}
		w.mu.Lock()
		if k := r.Header.Get("K"); done[k] >= i {
			t.Errorf("call %d of key %s came after %d", i, k, done[k])
		} else {
			done[k] = i
		}
		w.mu.Unlock()
		if n == calls/2 {
			close(half)
		}
		if i%10 == 0 {
			rw.WriteHeader(422)
		}
	})
	ids := map[string]int{}
	for i := 1; i <= calls; i++ {
		ids[w.accept("POST", fmt.Sprint("/link/crm/", i), "", "K", fmt.Sprint(i%23))] = 0
	}
	w.work()
	<-half
	w.stop()
	w.work()
	w.settled(calls)
	for _, r := range w.records("answers") {
		ids[headerOf(r, "ce_fisorequestid")]++
	}
	for id, n := range ids {
		if n != 1 {
			t.Errorf("%s has %d replies", id, n)
		}
	}
	if n := len(w.records("calls-dlq")); n != calls/10 || len(ids) != calls || w.count(w.buried, "SINK_REJECTED") != calls/10 || len(w.buried) != 1 {
		t.Errorf("%d dead letters, %d calls; counted %v", n, len(ids), w.buried)
	}
}
