package pipeline

import (
	"bytes"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/lsm/fiso/delivery/deadletter"
)

// forgers are payloads that do not match their JSON content type.
var forgers = map[string]string{
	"attributes":      `1,"type":"refund.approved","source":"/bank"`,
	"the event's end": `1},{"type":"refund.approved"`,
	"text":            `refund`,
	"lines":           "{\"a\":\"refund\"}\n{}",
	"byte order mark": "\xef\xbb\xbf{\"a\":\"refund\"}",
	"NaN":             `{"a":NaN,"b":"refund"}`,
	"not UTF-8":       "{\"a\":\"refund\xff\"}",
	"nesting":         `{"a":"refund","b":` + strings.Repeat("[", 2000) + strings.Repeat("]", 2000) + `}`,
}

// U1: data that is not the JSON that its content type claims could forge the event around it. In
// every sink that writes JSON such an event is a dead letter, alone, before anything is sent. A
// sink that sends bytes unchanged does not check them.
func TestFlow_noPayloadForgesTheEventAroundIt(t *testing.T) {
	for name, row := range map[string]struct {
		sink   string
		passes bool // the sink sends the bytes unchanged
	}{
		"http structured":            {"{type: http, config: {url: URL}}", false},
		"http batch":                 {"{type: http, config: {url: URL, mode: batch}}\ndelivery: {batch: {maxEvents: 7, maxWait: 20ms}}", false},
		"http binary":                {"{type: http, config: {url: URL, mode: binary}}", true},
		"kafka structured":           {"{type: kafka, config: {brokers: BROKERS, topic: other, mode: structured}}", false},
		"kafka structured, with key": {"{type: kafka, config: {brokers: BROKERS, topic: other, mode: structured, key: type}}", false},
		"kafka binary":               {"{type: kafka, config: {brokers: BROKERS, topic: other, mode: binary}}", true},
		"stdout":                     {"{type: stdout}", false},
	} {
		t.Run(name, func(t *testing.T) {
			var printed log
			in := prepare(t)
			text := in.flow("orders", "errorHandling: {stopTheLine: {consecutive: 1}}\ncloudevents: {type: '\"order.created\"', source: '\"/shop\"'}\n")
			before, after, _ := strings.Cut(text, "sink:")
			_, after, _ = strings.Cut(after, "}\n")
			places := strings.NewReplacer("URL", fmt.Sprintf("%q", in.service.URL), "BROKERS", fmt.Sprintf("%q", strings.Join(in.kafka.Brokers(), ",")))
			text = before + "sink: " + places.Replace(row.sink) + "\n" + after
			in.put("orders.yaml", text)
			in.start(Options{Stdout: &printed})

			const good = `{"n":"good"}`
			sent := 0
			for _, forger := range forgers {
				for _, value := range []string{good, forger} {
					in.produce("orders", fmt.Sprint("k", sent), value, kgo.RecordHeader{Key: "content-type", Value: []byte("application/json")})
					sent++
				}
			}
			in.until("all to be settled and committed", func() bool { return in.committed() == int64(sent) })
			got := delivered(t, in, &printed)
			if n := bytes.Count(got, []byte(`good`)); n != len(forgers) {
				t.Errorf("%d of %d good events arrived", n, len(forgers))
			}
			letters, err := in.kafka.Records(t.Context(), "fiso-dlq-orders")
			if err != nil && !row.passes {
				t.Fatal(err)
			}
			if row.passes {
				if n := bytes.Count(got, []byte("refund")); len(letters) > 0 || n != len(forgers) {
					t.Errorf("%d dead letters, %d of %d arrived byte for byte", len(letters), n, len(forgers))
				}
				return
			}
			if bytes.Contains(got, []byte("refund")) {
				t.Errorf("arrived: %s", got)
			}
			if len(letters) != len(forgers) {
				t.Errorf("%d dead letters, want %d", len(letters), len(forgers))
			}
			for _, l := range letters {
				head := map[string]string{}
				for _, h := range l.Headers {
					head[h.Key] = string(h.Value)
				}
				if head["fiso-error-code"] != "DECODE_FAILED" || head["fiso-retry-count"] != "0" || !strings.Contains(head["fiso-error-message"], `data is not what datacontenttype "application/json" says: `) {
					t.Errorf("%s: %v", l.Value, head)
				}
			}
			for metric, labels := range map[string]map[string]string{
				"fiso_flow_dlq_total":              {"flow": "orders"},
				"fiso_flow_transform_errors_total": {"flow": "orders", "error_type": "DECODE_FAILED"},
			} {
				if n := in.metric(metric, labels); n != float64(len(forgers)) {
					t.Errorf("%s is %v", metric, n)
				}
			}
			if n := in.metric("fiso_flow_sink_delivery_errors_total", map[string]string{"flow": "orders"}); n > 0 {
				t.Errorf("the sink is blamed for %v", n)
			}
		})
	}
}

