package async

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/lsm/fiso/common/connector"
	"github.com/lsm/fiso/connectors/kafka"
	"github.com/lsm/fiso/link/internal/call"
	"github.com/lsm/fiso/link/internal/target"
)

func TestAccept_storesTheCallAsACloudEvent(t *testing.T) {
	w := newWorld(t, "headers: {set: {X-Set: canary}, remove: [Cookie]}\nasync: {topic: calls, key: 'headers[\"x-customer\"]'}", map[string]int32{"calls": 3})
	id := w.accept("POST", "/link/crm/a%20b?x=%2f", `{"order":42}`, "X-Customer", "7", "Cookie", "c=1", "Content-Type", "application/json",
		"Connection", "x-hop", "X-Hop", "1", "Prefer", "wait=5, handling=lenient", "traceparent", "00-1-2-01", "Idempotency-Key", "mine", "X-Two", "a", "x-two", "b")
	rs := w.records("calls")
	if len(rs) != 1 || string(rs[0].Key) != "7" || string(rs[0].Value) != `{"order":42}` {
		t.Fatalf("%+v", rs)
	}
	var got []string
	for _, h := range rs[0].Headers {
		if h.Key == "ce_time" {
			continue
		}
		got = append(got, h.Key+"="+string(h.Value))
	}
	want := []string{
		"ce_specversion=1.0", "ce_id=" + id, "ce_source=fiso-link/crm", "ce_type=fiso.link.request", "ce_fisotarget=crm", "ce_fisomethod=POST", "ce_fisopath=/a%20b?x=%2f",
		"ce_traceparent=00-1-2-01", "content-type=application/json", "http-X-Customer=7", "http-Content-Type=application/json", "http-Prefer=handling=lenient",
		"http-traceparent=00-1-2-01", "http-Idempotency-Key=mine", "http-X-Two=a", "http-x-two=b",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestAccept_theApplicationMayGiveTheID(t *testing.T) {
	w := newWorld(t, "async: {topic: calls}", map[string]int32{"calls": 1})
	if id := w.accept("GET", "/link/crm/", "", "ce-id", "order-42"); id != "order-42" {
		t.Error(id)
	}
	for _, bad := range []string{"", "a b", "ü", strings.Repeat("a", 201)} {
		if a := w.send("GET", "/link/crm/", "", "Prefer", "respond-async", "CE-ID", bad); a.status != 400 || a.header.Get("fiso-error") != "BAD_REQUEST" {
			t.Errorf("%q: %d", bad, a.status)
		}
	}
	if rs := w.records("calls"); len(rs) != 1 {
		t.Errorf("%d records", len(rs))
	}
}

// L10: a caller's own copy of the parameter that the credential replaces stays out
// of the topic. https://github.com/hashicorp/go-retryablehttp/issues/206
func TestAccept_keepsNoParameterOfTheCredentials(t *testing.T) {
	w := newWorld(t, "async: {topic: calls}", map[string]int32{"calls": 1})
	w.to.Credential = &parameter{}
	w.accept("GET", "/link/crm/a?canary=1", "")
	if got := headerOf(w.records("calls")[0], "ce_fisopath"); got != "/a?kept" {
		t.Error(got)
	}
}

// parameter is a credential in a query parameter.
type parameter struct{ fixed }

func (*parameter) WithoutOwn(string) string { return "kept" }

func TestAccept_refusesWhatCannotBeStored(t *testing.T) {
	w := newWorld(t, "async: {topic: calls, key: data.customer, maxBodyBytes: 20}", map[string]int32{"calls": 1})
	for name, test := range map[string]struct {
		body, code string
		status     int
	}{
		"too large":         {`{"customer": 12345678901}`, "BODY_TOO_LARGE", 413},
		"without its key":   {`{}`, "KEY_FAILED", 400},
		"no JSON":           {`canary`, "KEY_FAILED", 400},
		"key of some other": {`{"customer": true}`, "KEY_FAILED", 400},
	} {
		a := w.send("POST", "/link/crm/", test.body, "Prefer", "respond-async")
		if a.status != test.status || a.header.Get("fiso-error") != test.code || strings.Contains(string(a.body), "canary") {
			t.Errorf("%s: %d %s", name, a.status, a.body)
		}
	}
	if rs := w.records("calls"); len(rs) != 0 {
		t.Errorf("%d records", len(rs))
	}
}

func TestAccept_claimsNothingThatKafkaDidNotTake(t *testing.T) {
	w := newWorld(t, "async: {topic: missing, timeout: 1s}", nil)
	if a := w.send("GET", "/link/crm/", "", "Prefer", "respond-async"); a.status != 503 || a.header.Get("fiso-error") != "ASYNC_UNAVAILABLE" || !strings.Contains(string(a.body), "create topic missing") {
		t.Errorf("%d %s", a.status, a.body)
	}
}

// log is a target.RecordStore without Kafka.
type log func(context.Context) error

func (l log) Append(ctx context.Context, _ kafka.Record) (connector.Position, error) {
	return connector.Position{}, l(ctx)
}

func TestAccept_saysWhenItDoesNotKnow(t *testing.T) {
	w := newWorld(t, "async: {topic: calls, timeout: 1s}", nil)
	for name, test := range map[string]struct {
		err  error
		code call.Code
	}{
		"no answer":      {kafka.ErrOutcomeUnknown, call.AsyncOutcomeUnknown},
		"given up":       {connector.ErrClosed, call.AsyncOutcomeUnknown},
		"refused":        {errBroken, call.AsyncUnavailable},
		"above a limit":  {kafka.ErrTooLarge, call.BodyTooLarge},
		"a broker's end": {connector.AsUnavailable(errBroken, 0), call.AsyncUnavailable},
	} {
		to := *w.to
		to.Records = log(func(context.Context) error { return test.err })
		w.proxy.Target = func(string) (*target.Target, func()) { return &to, func() {} }
		if a := w.send("GET", "/link/crm/", "", "Prefer", "respond-async"); a.header.Get("fiso-error") != string(test.code) {
			t.Errorf("%s: %d %s", name, a.status, a.body)
		}
	}
}

// The wait for a cluster that hangs ends with the application's call.
func TestStore_leavesAWriteThatIsNotAnswered(t *testing.T) {
	w := newWorld(t, "async: {topic: calls}", map[string]int32{"calls": 1})
	if _, err := w.to.Records.Append(t.Context(), kafka.Record{Topic: "calls"}); err != nil {
		t.Fatal(err)
	}
	asked, hang := make(chan struct{}), make(chan struct{})
	w.kafka.Fake.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		close(asked)
		<-hang
		return nil, nil, false
	})
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-asked; cancel() }()
	_, err := w.to.Records.Append(ctx, kafka.Record{Topic: "calls"})
	if !errors.Is(err, kafka.ErrOutcomeUnknown) {
		t.Error(err)
	}
	close(hang)
	eventually(t, "the record that was left", func() bool { return len(w.records("calls")) == 2 })
}

func TestNewStore_refusesWhatCannotWork(t *testing.T) {
	if _, err := NewStore(kafka.ClientConfig{}, time.Second, false, nil); err == nil {
		t.Error("a store without brokers")
	}
}
