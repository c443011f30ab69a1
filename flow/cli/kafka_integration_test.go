//go:build integration

package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/lsm/fiso/connectors/kafka/kafkatest"
)

// orderService counts orders and refuses the order named "fraud".
type orderService struct {
	mu   sync.Mutex
	seen map[string]int
	last map[string]string
	bad  []string // orders out of order
	away bool
}

func (s *orderService) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	var e struct {
		Subject string
		Data    struct {
			ID string `json:"order_id"`
		}
	}
	if err == nil {
		err = json.Unmarshal(body, &e)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case err != nil:
		w.WriteHeader(http.StatusBadRequest)
	case s.away:
		w.WriteHeader(http.StatusServiceUnavailable)
	case e.Data.ID == "fraud":
		w.WriteHeader(http.StatusUnprocessableEntity)
	default:
		s.seen[e.Data.ID]++
		if s.seen[e.Data.ID] == 1 {
			if s.last[e.Subject] > e.Data.ID {
				s.bad = append(s.bad, e.Data.ID)
			}
			s.last[e.Subject] = e.Data.ID
		}
	}
}

func (s *orderService) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.seen)
}

func (s *orderService) setAway(away bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.away = away
}

// poison returns records that can never be delivered, by error code and a number.
func poison() map[string]*kgo.Record {
	deep := strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000)
	return map[string]*kgo.Record{
		"DECODE_FAILED":    {Key: []byte("p1"), Value: []byte("not JSON \x00\xff"), Headers: []kgo.RecordHeader{{Key: "h", Value: []byte{0, 255}}, {Key: "h", Value: nil}}},
		"DECODE_FAILED 2":  {Key: []byte("p2"), Value: []byte(deep)},
		"DECODE_FAILED 3":  {Key: nil, Value: []byte{}},
		"TRANSFORM_FAILED": {Key: []byte("p3"), Value: []byte(`{"legacy_id": "x"}`)},
		"SINK_REJECTED":    {Key: []byte("p4"), Value: []byte(`{"legacy_id": "fraud", "order_status": 1}`)},
		"OUTPUT_TOO_LARGE": {Key: []byte("p5"), Value: []byte(`{"legacy_id": "` + strings.Repeat("x", 10<<20) + `", "order_status": 1}`)},
	}
}

