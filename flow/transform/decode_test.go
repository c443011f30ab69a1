package transform

import (
	"errors"
	"strings"
	"testing"

	"github.com/lsm/fiso/common/cloudevent"
	"github.com/lsm/fiso/common/config"
	"github.com/lsm/fiso/common/connector"
	"github.com/lsm/fiso/delivery/fault"
)

// avro is the beginning of a record in Confluent's framing, which is not JSON.
const avro = "\x00\x00\x00\x00\x07\x02\x08"

const notJSON = "not valid JSON at byte 0: not the beginning of a value"

// outcome describes in a line what Process makes of a message.
func outcome(t *testing.T, cfg Config, m *connector.Message) string {
	t.Helper()
	e, err := mustNew(t, cfg).Process(t.Context(), m)
	switch {
	case err != nil:
		return string(fault.CodeOf(err)) + ": " + err.Error()
	case e == nil:
		return "filtered"
	}
	return "passed: " + string(e.Data.Bytes())
}

// U7: data is decoded only when an expression needs it, whatever the payload is.
func TestProcess_decodesDataThatIsNeededOnly(t *testing.T) {
	const failed = "DECODE_FAILED: " + notJSON
	for name, row := range map[string]struct{ filter, cel, want string }{
		"another type":                        {`type == "order.created"`, `data.id`, "filtered"},
		"another header":                      {`headers.tenant == "other"`, `data.id`, "filtered"},
		"no header":                           {`has(headers.nothing)`, `data.id`, "filtered"},
		"another subject":                     {`subject.startsWith("vendor")`, `data.id`, "filtered"},
		"another id":                          {`id == "x"`, `data.id`, "filtered"},
		"another source":                      {`source.contains("x")`, `data.id`, "filtered"},
		"another time":                        {`time > timestamp("2027-01-01T00:00:00Z")`, `data.id`, "filtered"},
		"computed":                            {`type.upperAscii().matches("^X")`, `data.id`, "filtered"},
		"the type decides before":             {`type == "x" && data.y == 1`, `data.id`, "filtered"},
		"the type decides behind":             {`data.y == 1 && type == "x"`, `data.id`, "filtered"},
		"the type decides behind a function":  {`data.y.lowerAscii() == "x" && type == "x"`, `data.id`, "filtered"},
		"the branch without data":             {`type == "x" ? data.y == 1 : false`, `data.id`, "filtered"},
		"the type lets pass":                  {`type == "fiso.event" || data.y == 1`, ``, "passed: " + avro},
		"the type lets pass behind":           {`data.y == 1 || type == "fiso.event"`, ``, "passed: " + avro},
		"a filter that passes, and no reader": {`type == "fiso.event"`, ``, "passed: " + avro},
		"no reader":                           {``, ``, "passed: " + avro},
		"a transform that reads none":         {``, `{"type": type}`, `passed: {"type":"fiso.event"}`},
		"a transform that reads":              {`type == "fiso.event"`, `data.id`, failed},
		"a transform that computes":           {``, `data.n + 1`, failed},
		"data as a whole":                     {``, `data`, failed},
		"needed by and":                       {`type == "fiso.event" && data.y == 1`, `1`, failed},
		"needed by or":                        {`false || data.y == 1`, `1`, failed},
		"needed by a condition":               {`data.y == 1 ? true : true`, `1`, failed},
		"needed by not":                       {`!(data.y == 1)`, `1`, failed},
		"has":                                 {`has(data.y)`, `1`, failed},
		"optional":                            {`data.?y.orValue(1) == 1`, `1`, failed},
		"in":                                  {`"a" in data`, `1`, failed},
		"compared with null":                  {`data == null`, `1`, failed},
		"size":                                {`size(data) == 1`, `1`, failed},
		"bound":                               {`cel.bind(x, data.y, x == 1)`, `1`, failed},
		"macro":                               {`data.l.exists(x, x == 1)`, `1`, failed},
		"macro over another list":             {`[1, 2].all(x, data.y == x)`, `1`, failed},
		"beside another error":                {`1 / size(type.substring(10)) == 1 || data.y == 1`, `1`, failed},
	} {
		t.Run(name, func(t *testing.T) {
			m := message(avro)
			m.Headers = headers("tenant", "acme")
			if got := outcome(t, Config{Filter: text(row.filter), CEL: text(row.cel)}, m); got != row.want {
				t.Errorf("got %q, want %q", got, row.want)
			}
		})
	}
}

