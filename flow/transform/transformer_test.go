package transform

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/lsm/fiso/common/cloudevent"
	"github.com/lsm/fiso/common/config"
	"github.com/lsm/fiso/common/connector"
	"github.com/lsm/fiso/delivery/fault"
)

func TestProcess_doesWhatTheContractShows(t *testing.T) {
	p := mustNew(t, Config{Flow: "order-events", CEL: text(example)})
	e, err := p.Process(t.Context(), message(`{"legacy_id":"A-1","order_status":"shipped","x":1}`))
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"order_id":"A-1","timestamp":"2026-03-01T12:00:00.5Z","status":"shipped"}`; string(e.Data.Bytes()) != want {
		t.Errorf("got %s, want %s", e.Data.Bytes(), want)
	}
	if e.ID != message("").Position.String() || e.ID != "orders-2-41" || e.Source != "fiso-flow/order-events" || e.Type != "fiso.event" || e.Subject != "customer-7" ||
		!e.Time.Equal(noon) || e.DataContentType != "application/json" || string(e.Key) != "customer-7" {
		t.Errorf("got %+v", e)
	}
}

func TestProcess_writesWhatExpressionsSay(t *testing.T) {
	doc := `{"a": {"b" : [1, 2.50, -0]}, "n": null, "big": 123456789012345678901234567890, "e": 1E2, "s":"\u00e9"}`
	for name, row := range map[string]struct{ cel, want string }{
		"an object keeps its bytes":          {`{"x": data.a}`, `{"x":{"b" : [1, 2.50, -0]}}`},
		"numbers keep their digits":          {`[data.big, data.e, data.a.b[1], data.a.b[2]]`, `[123456789012345678901234567890,1E2,2.50,-0]`},
		"also through a branch":              {`has(data.e) ? data.e : 0`, `1E2`},
		"also through a loop":                {`data.a.b.map(x, {"v": x})`, `[{"v":1},{"v":2.50},{"v":-0}]`},
		"also through a binding":             {`cel.bind(x, data.big, {"x": x})`, `{"x":123456789012345678901234567890}`},
		"also through an optional":           {`{"x": data.?big.orValue(0)}`, `{"x":123456789012345678901234567890}`},
		"also through json.encode":           {`json.encode([data.a.b[1]])`, `"[2.50]"`},
		"null is null":                       {`{"n": data.n}`, `{"n":null}`},
		"a literal keeps its order":          {`has(data.n) ? {"z": 1, "a": 2, "m": 3} : {}`, `{"z":1,"a":2,"m":3}`},
		"a map that a macro makes is sorted": {`{"z": 1, "a": 2}.transformMap(k, v, v + 1)`, `{"a":3,"z":2}`},
		"everything":                         {`data.s`, `"\u00e9"`},
		"bytes are base64":                   {`bytes(data.s)`, `"w6k="`},
		"a duration":                         {`duration("1m30s")`, `"90s"`},
		"computed":                           {`{"x": data.a.b[0] + 1, "y": double(data.a.b[0]) * 1.5}`, `{"x":2,"y":1.5}`},
		"an optional entry":                  {`{?"x": data.?nothing, ?"s": data.?s}`, `{"s":"é"}`},
		"a map with numbers as keys":         {`{1: "x"}`, `{"1":"x"}`},
		"headers":                            {`{"h": headers["h"]}`, `{"h":"last"}`},
	} {
		t.Run(name, func(t *testing.T) {
			m := message(doc)
			m.Headers = []connector.Header{{Key: "h", Value: []byte("first")}, {Key: "h", Value: []byte("last")}}
			e, err := mustNew(t, Config{CEL: text(row.cel)}).Process(t.Context(), m)
			if err != nil {
				t.Fatal(err)
			}
			if string(e.Data.Bytes()) != row.want {
				t.Errorf("got %s, want %s", e.Data.Bytes(), row.want)
			}
		})
	}
}

func TestProcess_makesFieldsInTheirOrder(t *testing.T) {
	p := mustNew(t, Config{Fields: config.Fields{field("order_id", "data.legacy_id"), field("twice", "data.n * 2"), field("in", `{"a": id}`)}})
	e, err := p.Process(t.Context(), message(`{"legacy_id":"A","n":2}`))
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"order_id":"A","twice":4,"in":{"a":"orders-2-41"}}`; string(e.Data.Bytes()) != want {
		t.Errorf("got %s, want %s", e.Data.Bytes(), want)
	}
}

