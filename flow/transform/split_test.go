package transform

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/lsm/fiso/common/config"
	"github.com/lsm/fiso/common/connector"
	"github.com/lsm/fiso/delivery"
	"github.com/lsm/fiso/delivery/deadletter"
	"github.com/lsm/fiso/delivery/fault"
)

// transformed returns the events of a message, one a line.
func transformed(t *testing.T, p *Transformer, m *connector.Message) ([]string, error) {
	t.Helper()
	routed, err := p.Transform(t.Context(), m, nil)
	var lines []string
	for _, r := range routed {
		lines = append(lines, fmt.Sprintf("%d/%d %s %s %s", r.Output, r.Part, r.Event.ID, r.Event.Type, r.Event.Data.Bytes()))
	}
	return lines, err
}

func TestTransform_splitsAMessageIntoEvents(t *testing.T) {
	for name, row := range map[string]struct {
		cfg   Config
		value string
		want  []string
	}{
		"without a transform, the element as it stands": {Config{Split: text(`data.items`)}, `{"items":[{"a": 1.0}, "x", null]}`,
			[]string{`0/1 orders-2-41#0 fiso.event {"a": 1.0}`, `0/2 orders-2-41#1 fiso.event "x"`, `0/3 orders-2-41#2 fiso.event null`}},
		"with element and whole": {Config{Split: text(`data.items`), CEL: text(`{"sku": data.sku, "order": parent.id}`), Type: text(`"line." + data.sku`)},
			`{"id":7,"items":[{"sku":"a"},{"sku":"b"}]}`,
			[]string{`0/1 orders-2-41#0 line.a {"sku":"a","order":7}`, `0/2 orders-2-41#1 line.b {"sku":"b","order":7}`}},
		"with an id of its own": {Config{Split: text(`data.items`), ID: text(`parent.id`)}, `{"id":"o","items":[1,2]}`,
			[]string{`0/1 o#0 fiso.event 1`, `0/2 o#1 fiso.event 2`}},
		"into a list that is worked out": {Config{Split: text(`data.filter(x, x > 1).map(x, x * 2)`)}, `[1,2,3]`,
			[]string{`0/1 orders-2-41#0 fiso.event 4`, `0/2 orders-2-41#1 fiso.event 6`}},
		"into nothing":  {Config{Split: text(`data.items`)}, `{"items":[]}`, nil},
		"not, filtered": {Config{Split: text(`data.items`), Filter: text(`false`)}, `{"items":[1]}`, nil},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := transformed(t, mustNew(t, row.cfg), message(row.value))
			if err != nil || strings.Join(got, "\n") != strings.Join(row.want, "\n") {
				t.Errorf("got %q, %v, want %q", got, err, row.want)
			}
		})
	}
}

// If one of the events cannot be made, none is sent, and the message becomes the dead letter.
func TestTransform_failsAsAWholeWhereAnEventCannotBeMade(t *testing.T) {
	for name, row := range map[string]struct {
		cfg   Config
		value string
		code  fault.Code
		says  string
	}{
		"an element without a field":  {Config{Split: text(`data.items`), CEL: text(`data.sku`)}, `{"items":[{"sku":"a"},{}]}`, fault.TransformFailed, "no such field: data.sku"},
		"no list":                     {Config{Split: text(`data.items`)}, `{"items":{"a":1}}`, fault.TransformFailed, "where a list is expected"},
		"no such field":               {Config{Split: text(`data.items`)}, `{}`, fault.TransformFailed, "no such field: data.items"},
		"no JSON":                     {Config{Split: text(`data.items`)}, `{`, fault.DecodeFailed, ""},
		"more events than may become": {Config{Split: text(`data`)}, "[" + strings.Repeat("1,", 10_000) + "1]", fault.TransformFailed, "it returned 10001 events; a message may become at most 10000"},
		"a condition that fails":      {Config{Split: text(`data`), Routes: []Route{{Name: "a", When: text(`data.b`), Key: "sinks[0].when"}}}, `[{"b":true},{}]`, fault.TransformFailed, "sinks[0].when"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := transformed(t, mustNew(t, row.cfg), message(row.value))
			if fault.CodeOf(err) != row.code || !strings.Contains(err.Error(), row.says) {
				t.Errorf("got %s %v, want %s %s", fault.CodeOf(err), err, row.code, row.says)
			}
		})
	}
}

func TestNew_saysWhereParentIsNone(t *testing.T) {
	for name, cfg := range map[string]Config{
		"no split":        {CEL: text(`parent.id`)},
		"in the split":    {Split: text(`parent.items`)},
		"in a condition":  {Split: text(`data`), Routes: []Route{{Name: "a", When: text(`parent.a == 1`), Key: "sinks[0].when"}}},
		"a split of text": {Split: text(`"a"`)},
	} {
		t.Run(name, func(t *testing.T) {
			cfg.Flow = "f"
			_, err := New(cfg)
			faults, ok := errors.AsType[config.Errors](err)
			if !ok || len(faults) != 1 || name != "a split of text" && !strings.Contains(err.Error(), "parent") {
				t.Errorf("got %v", err)
			}
		})
	}
}