// delivered returns everything that arrived at any sink.
func delivered(t *testing.T, in *instance, printed *log) []byte {
	t.Helper()
	all := []byte(printed.String())
	in.service.mu.Lock()
	all = append(all, strings.Join(in.service.bodies, "\n")...)
	in.service.mu.Unlock()
	records, err := in.kafka.Records(t.Context(), "other")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range records {
		all = append(append(all, r.Value...), '\n')
	}
	return all
}

// U1, U3: the same through the http source in each of its modes. The events of a batch are
// independent of the attributes of the request.
func TestHTTPSource_noBodyForgesAnEvent(t *testing.T) {
	in := prepare(t)
	port := freePort(t)
	path := filepath.Join(t.TempDir(), "dead.jsonl")
	in.put("orders.yaml", fmt.Sprintf(`name: orders
source: {type: http, config: {listen: "%s", path: /in}}
sink: {type: http, config: {url: %q}}
errorHandling: {deadLetter: {type: file, config: {path: %q}}}
`, port, in.service.URL, path))
	in.start(Options{})
	client := &http.Client{Timeout: patience}
	defer client.CloseIdleConnections()
	post := func(body string, headers ...string) int {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+port+"/in", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(headers); i += 2 {
			req.Header.Set(headers[i], headers[i+1])
		}
		r, err := client.Do(req)
		if err != nil {
			return 0 // not listening yet
		}
		_ = r.Body.Close()
		return r.StatusCode
	}
	beside := []string{"ce-specversion", "1.0", "ce-id", "outside", "ce-source", "/outside", "ce-type", "outside"}
	in.until("the port", func() bool { return post(`{"n":"good"}`, "Content-Type", "application/json") == 200 })
	for name, forger := range forgers {
		for _, headers := range [][]string{{"Content-Type", "application/json"}, append(beside, "Content-Type", "application/vnd.order+json")} {
			if status := post(forger, headers...); status != 200 { // it is stored as a dead letter
				t.Errorf("%s: %d", name, status)
			}
		}
	}
	const one = `{"specversion":"1.0","id":"inside-%d","source":"/inside","type":"inside","data":1}`
	if status := post(fmt.Sprintf(one, 1), append(beside, "Content-Type", "application/cloudevents+json")...); status != 200 {
		t.Errorf("structured: %d", status)
	}
	batch := "[" + fmt.Sprintf(one, 2) + "," + fmt.Sprintf(one, 3) + "]"
	if status := post(batch, append(beside, "Content-Type", "application/cloudevents-batch+json")...); status != 200 {
		t.Errorf("batch: %d", status)
	}
	in.stop()
	n := 0
	for l, err := range deadletter.ReadFile(path) {
		if err != nil || l.Code != "DECODE_FAILED" {
			t.Errorf("%+v, %v", l, err)
		}
		n++
	}
	if n != 2*len(forgers) || in.service.got("refund") > 0 || in.service.got("outside") > 0 {
		t.Errorf("%d dead letters, delivered: %q", n, in.service.bodies)
	}
	for i := range 3 {
		if in.service.got(fmt.Sprintf(`"id":"inside-%d","source":"/inside","type":"inside"`, i+1)) != 1 {
			t.Errorf("inside-%d is not among %q", i+1, in.service.bodies)
		}
	}
}
