package floor

import (
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

func TestFields_findsRawMembers(t *testing.T) {
	for name, test := range map[string]struct{ in, a, b string }{
		"in another order":   {`{"b":"2","a":1}`, `1`, `"2"`},
		"past nested values": {`{"x":{"a":"no","l":["]",{"b":0}]}, "a" : true ,"b":{"c":[1]},"z":`, `true`, `{"c":[1]}`},
		"past quotes":        {`{"x":"a\":\"no\\","a":"\"","b":-1.5e3}`, `"\""`, `-1.5e3`},
	} {
		t.Run(name, func(t *testing.T) {
			out := make([][]byte, 2)
			if err := fields([]byte(test.in), []string{"a", "b"}, out); err != nil {
				t.Fatal(err)
			}
			if string(out[0]) != test.a || string(out[1]) != test.b {
				t.Errorf("got %s and %s", out[0], out[1])
			}
		})
	}
}

func TestFields_refusesIncompleteObjects(t *testing.T) {
	for _, in := range []string{``, `1`, `{`, `{}`, `{"a"`, `{"a":`, `{"a":1`, `{"a":1}`, `{"a":1,`, `{"a":{"b":1}`, `{a:1}`, `{"a" 1}`, `{"a":"`,
		`{"a":["}`, `{"x":"y`} {
		if err := fields([]byte(in), []string{"a", "b"}, make([][]byte, 2)); err == nil {
			t.Errorf("%s was accepted", in)
		}
	}
}

func TestTransformer_makesTheEventOfTheFlow(t *testing.T) {
	var s transformer
	r := &kgo.Record{Topic: "orders", Partition: 3, Offset: 42, Key: []byte("c-1"), Timestamp: time.UnixMilli(1_700_000_000_120),
		Value: []byte(`{"legacy_id":"o-1","region":"us","order_status":"PAID"}`)}
	if keep, err := s.read(r, false); err != nil || !keep {
		t.Fatal(keep, err)
	}
	const want = `{"specversion":"1.0","id":"orders-3-42","source":"fiso-flow/order-events","type":"fiso.event","subject":"c-1","datacontenttype":"application/json",` +
		`"time":"2023-11-14T22:13:20.12Z","data":{"order_id":"o-1","timestamp":"2023-11-14T22:13:20.12Z","status":"PAID"}}`
	if got := string(s.appendEvent(nil, r)); got != want {
		t.Errorf("got %s", got)
	}
	if keep, err := s.read(r, true); err != nil || keep {
		t.Error("the filter let another region through")
	}
	var out strings.Builder
	if err := (&lines{w: &out}).deliver(t.Context(), countdown(1), []*kgo.Record{r}); err != nil || out.String() != want+"\n" {
		t.Errorf("wrote %q, %v", out.String(), err)
	}
}

func countdown(n int64) *batch {
	b := &batch{over: make(chan struct{})}
	b.left.Store(n)
	return b
}

func TestBatch_isDoneAfterItsLastRecord(t *testing.T) {
	b := countdown(3)
	b.done(2)
	select {
	case <-b.over:
		t.Fatal("over too early")
	default:
	}
	b.done(1)
	<-b.over
}