// U7: the same for a CloudEvent whose data is of another type, and for attributes.
func TestProcess_decodesTheDataOfACloudEventWhenItIsNeeded(t *testing.T) {
	binary := func() *connector.Message {
		m := message(avro)
		m.Headers = headers("ce_specversion", "1.0", "ce_id", "1", "ce_source", "/s", "ce_type", "t", "content-type", "application/avro")
		return m
	}
	for name, row := range map[string]struct {
		cfg  Config
		want string
	}{
		"filtered":            {Config{Filter: text(`type == "x"`), CEL: text(`data.id`)}, "filtered"},
		"passed":              {Config{Filter: text(`type == "t"`)}, "passed: " + avro},
		"an attribute":        {Config{Subject: text(`type + "!"`)}, "passed: " + avro},
		"an attribute reads":  {Config{Subject: text(`data.id`)}, "DECODE_FAILED: " + notJSON},
		"an extension reads":  {Config{Extensions: config.Fields{field("a", `string(data.id)`)}}, "DECODE_FAILED: " + notJSON},
		"a field reads":       {Config{Fields: config.Fields{field("a", `type`), field("b", `data.id`)}}, "DECODE_FAILED: " + notJSON},
		"the filter needs it": {Config{Filter: text(`data.id == 1`)}, "DECODE_FAILED: " + notJSON},
	} {
		if got := outcome(t, row.cfg, binary()); got != row.want {
			t.Errorf("%s: got %q, want %q", name, got, row.want)
		}
	}
	p := mustNew(t, Config{Filter: text(`type == "t"`), Subject: text(`type`)})
	if e, err := p.Process(t.Context(), binary()); err != nil || e.DataContentType != "application/avro" || e.Subject != "t" {
		t.Errorf("got %+v, %v", e, err)
	}
}

// U7: the data of a tombstone is null.
func TestProcess_seesNullInATombstone(t *testing.T) {
	noData := headers("ce_specversion", "1.0", "ce_id", "1", "ce_source", "/s", "ce_type", "fiso.event")
	structured := `{"specversion":"1.0","id":"1","source":"/s","type":"fiso.event"}`
	for name, row := range map[string]struct{ filter, cel, want string }{
		"another type":       {`type == "x"`, `data.x`, "filtered"},
		"null":               {`data == null`, `{"gone": data}`, `passed: {"gone":null}`},
		"not null":           {`data != null`, `data.x`, "filtered"},
		"has":                {`has(data.x)`, `data.x`, "filtered"},
		"has not":            {`!has(data.x)`, `{"deleted": subject}`, `passed: {"deleted":"customer-7"}`},
		"deep":               {`has(data.x) && data.x.y == 1`, `data.x`, "filtered"},
		"optional":           {`true`, `data.?x.orValue("none")`, `passed: "none"`},
		"a member":           {`true`, `data.x`, "TRANSFORM_FAILED: transform.cel: no such field: data.x"},
		"a member, computed": {`true`, `data.x + 1`, "TRANSFORM_FAILED: transform.cel: no such field: data.x"},
		"a filter's member":  {`data.x == 1`, `1`, "TRANSFORM_FAILED: filter: no such field: data.x"},
		"nobody reads it":    {`type == "fiso.event"`, ``, "passed: "},
	} {
		t.Run(name, func(t *testing.T) {
			tombstone := message("")
			tombstone.Value = nil
			empty := message("")
			empty.Headers = append(noData, headers("ce_subject", "customer-7")...)
			whole := message(strings.Replace(structured, "}", `,"subject":"customer-7"}`, 1))
			whole.Headers = headers("content-type", "application/cloudevents+json")
			for kind, m := range map[string]*connector.Message{"a tombstone": tombstone, "an empty CloudEvent": empty, "a structured CloudEvent": whole} {
				if got := outcome(t, Config{Filter: text(row.filter), CEL: text(row.cel)}, m); got != row.want {
					t.Errorf("%s: got %q, want %q", kind, got, row.want)
				}
			}
		})
	}
	if _, err := mustNew(t, Config{CEL: text(`data`)}).Process(t.Context(), message("")); !errors.Is(err, errEmpty) {
		t.Errorf("an empty value gives %v", err)
	}
}

// U7: a sink's expression decodes the finished event's data only when it needs it.
func TestExpression_decodesDataThatIsNeededOnly(t *testing.T) {
	for name, row := range map[string]struct {
		source string
		data   []byte
		want   string
	}{
		"no data asked for":       {`subject`, []byte(avro), "sub"},
		"data not needed":         {`type == "t" || data.x == 1`, []byte(avro), "true"},
		"data needed":             {`data.x`, []byte(avro), "DECODE_FAILED: " + notJSON},
		"data needed, computed":   {`data.x + "!"`, []byte(avro), "DECODE_FAILED: " + notJSON},
		"a tombstone":             {`data == null`, nil, "true"},
		"a tombstone's key":       {`has(data.x) ? data.x : subject`, nil, "sub"},
		"a member of a tombstone": {`data.x`, nil, "TRANSFORM_FAILED: sink.config.key: no such field: data.x"},
		"no bytes":                {`data == null`, []byte{}, "true"},
	} {
		x, err := NewExpression("sink.config.key", text(row.source))
		if err != nil {
			t.Fatal(err)
		}
		got, err := x.Eval(t.Context(), &cloudevent.Event{Type: "t", Subject: "sub", Data: cloudevent.Bytes(row.data)})
		if err != nil {
			got = []byte(string(fault.CodeOf(err)) + ": " + err.Error())
		}
		if string(got) != row.want {
			t.Errorf("%s: got %q, want %q", name, got, row.want)
		}
	}
}