func TestProcess_failsInWordsWithoutTheData(t *testing.T) {
	big := strings.Repeat("x", 2000)
	for name, row := range map[string]struct {
		cfg   Config
		value string
		code  fault.Code
		want  string
	}{
		"missing":           {Config{CEL: text(`{"a": data.legacy_id}`)}, `{"secret":1}`, fault.TransformFailed, "transform.cel: no such field: data.legacy_id"},
		"missing deep":      {Config{CEL: text(`data.a["b c"].d`)}, `{"a":{"secret":1}}`, fault.TransformFailed, `transform.cel: no such field: data.a["b c"]`},
		"missing computed":  {Config{CEL: text(`data.a.b + 1`)}, `{"a":{"secret":1}}`, fault.TransformFailed, "transform.cel: no such field: data.a.b"},
		"missing in loop":   {Config{CEL: text(`data.a.map(x, x.b)`)}, `{"a":[{"secret":1}]}`, fault.TransformFailed, "transform.cel: no such field: x.b"},
		"missing element":   {Config{CEL: text(`data.a[3]`)}, `{"a":["secret"]}`, fault.TransformFailed, "transform.cel: no such element: data.a[3]"},
		"missing in fields": {Config{Fields: config.Fields{field("a", "data.b")}}, `{}`, fault.TransformFailed, "transform.fields.a: no such field: data.b"},
		"no overload":       {Config{CEL: text(`data.a * 1.5`)}, `{"a":7}`, fault.TransformFailed, "transform.cel: no such overload in data.a * 1.5: " + mixedNumbers},
		"division":          {Config{CEL: text(`1 / data.a`)}, `{"a":0}`, fault.TransformFailed, "transform.cel: division by zero in 1 / data.a"},
		"conversion":        {Config{CEL: text(`int(data.a)`)}, `{"a":"secret"}`, fault.TransformFailed, "transform.cel: type conversion error in int(data.a)"},
		"timestamp":         {Config{CEL: text(`timestamp(data.a)`)}, `{"a":"secret"}`, fault.TransformFailed, "transform.cel: it cannot be evaluated for these values in timestamp(data.a)"},
		"pattern":           {Config{CEL: text(`"a".matches(data.a)`)}, `{"a":"(secret"}`, fault.TransformFailed, `transform.cel: not a valid regular expression in "a".matches(data.a)`},
		"long pattern":      {Config{CEL: text(`"a".matches(data.a)`)}, `{"a":"` + big + `"}`, fault.TransformFailed, `transform.cel: it cannot be evaluated for these values in "a".matches(data.a)`},
		"filter":            {Config{Filter: text(`data.a`)}, `{"a":"secret"}`, fault.TransformFailed, "filter: it returned a string where true or false is expected"},
		"filter null":       {Config{Filter: text(`data.a`)}, `{"a":null}`, fault.TransformFailed, "filter: it returned null where true or false is expected"},
		"filter int":        {Config{Filter: text(`data.a`)}, `{"a":1}`, fault.TransformFailed, "filter: it returned an int where true or false is expected"},
		"filter missing":    {Config{Filter: text(`data.a`)}, `{}`, fault.TransformFailed, "filter: no such field: data.a"},
		"id null":           {Config{ID: text(`data.a`)}, `{"a":null}`, fault.TransformFailed, "cloudevents.id: it returned null, but the attribute is required"},
		"id empty":          {Config{ID: text(`data.a`)}, `{"a":""}`, fault.TransformFailed, "cloudevents.id: it returned an empty text, but the attribute is required"},
		"id of a list":      {Config{ID: text(`data.a`)}, `{"a":[]}`, fault.TransformFailed, "cloudevents.id: it returned a list where text is expected"},
		"id missing":        {Config{ID: text(`data.a`)}, `{}`, fault.TransformFailed, "cloudevents.id: no such field: data.a"},
		"no number":         {Config{CEL: text(`{"a": 0.0 / double(data.a)}`)}, `{"a":0}`, fault.TransformFailed, "transform.cel: JSON cannot represent NaN"},
		"id no number":      {Config{ID: text(`dyn(0.0 / double(data.a))`)}, `{"a":0}`, fault.TransformFailed, "cloudevents.id: JSON cannot represent NaN"},
		"no JSON":           {Config{CEL: text(`data`)}, `{"secret"`, fault.DecodeFailed, "not valid JSON at byte 9: it ends too early"},
		"empty":             {Config{CEL: text(`data`)}, ``, fault.DecodeFailed, "the value is empty, and an expression needs data; a record without a value has null"},
		"large path":        {Config{CEL: text(`data`), MaxOutputBytes: 100}, `"` + big + `"`, fault.OutputTooLarge, "the output is larger than the 100 bytes that transform.maxOutputBytes allows"},
		"large literal":     {Config{CEL: text(`{"a":` + `"` + big + `"}`), MaxOutputBytes: 100}, `1`, fault.OutputTooLarge, "the output is larger than the 100 bytes that transform.maxOutputBytes allows"},
		"large text":        {Config{CEL: text(`data + "x"`), MaxOutputBytes: 100}, `"` + big + `"`, fault.OutputTooLarge, "the output is larger than the 100 bytes that transform.maxOutputBytes allows"},
		"large variable":    {Config{CEL: text(`[id, id]`), MaxOutputBytes: 14}, `1`, fault.OutputTooLarge, "the output is larger than the 14 bytes that transform.maxOutputBytes allows"},
	} {
		t.Run(name, func(t *testing.T) {
			e, err := mustNew(t, row.cfg).Process(t.Context(), message(row.value))
			if e != nil || fault.CodeOf(err) != row.code || err.Error() != row.want {
				t.Errorf("got %v, %s: %v", e, fault.CodeOf(err), err)
			}
			if err != nil && strings.Contains(err.Error(), "secret") {
				t.Error("the data is in the message")
			}
		})
	}
}

