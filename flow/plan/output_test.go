package plan

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lsm/fiso/common/cloudevent"
	"github.com/lsm/fiso/common/connector"
	"github.com/lsm/fiso/delivery"
	"github.com/lsm/fiso/delivery/fault"
)

const severalSinks = "name: a\n" + kafkaIn + `sinks:
  - {name: eu, when: data.region == "eu", type: http, config: {url: 'http://x/', mode: batch}, batch: {maxEvents: 7}, errorHandling: {deadLetterTopic: eu-dlq, outage: count, onExhausted: block}}
  - {name: big, when: data.n > 5, type: http, config: {url: 'http://y/'}, errorHandling: {deadLetter: {type: file, config: {path: /var/dlq}}, maxRetries: 1}}
  - {name: rest, type: stdout}
errorHandling: {maxRetries: 3}
`

func TestVersion_hasAnOutputForEachSink(t *testing.T) {
	b := parsed(t, strings.Replace(severalSinks, "/var/dlq", t.TempDir()+"/dlq", 1))
	o, err := b.Outputs(env(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := o.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}()
	v := b.Version(o)
	var names []string
	for _, out := range v.Outputs {
		names = append(names, out.Name)
		if out.Sink == nil || out.DeadLetter == nil {
			t.Errorf("%s lacks a part: %+v", out.Name, out)
		}
	}
	eu, big, rest := v.Outputs[0], v.Outputs[1], v.Outputs[2]
	if !slices.Equal(names, []string{"eu", "big", "rest"}) ||
		!eu.CountOutages || eu.MaxRetries != 3 || eu.OnExhausted != "block" || eu.Batch.MaxEvents != 7 ||
		big.CountOutages || big.MaxRetries != 1 || big.Batch != nil || big.OnExhausted != "dlq" ||
		rest.MaxRetries != 3 || !rest.Batch.Eager || rest.StopTheLine != 20 {
		t.Errorf("outputs %+v", v.Outputs)
	}
	if rest.DeadLetter != v.DeadLetter || eu.DeadLetter == v.DeadLetter || big.DeadLetter == v.DeadLetter {
		t.Error("places for dead letters are shared where they differ, or differ where they are shared")
	}
	var parts []string
	for _, c := range b.Check(t.Context(), env()) {
		parts = append(parts, c.Part+" "+c.What)
	}
	if !slices.ContainsFunc(parts, func(s string) bool { return strings.HasPrefix(s, "sink big POST http://y/") }) ||
		len(parts) != 7 || !strings.Contains(parts[5], "eu-dlq") && !strings.Contains(parts[6], "eu-dlq") {
		t.Errorf("checked %q", parts)
	}
}

func TestExplain_tellsOfEachSink(t *testing.T) {
	e := parsed(t, severalSinks).explain()
	if len(e.Sinks) != 3 || e.MaxRetries != 3 || e.Batch != "" || !strings.Contains(e.Routing, "first: the first sink whose condition holds") {
		t.Fatalf("%+v", e)
	}
	eu, big, rest := e.Sinks[0], e.Sinks[1], e.Sinks[2]
	if eu.Takes != `if data.region == "eu"` || eu.Sink != "http: POST http://x/, CloudEvents in batch mode" ||
		eu.Batch != "up to 7 events or 1MiB, or what has arrived after 50ms" || eu.DeadLetters != "Kafka topic eu-dlq of b:9092, created when it is missing" ||
		eu.MaxRetries != 3 || !strings.HasPrefix(eu.Exhausted, "block: ") || !strings.HasPrefix(eu.Outage, "count: ") {
		t.Errorf("%+v", eu)
	}
	if big.When != "data.n > 5" || big.DeadLetters != "file /var/dlq" || big.MaxRetries != 1 || len(big.Retries) != 1 || big.Batch != "" {
		t.Errorf("%+v", big)
	}
	if rest.Takes != "everything that gets here" || !strings.HasPrefix(rest.Sink, "stdout: ") || rest.When != "" || rest.DeadLetters != e.DeadLetters || rest.MaxRetries != 3 {
		t.Errorf("%+v", rest)
	}
	all := parsed(t, severalSinks+"routing: all\n").explain()
	if all.Sinks[2].Takes != "everything" || !strings.Contains(all.Routing, "all: every sink whose condition holds") {
		t.Errorf("%+v", all)
	}
	text, err := json.Marshal(e)
	if err != nil || !strings.Contains(string(text), `{"name":"big","when":"data.n \u003e 5","takes":"if data.n \u003e 5","sink":"http: POST http://y/, CloudEvents in structured mode","maxRetries":1,`) {
		t.Errorf("%v, %s", err, text)
	}
}

// A sink with unchanged settings keeps its connections. Its name in the dead letters of other
// sinks does not matter.
func TestOutputs_ofSeveralAreTakenOverOneByOne(t *testing.T) {
	dir := t.TempDir()
	text := strings.Replace(severalSinks, "/var/dlq", dir+"/dlq", 1)
	e := env()
	first, err := parsed(t, text).Outputs(e, nil)
	if err != nil {
		t.Fatal(err)
	}
	second, err := parsed(t, strings.Replace(text, "http://y/", "http://z/", 1)).Outputs(e, first)
	if err != nil {
		t.Fatal(err)
	}
	old, added := first.Without(second), second.Without(first)
	if len(old.sinks) != 1 || len(added.sinks) != 1 || len(old.letters)+len(added.letters) != 0 || len(second.letters) != 3 {
		t.Errorf("replaced %d sinks by %d, and places for dead letters: %d by %d", len(old.sinks), len(added.sinks), len(old.letters), len(added.letters))
	}
	for _, o := range []*Outputs{old, second} {
		if err := o.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

func TestDeadLetters_ofASinkStandBesideTheFlows(t *testing.T) {
	const named = "errorHandling: {deadLetter: {type: kafka, config: {brokers: d, topic: all}}}\n"
	b := parsed(t, "name: a\n"+kafkaIn+"sinks: [{name: x, type: stdout, errorHandling: {deadLetterTopic: xs}}]\n"+named)
	if got := b.DeadLetters(); !strings.Contains(got, "Kafka topic all of d") || !strings.Contains(got, "Kafka topic xs of d") {
		t.Errorf("dead letters %s", got)
	}
	b = parsed(t, "name: a\n"+kafkaIn+"sinks: [{name: x, type: stdout}]\n"+named)
	if got := b.DeadLetters(); strings.Count(got, "Kafka topic") != 1 {
		t.Errorf("dead letters %s", got)
	}
}

func TestParse_refusesOfASinkOfSeveral(t *testing.T) {
	for name, tc := range map[string]struct{ sinks, want string }{
		"a batch outside batch mode":  {"{name: x, type: http, config: {url: 'http://x/'}, batch: {maxEvents: 2}}", "sinks[0].config.mode: a batch needs mode: batch"},
		"a setting that is none":      {"{name: x, type: http, config: {url: 'http://x/', tiemout: 1s}}", `did you mean "timeout"`},
		"a condition that is none":    {"{name: x, when: dta.x, type: stdout}", "flow.yaml:3:25: sinks[0].when: undeclared reference to 'dta'"},
		"a key that is none":          {"{name: x, type: kafka, config: {brokers: c, topic: t, key: dta}}", "flow.yaml:3:68: sinks[0].config.key: undeclared"},
		"a topic that the flow reads": {"{name: x, when: 'true', type: kafka, config: {brokers: 'b:9092', topic: orders}}", "sinks[0].config.topic: orders is a topic that this flow reads"},
		"dead letters that it reads":  {"{name: x, type: stdout, errorHandling: {deadLetterTopic: orders}}", "orders is the topic for this flow's dead letters"},
		"a header of batch mode":      {"{name: x, type: http, config: {url: 'http://x/', mode: batch, eventHeaders: {X-A: id}}}", "sinks[0].config.eventHeaders: does not go with mode: batch"},
		"a header of the sink's own":  {"{name: x, type: http, config: {url: 'http://x/', eventHeaders: {Ce-Id: id}}}", "sinks[0].config.eventHeaders.Ce-Id: this header is set by the sink itself"},
		"a header of the credential":  {"{name: x, type: http, config: {url: 'http://x/', auth: {type: bearer, token: t}, eventHeaders: {authorization: id}}}", "eventHeaders.authorization: auth sets this header already"},
		"a header that is set":        {"{name: x, type: http, config: {url: 'http://x/', headers: {x-a: b}, eventHeaders: {X-A: id}}}", "eventHeaders.X-A: headers sets this header already"},
		"a header in two cases":       {"{name: x, type: http, config: {url: 'http://x/', eventHeaders: {X-A: id, x-a: id}}}", "eventHeaders.x-a: this header is there twice"},
		"a header that is no CEL":     {"{name: x, type: http, config: {url: 'http://x/', eventHeaders: {X-A: dta}}}", "flow.yaml:3:78: sinks[0].config.eventHeaders.X-A: undeclared"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := Parse("flow.yaml", []byte("name: a\n"+kafkaIn+"sinks: ["+tc.sinks+"]\n")); err == nil || !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), "flow.yaml:") {
				t.Errorf("error lacks %q: %v", tc.want, err)
			}
		})
	}
}