// TestIntegration_runOnARealKafka runs the command as released with a real broker with SASL and
// TLS. The broker restarts, the sink is down for a while, the flow is reloaded meanwhile, and dead
// letters hold the original bytes.
func TestIntegration_runOnARealKafka(t *testing.T) {
	large := map[string]string{"message.max.bytes": "20971520", "replica.fetch.max.bytes": "20971520"}
	cluster := kafkatest.Real(t, kafkatest.RealOptions{SASL: true, TLS: true, Config: large})
	if err := cluster.CreateTopic(t.Context(), "orders", 3, nil); err != nil {
		t.Fatal(err)
	}
	service := &orderService{seen: map[string]int{}, last: map[string]string{}}
	server := httptest.NewServer(service)
	defer server.Close()

	const each, customers = 200, 10
	produce(t, cluster, each, customers, 0)
	dir := t.TempDir()
	flow := fmt.Sprintf(`name: orders
source:
  type: kafka
  config:
    brokers: %s
    topic: orders
    consumerGroup: g
    startOffset: earliest
    tls: {caFile: %s}
    sasl: {mechanism: SCRAM-SHA-512, username: %s, password: %s}
transform:
  cel: '{"order_id": data.legacy_id, "status": data.order_status}'
sink:
  type: http
  config: {url: %s/orders}
errorHandling: {maxRetries: 1000, maxInterval: 1s}
`, strings.Join(cluster.Brokers(), ","), cluster.Certs.CA, kafkatest.User, kafkatest.Password, server.URL)
	write(t, dir, "orders.yaml", flow)
	logs, stop := running(t, nil, "run", "--metrics-addr", freeAddr(t), dir)
	until(t, "the first orders", func() bool { return service.count() >= each*customers })

	until(t, "their commits", func() bool { return lag(t, cluster) == 0 })

	service.setAway(true)
	produce(t, cluster, each, customers, each)
	write(t, dir, "orders.yaml", strings.Replace(flow, `"status"`, `"state"`, 1))
	until(t, "the reload", func() bool { return strings.Contains(logs.String(), "reload") })
	cluster.Restart(1)
	service.setAway(false)
	until(t, "the orders after the restart", func() bool { return service.count() >= 2*each*customers })
	sent := poison()
	for _, r := range sent {
		r.Topic, r.Partition = "orders", int32(len(r.Key)%3)
		if err := cluster.Produce(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	var letters []*kgo.Record
	until(t, "the dead letters", func() bool {
		var err error
		letters, err = cluster.Records(t.Context(), "fiso-dlq-orders")
		return err == nil && len(letters) >= len(sent)
	})
	if code := stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	service.mu.Lock()
	defer service.mu.Unlock()
	if len(service.bad) > 0 {
		t.Errorf("out of order: %v", service.bad)
	}
	// What was committed before the broker restart never comes again; what was in flight then may.
	for id, n := range service.seen {
		if before := id[len(id)-6:] < fmt.Sprintf("%06d", each); n > 2 || n > 1 && before {
			t.Errorf("order %s came %d times", id, n)
		}
	}
	sameBytes(t, sent, letters)
	if n := lag(t, cluster); n != 0 {
		t.Errorf("after a clean stop %d records are not committed", n)
	}
}

// lag returns how many records of the topic the group has not committed.
func lag(t *testing.T, cluster *kafkatest.RealCluster) int64 {
	t.Helper()
	committed, err := cluster.Committed(t.Context(), "g", "orders")
	if err != nil {
		t.Fatal(err)
	}
	ends, err := cluster.Ends(t.Context(), "orders")
	if err != nil {
		t.Fatal(err)
	}
	var n int64
	for p, end := range ends {
		n += end - committed[p]
	}
	return n
}

func produce(t *testing.T, cluster *kafkatest.RealCluster, each, customers, from int) {
	t.Helper()
	var records []*kgo.Record
	for i := range each {
		for c := range customers {
			key := fmt.Sprintf("customer-%d", c)
			records = append(records, &kgo.Record{Topic: "orders", Partition: int32(c % 3), Key: []byte(key), Value: fmt.Appendf(nil, `{"legacy_id": "%s-%06d", "order_status": "PAID"}`, key, from+i)})
		}
	}
	if err := cluster.Produce(t.Context(), records...); err != nil {
		t.Fatal(err)
	}
}

// sameBytes compares each dead letter with its original record.
func sameBytes(t *testing.T, sent map[string]*kgo.Record, letters []*kgo.Record) {
	t.Helper()
	if len(letters) != len(sent) {
		t.Errorf("%d dead letters of %d records", len(letters), len(sent))
	}
	for name, want := range sent {
		code, _, _ := strings.Cut(name, " ")
		found := false
		for _, got := range letters {
			if !bytes.Equal(got.Value, want.Value) || !bytes.Equal(got.Key, want.Key) || (got.Key == nil) != (want.Key == nil) {
				continue
			}
			found = true
			headers := map[string]string{}
			for _, h := range got.Headers {
				headers[h.Key] = string(h.Value)
			}
			if headers["fiso-error-code"] != code || headers["fiso-original-topic"] != "orders" || headers["fiso-flow-name"] != "orders" {
				t.Errorf("%s: headers %v", name, headers)
			}
			if at, err := time.Parse(time.RFC3339Nano, headers["fiso-failed-at"]); err != nil || time.Since(at) > time.Hour {
				t.Errorf("%s failed at %s: %v", name, headers["fiso-failed-at"], err)
			}
			for i, h := range want.Headers {
				if got.Headers[i].Key != h.Key || !bytes.Equal(got.Headers[i].Value, h.Value) {
					t.Errorf("%s: header %d became %v", name, i, got.Headers[i])
				}
			}
		}
		if !found {
			t.Errorf("%s is not among the dead letters, byte for byte", name)
		}
	}
}