// replayed is a dead letter of a sink that was put back into the topic.
func replayed(value, flow, sink, part string) *connector.Message {
	m := message(value)
	m.Headers = headers(deadletter.HeaderReplays, "1", deadletter.HeaderFlow, flow, deadletter.HeaderSink, sink)
	if part != "" {
		m.Headers = append(m.Headers, headers(deadletter.HeaderPart, part)...)
	}
	return m
}

func TestTransform_routesToTheSinksThatTakeAnEvent(t *testing.T) {
	routes := []Route{
		{Name: "eu", When: text(`data.region == "eu"`), Key: "sinks[0].when"},
		{Name: "big", When: text(`data.n > 10 && type == "order"`), Key: "sinks[1].when"},
		{Name: "tagged", When: text(`headers.?tenant.orValue("") == "acme"`), Key: "sinks[2].when"},
	}
	first := Config{Routes: routes, Type: text(`"order"`), Extensions: config.Fields{field("tenant", `data.?tenant.orValue("")`)}}
	all := first
	all.All = true
	rest := first
	rest.Routes = append(routes[:3:3], Route{Name: "rest", Key: "sinks[3].when"})
	unplaced := replayed(`{"region":"eu","n":11}`, "f", "big", "")
	unplaced.Position = connector.Position{Stream: "hook"}
	for name, row := range map[string]struct {
		cfg  Config
		m    *connector.Message
		want string // outputs
	}{
		"the first that takes it":                         {first, message(`{"region":"eu","n":11}`), "0"},
		"the second, when the first does not":             {first, message(`{"region":"us","n":11}`), "1"},
		"one that asks for an extension":                  {first, message(`{"region":"us","n":1,"tenant":"acme"}`), "2"},
		"none":                                            {first, message(`{"region":"us","n":1}`), "unrouted"},
		"the rest":                                        {rest, message(`{"region":"us","n":1}`), "3"},
		"all that take it":                                {all, message(`{"region":"eu","n":11,"tenant":"acme"}`), "0 1 2"},
		"none of all":                                     {all, message(`{"region":"us","n":1}`), "unrouted"},
		"a replayed one, to the sink that failed":         {all, replayed(`{"region":"eu","n":11}`, "f", "big", ""), "1"},
		"a replayed one, not to the first":                {first, replayed(`{"region":"eu","n":11}`, "f", "big", ""), "1"},
		"a replayed one, of a sink that is gone":          {all, replayed(`{"region":"eu","n":11}`, "f", "old", ""), "0 1"},
		"a replayed one, which the sink takes no more":    {all, replayed(`{"region":"eu","n":1}`, "f", "big", ""), "unrouted"},
		"a replayed one, which another takes now":         {first, replayed(`{"region":"eu","n":1}`, "f", "big", ""), "0"},
		"a replayed one of another flow":                  {all, replayed(`{"region":"eu","n":11}`, "g", "big", ""), "0 1"},
		"headers that a caller made up, of no broker":     {all, unplaced, "0 1"},
		"a letter of the transform that is put back":      {all, replayed(`{"region":"eu","n":11}`, "f", "", ""), "0 1"},
		"a letter that somebody copied and never counted": {all, copied(`{"region":"eu","n":11}`), "0 1"},
	} {
		t.Run(name, func(t *testing.T) {
			routed, err := mustNew(t, row.cfg).Transform(t.Context(), row.m, nil)
			var got []string
			for _, r := range routed {
				got = append(got, fmt.Sprint(r.Output))
			}
			if errors.Is(err, delivery.ErrUnrouted) {
				got, err = append(got, "unrouted"), nil
			}
			if err != nil || strings.Join(got, " ") != row.want {
				t.Errorf("got %q, %v, want %q", got, err, row.want)
			}
		})
	}
}

// copied is a dead letter that was put back without a count of replays.
func copied(value string) *connector.Message {
	m := replayed(value, "f", "big", "")
	m.Headers = m.Headers[1:]
	return m
}

func TestTransform_ofAReplayedPartIsThatPart(t *testing.T) {
	p := mustNew(t, Config{Split: text(`data`), All: true, Routes: []Route{{Name: "a"}, {Name: "b"}}})
	for part, want := range map[string]string{
		"1": `1/2 orders-2-41#1 fiso.event 8`, "": "1/1 orders-2-41#0 fiso.event 7\n1/2 orders-2-41#1 fiso.event 8",
		"no number": "1/1 orders-2-41#0 fiso.event 7\n1/2 orders-2-41#1 fiso.event 8",
	} {
		got, err := transformed(t, p, replayed(`[7,8]`, "f", "b", part))
		if err != nil || strings.Join(got, "\n") != want {
			t.Errorf("part %q: got %q, %v", part, got, err)
		}
	}
}