func TestEventHeaders_areMadeOfTheOutgoingEvent(t *testing.T) {
	b := parsed(t, "name: a\n"+kafkaIn+"sink: {type: http, config: {url: 'http://x/', eventHeaders: {X-Id: id, X-Tenant: data.tenant}}}\n")
	s := b.outputs[0].sink.(*httpSink)
	e := &cloudevent.Event{ID: "1", Source: "s", Type: "t", Data: cloudevent.Bytes([]byte(`{"tenant":null}`))}
	if got, err := s.headersOf(t.Context(), e); err != nil || len(got) != 1 || got[0].Key != "X-Id" || string(got[0].Value) != "1" {
		t.Errorf("%v, %v", got, err)
	}
	e.Data = cloudevent.Bytes([]byte(`{}`))
	_, err := s.headersOf(t.Context(), e)
	if !connector.IsUnsendable(err) || fault.CodeOf(err) != fault.TransformFailed ||
		!strings.Contains(err.Error(), "compute header X-Tenant: sink.config.eventHeaders.X-Tenant: no such field: data.tenant") {
		t.Errorf("%v", err)
	}
	e.Data = cloudevent.Bytes([]byte(`{"tenant":"a\nb"}`)) // from a stranger
	_, err = s.headersOf(t.Context(), e)
	if !connector.IsUnsendable(err) || fault.CodeOf(err) != fault.TransformFailed ||
		!strings.Contains(err.Error(), "compute header X-Tenant: the value holds a line break") {
		t.Errorf("%v", err)
	}
	e.Data = cloudevent.Bytes([]byte(`{}`))
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.headersOf(ended, e); connector.ClassOf(err) != connector.Interrupted {
		t.Errorf("%v", err)
	}
}

