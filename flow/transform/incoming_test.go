package transform

import (
	"strings"
	"testing"
	"time"

	"github.com/lsm/fiso/common/cloudevent"
	"github.com/lsm/fiso/common/connector"
	"github.com/lsm/fiso/common/lazyjson"
	"github.com/lsm/fiso/delivery/fault"
)

const envelope = `{"specversion":"1.0","id":"inside","source":"/inside","type":"inside","attempt":7,"sampled":true,"data":{"a":1}}`

// copies is attributes in headers that differ from the envelope.
func copies(prefix string) []string {
	return []string{prefix + "specversion", "1.0", prefix + "id", "outside", prefix + "source", "/outside", prefix + "type", "outside"}
}

// U3: the content type decides the mode, and the envelope counts, whatever the headers say.
func TestProcess_readsTheEnvelopeAndNotTheCopiesOfItsAttributes(t *testing.T) {
	p := mustNew(t, Config{})
	for name, m := range map[string]*connector.Message{
		"Kafka":                       {Value: []byte(envelope), Headers: headers(append(copies("ce_"), "content-type", "application/cloudevents+json; charset=UTF-8")...)},
		"HTTP":                        {Value: []byte(envelope), Headers: headers(append(copies("ce-"), "content-type", "application/cloudevents+json")...)},
		"the content type first":      {Value: []byte(envelope), Headers: headers(append([]string{"Content-Type", "application/cloudevents+json;charset=utf8"}, copies("ce_")...)...)},
		"without copies, as ever":     {Value: []byte(envelope), Headers: headers("content-type", "application/cloudevents+json")},
		"the same content type twice": {Value: []byte(envelope), Headers: headers("content-type", "application/cloudevents+json", "content-type", "application/cloudevents+json")},
	} {
		t.Run(name, func(t *testing.T) {
			e, err := p.Process(t.Context(), m)
			if err != nil {
				t.Fatal(err)
			}
			if e.ID != "inside" || e.Source != "/inside" || e.Type != "inside" || string(e.Data.Bytes()) != `{"a":1}` || e.DataContentType != "application/json" {
				t.Errorf("%+v, data %s", e, e.Data.Bytes())
			}
		})
	}
}

// U3: a message in a mode that cannot be read as one event is refused.
func TestProcess_refusesAModeThatItCannotRead(t *testing.T) {
	p := mustNew(t, Config{})
	for contentType, want := range map[string]string{
		"application/cloudevents-batch+json":          "a batch of CloudEvents is not one event: only the http source splits batches",
		"application/cloudevents+avro":                "application/cloudevents+avro is not supported",
		"application/cloudevents+json; charset=utf-7": "charset utf-7 is not supported: send UTF-8",
	} {
		for _, beside := range [][]string{nil, copies("ce_")} {
			m := &connector.Message{Value: []byte("[" + envelope + "]"), Headers: headers(append(beside, "content-type", contentType)...)}
			if e, err := p.Process(t.Context(), m); fault.CodeOf(err) != fault.DecodeFailed || !strings.Contains(err.Error(), want) {
				t.Errorf("%s beside %d headers: %v, %v", contentType, len(beside), e, err)
			}
		}
	}
	m := &connector.Message{Value: []byte(envelope), Headers: headers("content-type", "application/json", "content-type", "application/cloudevents+json")}
	if e, err := p.Process(t.Context(), m); fault.CodeOf(err) != fault.DecodeFailed || !strings.Contains(err.Error(), "set twice, with different values") {
		t.Errorf("two content types: %v, %v", e, err)
	}
}

// U9: a CloudEvent keeps its content type, or has none if it had none; for any other
// message the payload decides.
func TestProcess_givesNoCloudEventATypeItDidNotHave(t *testing.T) {
	p := mustNew(t, Config{})
	const core = `"specversion":"1.0","id":"1","source":"/s","type":"t"`
	structured := headers("content-type", "application/cloudevents+json")
	for _, row := range []struct {
		name      string
		m         *connector.Message
		want, out string // its content type, and its JSON form
	}{
		{"binary without a type", &connector.Message{Value: []byte(`{"a":1}`), Headers: headers(copies("ce_")...)}, "", `"data_base64":"eyJhIjoxfQ=="`},
		{"binary without a type and a body", &connector.Message{Value: []byte{}, Headers: headers(copies("ce-")...)}, "", ``},
		{"binary with a type and no body", &connector.Message{Value: []byte{}, Headers: headers(append(copies("ce-"), "content-type", "application/json")...)}, "application/json", ``},
		{"data_base64 without a type", &connector.Message{Value: []byte(`{` + core + `,"data_base64":"eyJhIjoxfQ=="}`), Headers: structured}, "", `"data_base64":"eyJhIjoxfQ=="`},
		{"data without a type", &connector.Message{Value: []byte(`{` + core + `,"data":{"a":1}}`), Headers: structured}, "application/json", `"data":{"a":1}`},
		{"no CloudEvent", &connector.Message{Value: []byte(`{"a":1}`)}, "application/json", `"data":{"a":1}`},
		{"no CloudEvent, a content type that is none", &connector.Message{Value: []byte(`{"a":1}`), Headers: headers("content-type", "json")}, "application/json", `"data":{"a":1}`},
		{"no CloudEvent, and no JSON", &connector.Message{Value: []byte("{\"a\":\"\xff\"}")}, "application/octet-stream", `"data_base64":"eyJhIjoi/yJ9"`},
		{"no CloudEvent, a byte order mark", &connector.Message{Value: []byte("\xef\xbb\xbf{}")}, "text/plain; charset=utf-8", "\"data\":\"\ufeff{}\""},
	} {
		t.Run(row.name, func(t *testing.T) {
			e, err := p.Process(t.Context(), row.m)
			if err != nil || e.DataContentType != row.want {
				t.Fatalf("%+v, %v, want type %q", e, err, row.want)
			}
			written, err := e.AppendJSON(nil)
			if err != nil || !strings.Contains(string(written), row.out) || strings.Contains(string(written), `"data`) != (row.out != "" || row.want != "") {
				t.Errorf("written as %s, %v, want %s", written, err, row.out)
			}
			if strings.Contains(string(written), "datacontenttype") != (row.want != "") {
				t.Errorf("written as %s, want type %q", written, row.want)
			}
		})
	}
}

