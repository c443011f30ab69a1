package deadletter

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/lsm/fiso/common/connector"
	"github.com/lsm/fiso/delivery/fault"
)

var at = time.Date(2026, 3, 4, 5, 6, 7, 89_000_000, time.FixedZone("", 3600))

func h(name, value string) connector.Header {
	return connector.Header{Key: name, Value: []byte(value)}
}

func letter() *Letter {
	return &Letter{
		Message: &connector.Message{
			Key: []byte("k\x00"), Value: []byte(`{"a":1}`), Time: time.Unix(1700000000, 0).UTC(),
			Headers:  []connector.Header{h("b", "1"), h("a", "\xff"), h("b", "2"), {Key: "null"}},
			Position: connector.PartitionOffset("orders", 3, 42),
		},
		Code: fault.SinkRejected, Reason: "422: no such customer", Retries: 2, FailedAt: at, Flow: "order-events", Sink: "api",
	}
}

func text(hs []connector.Header) []string {
	var s []string
	for _, h := range hs {
		s = append(s, h.Key+"="+string(h.Value))
	}
	return s
}

func TestHeaders_areThoseOfTheContract(t *testing.T) {
	want := []string{
		"b=1", "a=\xff", "b=2", "null=",
		"fiso-original-topic=orders", "fiso-original-partition=3", "fiso-original-offset=42", "fiso-original-timestamp=2023-11-14T22:13:20Z",
		"fiso-event-id=orders-3-42", "fiso-error-code=SINK_REJECTED", "fiso-error-message=422: no such customer", "fiso-retry-count=2",
		"fiso-failed-at=2026-03-04T04:06:07.089Z", "fiso-flow-name=order-events", "fiso-sink=api", "fiso-dead-letter-count=1",
	}
	if got := text(Headers(letter())); !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestHeaders_nameNoPlaceThatIsNoBrokersAndNoOnlySink(t *testing.T) {
	l := letter()
	l.Message.Position = connector.Position{Stream: "webhook"}
	l.Sink = ""
	for _, h := range Headers(l) {
		if slices.Contains([]string{HeaderPartition, HeaderOffset, HeaderSink}, h.Key) {
			t.Errorf("header %s is set", h.Key)
		}
	}
}

func TestHeaders_nameThePartOfAMessageThatWasSplit(t *testing.T) {
	l := letter()
	l.Part = 3
	hs := Headers(l)
	if !slices.Contains(text(hs), "fiso-part=2") {
		t.Errorf("headers %q", text(hs))
	}
	back, err := Parse(&connector.Message{Headers: hs})
	if err != nil || back.Part != 3 {
		t.Errorf("part %d, %v", back.Part, err)
	}
	l.Message.Headers = hs // it becomes a dead letter again
	l.Part = 0
	if again := text(Headers(l)); slices.ContainsFunc(again, func(h string) bool { return strings.HasPrefix(h, "fiso-part") }) {
		t.Errorf("headers %q", again)
	}
}

// U39: An id that a source made up is nowhere else.
func TestHeaders_nameTheEventByTheIDThatTheFlowGaveIt(t *testing.T) {
	position, none := connector.PartitionOffset("orders", 3, 42), connector.Position{Stream: "webhook"}
	structured := []connector.Header{h("content-type", "application/cloudevents+json")}
	binary := []connector.Header{h("ce_specversion", "1.0"), h("ce_id", "a"), h("ce_source", "/s"), h("ce_type", "t")}
	const envelope = `{"specversion":"1.0","id":"b","source":"/s","type":"t"}`
	for name, tc := range map[string]struct {
		m    *connector.Message
		want string // "": no header
	}{
		"Kafka":               {&connector.Message{Position: position}, "orders-3-42"},
		"HTTP":                {&connector.Message{Position: none, ID: "made-up"}, "made-up"},
		"no id":               {&connector.Message{Position: none}, ""},
		"a CloudEvent":        {&connector.Message{Position: position, Headers: binary}, "a"},
		"structured":          {&connector.Message{Position: position, Headers: structured, Value: []byte(envelope)}, "b"},
		"a broken CloudEvent": {&connector.Message{Position: position, Headers: structured, Value: []byte(`{"id":"b"`)}, "orders-3-42"},
		"too long":            {&connector.Message{Position: none, ID: strings.Repeat("x", MaxReason+1)}, ""},
		"of an earlier one":   {&connector.Message{Position: none, ID: "new", Headers: []connector.Header{h(HeaderEventID, "old")}}, "new"},
	} {
		t.Run(name, func(t *testing.T) {
			l := letter()
			l.Message = tc.m
			m := stored(l)
			got, _ := m.Header(HeaderEventID)
			back, err := Parse(m)
			if err != nil || string(got) != tc.want || back.Message.ID != tc.want {
				t.Errorf("header %q, read back as %q, %v; want %q", got, back.Message.ID, err, tc.want)
			}
		})
	}
}

// F10, https://github.com/spring-projects/spring-kafka/issues/1996: headers must
// not grow with each dead letter.
func TestF10_aSecondDeathReplacesTheFirstAndKeepsTheReplayCount(t *testing.T) {
	first := letter()
	again := letter()
	again.Message.Headers = append([]connector.Header{h(HeaderReplays, "1")}, Headers(first)...)
	again.Message.Position = connector.PartitionOffset("fiso-dlq-orders", 0, 7)
	again.Code, again.Sink = fault.DecodeFailed, ""
	got := text(Headers(again))
	want := []string{
		"fiso-replay-count=1", "b=1", "a=\xff", "b=2", "null=",
		"fiso-original-topic=fiso-dlq-orders", "fiso-original-partition=0", "fiso-original-offset=7", "fiso-original-timestamp=2023-11-14T22:13:20Z",
		"fiso-event-id=fiso-dlq-orders-0-7", "fiso-error-code=DECODE_FAILED", "fiso-error-message=422: no such customer", "fiso-retry-count=2",
		"fiso-failed-at=2026-03-04T04:06:07.089Z", "fiso-flow-name=order-events", "fiso-dead-letter-count=2",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestReason_isBoundedAndCutOnARune(t *testing.T) {
	for _, s := range []string{
		"", "short", strings.Repeat("x", MaxReason), strings.Repeat("x", MaxReason+1), strings.Repeat("é", MaxReason),
		strings.Repeat("\xff", 9*MaxReason), strings.Repeat("日本", MaxReason), "x" + strings.Repeat("🙂", MaxReason),
	} {
		got := truncate(s)
		if len(got) > MaxReason || !utf8.ValidString(got) {
			t.Errorf("%.20q… became %d bytes, valid %t", s, len(got), utf8.ValidString(got))
		}
		if len(s) <= MaxReason && utf8.ValidString(s) && got != s {
			t.Errorf("%.20q was changed", s)
		}
		if len(s) > MaxReason && utf8.ValidString(s) && (len(got) < MaxReason-6 || !strings.HasSuffix(got, "…")) {
			t.Errorf("%.20q… was cut to %d bytes", s, len(got))
		}
	}
}

func stored(l *Letter) *connector.Message {
	return &connector.Message{Key: l.Message.Key, Value: l.Message.Value, Headers: Headers(l)}
}

// same compares letters without the locks inside messages.
func same(a, b *Letter) bool {
	return a.Code == b.Code && a.Reason == b.Reason && a.Retries == b.Retries && a.FailedAt.Equal(b.FailedAt) &&
		a.Flow == b.Flow && a.Sink == b.Sink && a.Replays == b.Replays && a.Message.Position == b.Message.Position &&
		string(a.Message.Key) == string(b.Message.Key) && (a.Message.Key == nil) == (b.Message.Key == nil) &&
		string(a.Message.Value) == string(b.Message.Value) && (a.Message.Value == nil) == (b.Message.Value == nil) &&
		a.Message.Time.Equal(b.Message.Time) && slices.Equal(text(a.Message.Headers), text(b.Message.Headers))
}

func TestParse_readsBackWhatHeadersWrote(t *testing.T) {
	http := letter()
	http.Message.Position = connector.Position{Stream: "webhook"}
	replayed := letter()
	replayed.Message.Headers = append(replayed.Message.Headers, h(HeaderReplays, "3"))
	replayed.Replays = 3
	for name, l := range map[string]*Letter{"kafka": letter(), "http": http, "replayed": replayed} {
		t.Run(name, func(t *testing.T) {
			got, err := Parse(stored(l))
			if err != nil || !same(got, l) {
				t.Errorf("%v: got %+v %+v, want %+v", err, got, got.Message.Position, l)
			}
		})
	}
}

func TestParse_namesEveryFaultAndKeepsWhatItCanRead(t *testing.T) {
	m := &connector.Message{Value: []byte("v"), Headers: []connector.Header{
		h("own", "1"), h(HeaderTopic, "orders"), h(HeaderPartition, "3000000000"), h(HeaderRetries, "-1"), h(HeaderFailedAt, "yesterday"), h(HeaderReplays, "x"), h(HeaderCode, "NEW_CODE"),
	}}
	l, err := Parse(m)
	want := `not a dead letter of fiso: fiso-replay-count is not a number: "x"
fiso-original-partition is not a number: "3000000000"
header fiso-original-offset is missing
fiso-retry-count is not a number: "-1"
header fiso-flow-name is missing
fiso-failed-at is not an RFC 3339 time`
	if err == nil || err.Error() != want {
		t.Errorf("error\n%v\nwant\n%s", err, want)
	}
	if l.Code != "NEW_CODE" || l.Message.Position.Stream != "orders" || string(l.Message.Value) != "v" || text(l.Message.Headers)[0] != "own=1" {
		t.Errorf("letter %+v", l)
	}
	if _, err := Parse(&connector.Message{}); err == nil || strings.Count(err.Error(), "is missing") != 5 {
		t.Errorf("an ordinary record: %v", err)
	}
}

// U5: a letter has the time of its write, so a header has the time of the record.
func TestHeaders_keepTheTimeOfTheRecord(t *testing.T) {
	for name, tc := range map[string]struct {
		at   time.Time
		want string // "": no header
	}{
		"of a source that knows none": {time.Time{}, ""},
		"in milliseconds":             {time.UnixMilli(1700000000123), "2023-11-14T22:13:20.123Z"},
		"of another zone":             {at, "2026-03-04T04:06:07.089Z"},
		"the first of Kafka":          {time.UnixMilli(0), "1970-01-01T00:00:00Z"},
		"in the year of microseconds": {time.UnixMilli(1700000000000000), "1700000000000000"},
		"the farthest of Kafka":       {time.UnixMilli(1<<63 - 1), "9223372036854775807"},
		"before all years":            {time.UnixMilli(-1 << 62), "-4611686018427387904"},
	} {
		t.Run(name, func(t *testing.T) {
			l := letter()
			l.Message.Time = tc.at
			m := &connector.Message{Headers: Headers(l)}
			if got := header(m, HeaderTime); got != tc.want {
				t.Errorf("header %q, want %q", got, tc.want)
			}
			if back, err := Parse(m); err != nil || !back.Message.Time.Equal(tc.at) {
				t.Errorf("read back as %v, %v", back.Message.Time, err)
			}
		})
	}
	broken := &connector.Message{Headers: append(Headers(letter()), h(HeaderTime, "yesterday"))}
	broken.Time = time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	back, err := Parse(broken)
	if err == nil || err.Error() != "not a dead letter of fiso: fiso-original-timestamp is not an RFC 3339 time" || !back.Message.Time.Equal(broken.Time) {
		t.Errorf("a broken time: %v, %v; want the time of the record that holds the letter", back.Message.Time, err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(HeaderTopic, "t", HeaderPartition, "1", HeaderFailedAt, "2026-01-01T00:00:00Z")
	f.Add(HeaderCode, "", HeaderRetries, "99999999999999999999", HeaderReplays, "-1")
	f.Add("a", "\xff", HeaderOffset, "9223372036854775807", HeaderMessage, "\x00")
	f.Fuzz(func(t *testing.T, n1, v1, n2, v2, n3, v3 string) {
		m := stored(letter())
		m.Headers = append(m.Headers, h(n1, v1), h(n2, v2), h(n3, v3))
		l, err := Parse(m)
		if l == nil || l.Message == nil {
			t.Fatal("no letter")
		}
		if l.Retries < 0 || l.Replays < 0 || l.Message.Position.Offset < -1 || l.Message.Position.Partition < -1 {
			t.Fatalf("negative counts: %+v", l)
		}
		if err != nil {
			return
		}
		l.Reason = truncate(l.Reason)
		if y := l.FailedAt.Year(); y < 0 || y > 9999 {
			return
		}
		once := stored(l)
		again, err := Parse(once)
		if err != nil || !same(again, l) {
			t.Fatalf("%v: %+v became %+v", err, l, again)
		}
		// Another dead letter of it adds no headers.
		if twice := Headers(&Letter{Message: once, Reason: l.Reason, FailedAt: l.FailedAt}); len(twice) > max(len(once.Headers), 11) {
			t.Fatalf("%d headers became %d", len(once.Headers), len(twice))
		}
	})
}

func ExampleParse() {
	l := &Letter{
		Message: &connector.Message{Value: []byte("{"), Position: connector.PartitionOffset("orders", 0, 7)},
		Code:    fault.DecodeFailed, Reason: "unexpected end of JSON", FailedAt: time.Unix(0, 0), Flow: "order-events",
	}
	record := &connector.Message{Value: l.Message.Value, Headers: Headers(l)} // as it is in the topic
	back, err := Parse(record)
	fmt.Println(back.Message.Position, back.Code, strconv.Quote(back.Reason), err)
	// Output: orders-0-7 DECODE_FAILED "unexpected end of JSON" <nil>
}

// Any sender can set headers: only a message of a broker that names this flow counts as
// a replayed dead letter.
func TestReplayed_tellsWhatOfAMessageIsToBeDeliveredAgain(t *testing.T) {
	l := letter()
	l.Part = 3
	put := func(change func(*connector.Message)) *connector.Message {
		m := &connector.Message{Position: connector.PartitionOffset("orders", 3, 99), Headers: append(Headers(l), h(HeaderReplays, "1"))}
		change(m)
		return m
	}
	without := func(name string) func(*connector.Message) {
		return func(m *connector.Message) {
			m.Headers = slices.DeleteFunc(m.Headers, func(h connector.Header) bool { return h.Key == name })
		}
	}
	for name, tc := range map[string]struct {
		m    *connector.Message
		want Replay
		ok   bool
	}{
		"one of a sink":        {put(func(*connector.Message) {}), Replay{"api", 3}, true},
		"one that was whole":   {put(without(HeaderPart)), Replay{"api", 0}, true},
		"one with a torn part": {put(func(m *connector.Message) { without(HeaderPart)(m); m.Headers = append(m.Headers, h(HeaderPart, "x")) }), Replay{"api", 0}, true},
		"one of the transform": {put(without(HeaderSink)), Replay{}, false},
		"one never replayed":   {put(without(HeaderReplays)), Replay{}, false},
		"one of another flow":  {put(func(m *connector.Message) { without(HeaderFlow)(m); m.Headers = append(m.Headers, h(HeaderFlow, "x")) }), Replay{}, false},
		"one of no broker":     {put(func(m *connector.Message) { m.Position = connector.Position{Stream: "hook"} }), Replay{}, false},
	} {
		if got, ok := Replayed(tc.m, "order-events"); ok != tc.ok || ok && got != tc.want {
			t.Errorf("%s: %+v, %v", name, got, ok)
		}
	}
}