func TestProcess_filters(t *testing.T) {
	p := mustNew(t, Config{Filter: text(`data.region == "eu" && data.?vip.orValue(true)`)})
	for value, pass := range map[string]bool{`{"region":"eu"}`: true, `{"region":"us"}`: false, `{"region":"eu","vip":false}`: false} {
		e, err := p.Process(t.Context(), message(value))
		if err != nil || (e != nil) != pass {
			t.Errorf("%s: %v, %v", value, e, err)
		}
	}
}

func TestProcess_namesWhatHasNoName(t *testing.T) {
	p := mustNew(t, Config{Flow: "f"})
	unplaced := connector.Position{Stream: "hook"}
	e, _ := p.Process(t.Context(), &connector.Message{Position: unplaced, ID: "from-caller", Value: []byte("x")})
	if e.ID != "from-caller" {
		t.Errorf("got id %q", e.ID)
	}
	e, _ = p.Process(t.Context(), &connector.Message{Position: unplaced, Value: []byte("x")})
	if !regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`).MatchString(e.ID) {
		t.Errorf("got id %q", e.ID)
	}
	again, _ := p.Process(t.Context(), &connector.Message{Position: unplaced, Value: []byte("x")})
	if again.ID == e.ID {
		t.Error("two random ids are the same")
	}
	if e, _ = mustNew(t, Config{Flow: "f", Source: "/own"}).Process(t.Context(), message("x")); e.Source != "/own" {
		t.Errorf("got source %q", e.Source)
	}
	for key, want := range map[string]string{
		"order 7": "order 7", "é": "é", "": "", "\x00\x01": "", "a\nb": "", "\xff\xfe": "", "\u200b": "", "\x7f": "",
		strings.Repeat("k", 256): strings.Repeat("k", 256), strings.Repeat("k", 257): "",
	} {
		m := message("x")
		m.Key = []byte(key)
		if e, _ := p.Process(t.Context(), m); e.Subject != want || string(e.Key) != key {
			t.Errorf("key %q: subject %q", key, e.Subject)
		}
	}
}

func TestProcess_passesAPayloadThatNobodyReads(t *testing.T) {
	p := mustNew(t, Config{Filter: text(`type == "fiso.event"`)})
	for value, want := range map[string]string{
		"plain text": "text/plain; charset=utf-8", "\xff\x00": "application/octet-stream", `{"a":1}`: "application/json", "": "",
	} {
		e, err := p.Process(t.Context(), message(value))
		if err != nil || string(e.Data.Bytes()) != value || e.DataContentType != want {
			t.Errorf("%q: %v, %v", value, e, err)
		}
	}
	m := message("<a/>")
	m.Headers = []connector.Header{{Key: "Content-Type", Value: []byte("application/xml")}}
	if e, err := p.Process(t.Context(), m); err != nil || e.DataContentType != "application/xml" {
		t.Errorf("%v, %v", e, err)
	}
	m = message("")
	m.Value = nil
	if e, err := p.Process(t.Context(), m); err != nil || e.Data.Bytes() != nil {
		t.Errorf("%v, %v", e, err)
	}
}

func headers(pairs ...string) []connector.Header {
	var all []connector.Header
	for i := 0; i < len(pairs); i += 2 {
		all = append(all, connector.Header{Key: pairs[i], Value: []byte(pairs[i+1])})
	}
	return all
}

func TestProcess_keepsTheAttributesOfACloudEvent(t *testing.T) {
	structured := `{"specversion":"1.0","id":"e-1","source":"/s","type":"t","subject":"sub","time":"2026-01-02T03:04:05Z","tenant":"acme","data":{"a":1.50}}`
	for name, m := range map[string]*connector.Message{
		"Kafka, binary": {Value: []byte(`{"a":1.50}`), Headers: headers("ce_specversion", "1.0", "ce_id", "e-1", "ce_source", "/s", "ce_type", "t",
			"ce_subject", "sub", "ce_time", "2026-01-02T03:04:05Z", "ce_tenant", "acme", "content-type", "application/json")},
		"HTTP, binary": {Value: []byte(`{"a":1.50}`), Headers: headers("ce-specversion", "1.0", "ce-id", "e-1", "ce-source", "/s", "ce-type", "t",
			"ce-subject", "sub", "ce-time", "2026-01-02T03:04:05Z", "ce-tenant", "acme", "content-type", "application/json")},
		"structured": {Value: []byte(structured), Headers: headers("Content-Type", "application/cloudevents+json; charset=utf-8")},
	} {
		t.Run(name, func(t *testing.T) {
			m.Key, m.Time, m.Position = []byte("k"), noon, connector.PartitionOffset("t", 1, 2)
			m.Headers = append(m.Headers, headers("traceparent", "00-aa-bb-01", "tracestate", "x=y")...)
			p := mustNew(t, Config{CEL: text(`{"a": data.a, "t": time, "s": subject}`), Type: text(`"new"`),
				Extensions: config.Fields{field("tenant", `data.a`), field("more", `"m"`)}})
			e, err := p.Process(t.Context(), m)
			if err != nil {
				t.Fatal(err)
			}
			if want := `{"a":1.50,"t":"2026-01-02T03:04:05Z","s":"sub"}`; string(e.Data.Bytes()) != want {
				t.Errorf("got %s, want %s", e.Data.Bytes(), want)
			}
			if e.ID != "e-1" || e.Source != "/s" || e.Type != "new" || e.Subject != "sub" || string(e.Key) != "k" {
				t.Errorf("got %+v", e)
			}
			for name, want := range map[string]string{"tenant": "1.50", "more": "m", "traceparent": "00-aa-bb-01", "tracestate": "x=y"} {
				if got, _ := e.Extension(name); got != want {
					t.Errorf("%s is %q", name, got)
				}
			}
			if e, err = mustNew(t, Config{}).Process(t.Context(), m); err != nil || string(e.Data.Bytes()) != `{"a":1.50}` {
				t.Errorf("passed on as %s, %v", e.Data.Bytes(), err)
			}
			if got, _ := e.Extension("tenant"); got != "acme" || e.Type != "t" {
				t.Errorf("passed on as %+v", e)
			}
		})
	}
}

func TestProcess_refusesABrokenCloudEvent(t *testing.T) {
	p := mustNew(t, Config{})
	for name, m := range map[string]*connector.Message{
		"no id":          {Headers: headers("ce_specversion", "1.0", "ce_source", "/s", "ce_type", "t")},
		"version":        {Headers: headers("ce_specversion", "9", "ce_id", "1", "ce_source", "/s", "ce_type", "t")},
		"no JSON":        {Value: []byte("{"), Headers: headers("content-type", "application/cloudevents+json")},
		"another format": {Value: []byte(`x`), Headers: headers("content-type", "application/cloudevents+avro")},
		"no attributes":  {Value: []byte(`{"specversion":"1.0"}`), Headers: headers("content-type", "application/cloudevents+json")},
	} {
		if _, err := p.Process(t.Context(), m); fault.CodeOf(err) != fault.DecodeFailed {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestProcess_setsAttributes(t *testing.T) {
	p := mustNew(t, Config{
		ID: text("data.eventId"), Type: text(`"order." + data.what`), EventSource: text(`"/orders/" + data.region`), Subject: text("data.?customer"),
		DataSchema: text("time"), Extensions: config.Fields{field("tenant", "data.tenant"), field("vip", "data.vip"), field("gone", "null"), field("big", "data.big"), field("half", "0.5")},
	})
	m := message(`{"eventId":9007199254740993,"what":"created","region":"eu","tenant":"acme","vip":true,"big":18446744073709551615}`)
	m.Headers = headers("traceparent", "00-1")
	e, err := p.Process(t.Context(), m)
	if err != nil {
		t.Fatal(err)
	}
	if e.ID != "9007199254740993" || e.Type != "order.created" || e.Source != "/orders/eu" || e.Subject != "" || e.DataSchema != "2026-03-01T12:00:00.5Z" {
		t.Errorf("got %+v", e)
	}
	want := []cloudevent.Extension{{Name: "traceparent", Value: "00-1"}, {Name: "tenant", Value: "acme"}, {Name: "vip", Value: "true"}, {Name: "big", Value: "18446744073709551615"}, {Name: "half", Value: "0.5"}}
	if fmt.Sprint(e.Extensions) != fmt.Sprint(want) {
		t.Errorf("got %v", e.Extensions)
	}
}

func TestProcess_keepsADataSchemaOnlyForTheDataItDescribes(t *testing.T) {
	m := &connector.Message{Value: []byte(`{}`), Headers: headers("ce_specversion", "1.0", "ce_id", "1", "ce_source", "/s", "ce_type", "t", "ce_dataschema", "https://a.example/s")}
	for want, cfg := range map[string]Config{
		"https://a.example/s": {Type: text(`"u"`)}, "": {CEL: text("data")}, "https://b.example": {CEL: text("data"), DataSchema: text(`"https://b.example"`)},
	} {
		if e, err := mustNew(t, cfg).Process(t.Context(), m); err != nil || e.DataSchema != want {
			t.Errorf("got %v, %v; want %q", e, err, want)
		}
	}
}

// F17: the timeout ends loops, too.
// https://github.com/cel-expr/cel-go/issues/509
func TestProcess_endsWithItsTime(t *testing.T) {
	loop := text(`data.all(x, data.all(y, data.all(z, x + y + z > 0)))`)
	value := "[" + strings.TrimSuffix(strings.Repeat("1,", 300), ",") + "]"
	_, err := mustNew(t, Config{CEL: loop, Timeout: time.Nanosecond}).Process(t.Context(), message(value))
	if fault.CodeOf(err) != fault.TransformTimeout || err.Error() != "transform.cel: it had no result within 1ns" {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = mustNew(t, Config{CEL: loop}).Process(ctx, message(value))
	if fault.CodeOf(err) != "" || !errors.Is(err, connector.ErrInterrupted) || connector.ClassOf(err) != connector.Interrupted {
		t.Errorf("got %v", err)
	}
}

func TestProcess_isSafeForConcurrentUseAndSharesNoMemory(t *testing.T) {
	p := mustNew(t, Config{CEL: text(`{"id": data.id, "up": data.list.map(x, x + "!"), "t": time}`), Filter: text(`data.list.exists(x, x == data.id)`), Subject: text("data.id")})
	var group sync.WaitGroup
	for g := range 8 {
		group.Go(func() {
			var kept []*cloudevent.Event
			for i := range 200 {
				id := fmt.Sprintf("%d-%d", g, i)
				e, err := p.Process(context.Background(), message(fmt.Sprintf(`{"id":%q,"list":["a",%q]}`, id, id)))
				if err != nil {
					t.Error(err)
					return
				}
				kept = append(kept, e)
			}
			for i, e := range kept {
				id := fmt.Sprintf("%d-%d", g, i)
				if want := fmt.Sprintf(`{"id":%q,"up":["a!",%q],"t":"2026-03-01T12:00:00.5Z"}`, id, id+"!"); string(e.Data.Bytes()) != want || e.Subject != id {
					t.Errorf("got %s, want %s", e.Data.Bytes(), want)
				}
			}
		})
	}
	group.Wait()
}

func TestProcess_allocatesLittle(t *testing.T) {
	if raced {
		t.Skip("a sync.Pool forgets things under the race detector")
	}
	m := message(record)
	for name, row := range map[string]struct {
		cfg  Config
		most float64
	}{
		// Events are allocated in blocks (store.go): a fraction of an allocation for each event.
		"the contract's example": {Config{CEL: text(example)}, 0},
		"a pass":                 {Config{}, 0},
		"a filter":               {Config{Filter: text(`data.region == "eu"`), CEL: text(example)}, 0},
	} {
		p := mustNew(t, row.cfg)
		if n := testing.AllocsPerRun(200, func() {
			if e, err := p.Process(context.Background(), m); err != nil || e == nil {
				t.Fatal(err)
			}
		}); n > row.most {
			t.Errorf("%s: %v allocations, %v allowed", name, n, row.most)
		}
	}
}

func TestProcess_allocatesNothingForWhatTheFilterDrops(t *testing.T) {
	if raced {
		t.Skip("a sync.Pool forgets things under the race detector")
	}
	m := message(record)
	p := mustNew(t, Config{Filter: text(`data.region == "us"`), CEL: text(example)})
	if n := testing.AllocsPerRun(200, func() {
		if e, err := p.Process(context.Background(), m); err != nil || e != nil {
			t.Fatal(e, err)
		}
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

// An event outlives the vars that made it, so events that share a block with it must
// not change it.
func TestProcess_keepsEventsApartThatShareMemory(t *testing.T) {
	p := mustNew(t, Config{Fields: config.Fields{field("v", "data.v")}, Subject: text(`"s" + data.v`)})
	var kept []*cloudevent.Event
	values := func(i int) string { return strings.Repeat("x", i*i%3000) + strconv.Itoa(i) }
	for i := range 300 {
		e, err := p.Process(t.Context(), message(fmt.Sprintf(`{"v":%q}`, values(i))))
		if err != nil {
			t.Fatal(err)
		}
		_ = append(e.Data.Bytes(), ' ') // must not change the next event
		kept = append(kept, e)
	}
	for i, e := range kept {
		if v := values(i); string(e.Data.Bytes()) != `{"v":"`+v+`"}` || e.Subject != "s"+v || e.ID != "orders-2-41" {
			t.Errorf("event %d is %s, %s, %s", i, e.ID, e.Subject, e.Data.Bytes())
		}
	}
}

func FuzzProcess(f *testing.F) {
	for _, doc := range documents {
		f.Add([]byte(doc), "content-type", "application/json")
	}
	f.Add([]byte(`{"specversion":"1.0","id":"1","source":"s","type":"t","data":{}}`), "content-type", "application/cloudevents+json")
	p := mustNew(f, Config{
		Filter: text(`has(data.legacy_id) || data.items.size() > 1`), CEL: text(`{"a": data.legacy_id, "b": data.items.map(i, i), "c": time, "d": id}`),
		Subject: text("data.?order_status"),
	})
	f.Fuzz(func(t *testing.T, value []byte, header, content string) {
		m := message(string(value))
		m.Headers = headers(header, content)
		e, err := p.Process(t.Context(), m)
		switch {
		case err != nil:
			if fault.CodeOf(err) == "" {
				t.Errorf("no code: %v", err)
			}
		case e != nil && !json.Valid(e.Data.Bytes()):
			t.Errorf("not JSON: %q", e.Data.Bytes())
		}
	})
}

// FuzzIncoming_keepsTheIdentity: the attributes of a record in the Kafka binding, in
// binary or structured mode, and the digits of its data do not change; the cost is in
// proportion to the record.
func FuzzIncoming_keepsTheIdentity(f *testing.F) {
	f.Add(false, "id-1", "customer", "acme", []byte(`{"n":1.10}`))
	f.Add(true, "é\"\\", "", "\x00", []byte(`{"big":123456789012345678901234567890,"n":1,"n":2}`))
	f.Add(true, "\xff", "a", "", []byte(`no JSON`))
	p := mustNew(f, Config{CEL: text(`{"all": data}`)})
	f.Fuzz(func(t *testing.T, structured bool, id, subject, tenant string, data []byte) {
		clean := func(s string) string { return strings.ToValidUTF8(s, "\ufffd") }
		in := cloudevent.Event{ID: clean(id), Source: "/s", Type: "t", Subject: clean(subject), DataContentType: "application/json", Data: cloudevent.Bytes(data)}
		in.SetExtension("tenant", clean(tenant))
		m := message(string(data))
		if m.Headers = headers("content-type", "application/cloudevents+json"); structured {
			written, err := in.AppendJSON(nil)
			if err != nil {
				return // it cannot be sent in this mode
			}
			m.Value = written
		} else {
			m.Headers = headers("content-type", "application/json")
			in.Attributes(func(name, value string) bool {
				m.Headers = append(m.Headers, headers(cloudevent.KafkaPrefix+name, value)...)
				return true
			})
		}
		before := heap()
		e, err := p.Process(t.Context(), m)
		if used := heap() - before; used > 4<<20+1000*uint64(len(m.Value)) {
			t.Errorf("%d bytes of memory for a record of %d", used, len(m.Value))
		}
		if err != nil {
			if fault.CodeOf(err) == "" {
				t.Errorf("no code: %v", err)
			}
			if code := fault.CodeOf(err); id != "" && json.Valid(data) && utf8.Valid(data) && len(data) < 900 && code != "" {
				t.Errorf("%q, %q: %v", id, data, err)
			}
			return
		}
		if got, _ := e.Extension("tenant"); e.ID != in.ID || e.Subject != in.Subject || got != clean(tenant) || e.Source != "/s" || e.Type != "t" {
			t.Errorf("%+v became %+v", in, e)
		}
		if len(data) == 0 { // no data
			data = []byte("null")
		}
		if want := `{"all":` + strings.Trim(string(data), " \t\r\n") + `}`; string(e.Data.Bytes()) != want {
			t.Errorf("%q became %q", want, e.Data.Bytes())
		}
	})
}

// U2: a map key from data that is of an invalid type is an error of the event.
func TestProcess_refusesAMapKeyThatIsNone(t *testing.T) {
	for source, want := range map[string]string{
		`{dyn(b"x"): 1}`:                         "TRANSFORM_FAILED transform.cel: unsupported key type in {dyn(b\"\\170\"): 1}",
		`{data.n: 1}`:                            "TRANSFORM_FAILED transform.cel: unsupported key type in {data.n: 1}",
		`{data.l: 1}`:                            "TRANSFORM_FAILED transform.cel: unsupported key type in {data.l: 1}",
		`{"a": {data.n: 1}.size() == 1 || true}`: `{"a":true}`,
		`dyn(b"x") in {"a": 1}`:                  "false",
		`{"a": 1}[dyn(b"x")] == 1 || true`:       "true",
		`data[dyn(b"x")] == 1 || true`:           "true",
		`data[bytes("x")] == 1 || true`:          "true",
		`dyn(b"x") in ["a", "b"]`:                "false",
	} {
		e, err := mustNew(t, Config{CEL: text(source)}).Process(t.Context(), message(`{"n":1.5,"l":[]}`))
		var got string
		if err != nil {
			got = string(fault.CodeOf(err)) + " " + err.Error()
		} else {
			got = string(e.Data.Bytes())
		}
		if got != want {
			t.Errorf("%s gave %s, want %s", source, got, want)
		}
	}
}
