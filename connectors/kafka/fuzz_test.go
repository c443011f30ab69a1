package kafka

import (
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/lsm/fiso/common/cloudevent"
	"github.com/twmb/franz-go/pkg/kgo"
)

// FuzzSink_writesWhatReadsBack: an event written as a record, in either mode of the
// Kafka binding, reads back as the same event.
func FuzzSink_writesWhatReadsBack(f *testing.F) {
	f.Add(false, "id", "sub", "text/plain", "acme", []byte("k"), []byte("x"), int64(1))
	f.Add(true, "é%20\"", "", "", "a\nb", []byte(nil), []byte(`{"n":1.10}`), int64(0))
	f.Add(true, "\xff", "s", "application/octet-stream", "", []byte{}, []byte{0, 0xff}, int64(-1))
	f.Fuzz(func(t *testing.T, structured bool, id, subject, contentType, tenant string, key, data []byte, at int64) {
		utf8 := func(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }
		e := &cloudevent.Event{
			ID: utf8(id), Source: "/s", Type: "t", Subject: utf8(subject), DataContentType: utf8(contentType),
			Time: time.UnixMilli(at % 4e12).UTC(), Data: cloudevent.Bytes(data), Key: key,
			Extensions: []cloudevent.Extension{{Name: "tenant", Value: utf8(tenant)}},
		}
		if tenant == "" {
			e.Extensions = nil
		}
		if id == "" || e.Validate() != nil {
			return
		}
		mode := ModeBinary
		if structured {
			mode = ModeStructured
		}
		both := produceCall{records: make([]sent, 2)} // both share one allocation
		if err := both.load(mode, e, e); (err == nil) == (structured && e.CheckData() != nil) {
			t.Fatalf("load: %v, the data: %v", err, e.CheckData())
		} else if err != nil {
			return
		}
		for i := range both.records {
			readsBack(t, &both.records[i].record, e, structured)
		}
	})
}

func readsBack(t *testing.T, r *kgo.Record, e *cloudevent.Event, structured bool) {
	t.Helper()
	if string(r.Key) != string(e.Key) || (r.Key == nil) != (e.Key == nil) {
		t.Fatalf("key %q became %q", e.Key, r.Key)
	}
	var got cloudevent.Event
	if structured {
		if err := cloudevent.ParseJSON(r.Value, &got); err != nil {
			t.Fatalf("%q: %v", r.Value, err)
		}
	} else {
		found, err := cloudevent.FromHeaders(cloudevent.KafkaPrefix, func(yield func(string, []byte) bool) {
			for _, h := range r.Headers {
				if !yield(h.Key, h.Value) {
					return
				}
			}
		}, &got)
		if err != nil || !found {
			t.Fatalf("%v, %v in %q", found, err, r.Headers)
		}
		got.Data = cloudevent.Bytes(r.Value)
	}
	if string(got.Data.Bytes()) != string(e.Data.Bytes()) && strings.TrimSpace(string(e.Data.Bytes())) != string(got.Data.Bytes()) {
		t.Errorf("data %q became %q", e.Data.Bytes(), got.Data.Bytes())
	}
	got.Data = e.Data
	if got.Key = e.Key; len(e.Extensions) == 0 {
		got.Extensions = e.Extensions
	}
	if !reflect.DeepEqual(*e, got) {
		t.Errorf("%+v became %+v", *e, got)
	}
}

// FuzzMetadata: a commit's metadata may come from any tool that is or was in the group.
// What is read from it is written and read as the same, and lists only rising runs
// beyond the offset as done.
func FuzzMetadata(f *testing.F) {
	for _, s := range []string{"", metadataMark, metadataMark + " first=1767225600000", metadataMark + " first=-1 done=", metadataMark + " first=99999999999999999999", "somebody else's", metadataMark + " later=x done=AAAA first=1"} {
		f.Add(s, int64(7))
	}
	f.Fuzz(func(t *testing.T, metadata string, offset int64) {
		first, done := parseMetadata(metadata)
		if first < 0 {
			t.Errorf("%q: the group began at %d", metadata, first)
		}
		if again, same := parseMetadata(formatMetadata(first, done)); again != first || same != done {
			t.Errorf("%d and %q were written as %q and read as %d and %q", first, done, formatMetadata(first, done), again, same)
		}
		last := offset
		for _, run := range doneIn(metadata, offset, [16]byte{1}, 3) {
			if run.From < last || run.To <= run.From {
				t.Fatalf("%q: the run %+v stands after %d", metadata, run, last)
			}
			last = run.To
		}
	})
}

// FuzzParseStart: a valid position is one of the four documented forms.
func FuzzParseStart(f *testing.F) {
	for _, s := range []string{"earliest", "latest", "0", "-1", "9223372036854775808", "2026-01-31T12:00:00Z", "2026-01-31", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		at, ok := parseStart(StartOffset(s))
		if !ok {
			return
		}
		_, isNumber := strconv.ParseInt(s, 10, 64)
		_, isTime := time.Parse(time.RFC3339, s)
		want := map[startKind]bool{startEarliest: s == "earliest", startLatest: s == "latest", startAt: isNumber == nil && at.offset >= 0, startTime: isTime == nil}
		if !want[at.kind] {
			t.Errorf("%q became %+v", s, at)
		}
	})
}