func TestProcess_givesEachEventToItsSinks(t *testing.T) {
	b := parsed(t, severalSinks+"transform: {split: data.items}\nrouting: all\n")
	m := &connector.Message{Value: []byte(`{"items":[{"region":"eu","n":9},{"region":"us","n":1}]}`), Time: time.Unix(1, 0), Position: connector.PartitionOffset("orders", 0, 7)}
	all, err := b.Process(t.Context(), m)
	var got []string
	for _, d := range all {
		got = append(got, d.Sink+" "+d.Event.ID)
	}
	if want := []string{"eu orders-0-7#0", "big orders-0-7#0", "rest orders-0-7#0", "rest orders-0-7#1"}; err == nil && !slices.Equal(got, want) || b.SendsEventAlone() {
		t.Errorf("got %q, %v", got, err)
	}
	none := parsed(t, "name: a\n"+kafkaIn+"sinks: [{name: x, when: 'false', type: stdout}]\n")
	if _, err := none.Process(t.Context(), m); !errors.Is(err, delivery.ErrUnrouted) {
		t.Errorf("got %v", err)
	}
}

func TestDeadLetterPlaces_areTheTopicsAndFilesWithDifferentNames(t *testing.T) {
	of := func(a, b string) string {
		return "name: a\n" + kafkaIn + "sinks: [{name: x, type: stdout, errorHandling: {deadLetter: " + a + "}}, {name: y, type: stdout, errorHandling: {deadLetter: " + b + "}}]\nrouting: all\n"
	}
	for want, text := range map[string][2]string{
		"fiso-dlq-a /x t":        {"{type: file, config: {path: /x}}", "{type: kafka, config: {brokers: c, topic: t}}"},
		"fiso-dlq-a t@c t@d:1,e": {"{type: kafka, config: {brokers: c, topic: t}}", "{type: kafka, config: {brokers: 'd:1,e', topic: t}}"},
		"fiso-dlq-a t":           {"{type: kafka, config: {brokers: c, topic: t}}", "{type: kafka, config: {brokers: c, topic: t, maxBatchBytes: 1MiB}}"},
	} {
		if got := strings.Join(parsed(t, of(text[0], text[1])).DeadLetterPlaces(), " "); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}