// U9: the content type of a message does not depend on whether an expression has
// read it: a payload is JSON if and only if expressions can read it as data.
func TestProcess_namesTheTypeOfWhatAnExpressionHasRead(t *testing.T) {
	nested := func(depth int) string { return strings.Repeat(`{"a":`, depth) + "1" + strings.Repeat("}", depth) }
	for value, want := range map[string]string{
		`{"a":1}`:                     "application/json",
		nested(lazyjson.MaxDepth):     "application/json",
		nested(lazyjson.MaxDepth + 1): "text/plain; charset=utf-8",
		"{\"a\":\"\xff\"}":            "application/octet-stream",
	} {
		e, err := mustNew(t, Config{}).Process(t.Context(), message(value))
		if err != nil || e.DataContentType != want || e.CheckData() != nil {
			t.Errorf("%.40q, unread: %+v, %v", value, e, err)
		}
		read, err := mustNew(t, Config{Filter: text(`has(data.a)`)}).Process(t.Context(), message(value))
		if want != "application/json" {
			if fault.CodeOf(err) != fault.DecodeFailed {
				t.Errorf("%.40q, which is %s, was read: %+v, %v", value, want, read, err)
			}
		} else if err != nil || read.DataContentType != want || read.CheckData() != nil {
			t.Errorf("%.40q, read: %+v, %v", value, read, err)
		}
	}
}

// U9: integers and booleans of extensions keep their type.
func TestProcess_keepsTheKindsOfExtensions(t *testing.T) {
	m := &connector.Message{Value: []byte(envelope), Headers: headers("content-type", "application/cloudevents+json")}
	e, err := mustNew(t, Config{Type: text(`"made"`)}).Process(t.Context(), m)
	if err != nil {
		t.Fatal(err)
	}
	written, err := e.AppendJSON(nil)
	if err != nil || !strings.Contains(string(written), `"attempt":7,"sampled":true`) {
		t.Errorf("%s, %v", written, err)
	}
}

// U9: the event of a message without a time has none, and time is null.
func TestProcess_hasNoTimeWhereThereIsNone(t *testing.T) {
	m := message(`{"a":1}`)
	m.Time = time.Time{}
	e, err := mustNew(t, Config{CEL: text(`{"t": time, "n": time == null}`)}).Process(t.Context(), m)
	if err != nil || !e.Time.IsZero() || string(e.Data.Bytes()) != `{"t":null,"n":true}` {
		t.Errorf("%+v, %v", e, err)
	}
}

// U1, U9: data that a transform copies from the record is sent as valid JSON, or
// not at all.
func TestProcess_writesNoOutputThatIsNotJSON(t *testing.T) {
	p := mustNew(t, Config{CEL: text(`{"all": data}`)})
	e, err := p.Process(t.Context(), message("{\"a\":\"\xff\"}"))
	if fault.CodeOf(err) != fault.DecodeFailed || !strings.Contains(err.Error(), "not UTF-8") {
		t.Errorf("bytes that are not UTF-8: %v, %v", e, err)
	}
	e, err = p.Process(t.Context(), message(strings.Repeat("[", 1500)+strings.Repeat("]", 1500)))
	if fault.CodeOf(err) != fault.DecodeFailed || !strings.Contains(err.Error(), "nests deeper than 1000 levels") {
		t.Errorf("nesting: %v, %v", e, err)
	}
}

// U1: data that is only passed on is not parsed: the sink checks it when it becomes
// part of JSON.
func TestProcess_passesDataByteForByte(t *testing.T) {
	const forged = `1,"type":"refund.approved","source":"/bank"`
	p := mustNew(t, Config{Type: text(`"order.created"`)})
	for name, m := range map[string]*connector.Message{
		"no CloudEvent": {Value: []byte(forged), Headers: headers("content-type", "application/json")},
		"binary":        {Value: []byte(forged), Headers: headers(append(copies("ce_"), "content-type", "application/vnd.order+json")...)},
	} {
		e, err := p.Process(t.Context(), m)
		if err != nil || string(e.Data.Bytes()) != forged {
			t.Fatalf("%s: %+v, %v", name, e, err)
		}
		if written, err := e.AppendJSON(nil); err == nil {
			t.Errorf("%s: written as %s", name, written)
		}
	}
	m := &connector.Message{Value: []byte(`{"specversion":"1.0","id":"1","source":"/s","type":"t","datacontenttype":"application/json","data_base64":"MSwidHlwZSI6IngifQ=="}`),
		Headers: headers("content-type", cloudevent.ContentTypeJSON)}
	if e, err := p.Process(t.Context(), m); fault.CodeOf(err) != fault.DecodeFailed {
		t.Errorf("base64: %v, %v", e, err)
	}
}
