package plan

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/lsm/fiso/common/cloudevent"
	"github.com/lsm/fiso/common/connector"
)

const temporalIn = "source: {type: temporal, config: {address: 'localhost:7233', taskQueue: fiso}}\nerrorHandling: {deadLetter: {type: file, config: {path: /x}}}\n"

// temporalFlow returns a flow with a temporal sink; config are lines of its config.
func temporalFlow(config string) string {
	lines := strings.Split("address: 'localhost:7233'\n"+strings.TrimSpace(config), "\n")
	return "name: orders\n" + temporalIn + "sink:\n  type: temporal\n  config:\n    " + strings.Join(lines, "\n    ") + "\n"
}

var temporalEvent = &cloudevent.Event{
	ID: "e-1", Source: "/shop", Type: "order.created", DataContentType: "application/json",
	Data: cloudevent.Bytes([]byte(`{"id":"o-1","total":12345678901234567890.50,"tenant":"acme","tags":["a","b"],"gone":null}`)),
}

// shown returns the headers of additions, as text.
func shown(headers []connector.Header) string {
	var b strings.Builder
	for _, h := range headers {
		fmt.Fprintf(&b, "%s=%s\n", h.Key, h.Value)
	}
	return b.String()
}

func TestTemporalSink_computesTheCallFromTheEvent(t *testing.T) {
	for name, tc := range map[string]struct{ config, want string }{
		"start, all defaults": {`
taskQueue: '"orders"'
workflow: {type: '"Order"'}`, "workflow.id=orders-e-1\nworkflow.type=Order\ntaskQueue=orders\n"},
		"start, all settings": {`
taskQueue: '"orders-" + data.tenant'
workflow: {type: '"Order"', id: '"order-" + data.id'}
args: [data.id, data.total, '{"n": data.tags}']
memo: {tenant: data.tenant, gone: data.gone}
searchAttributes: {Customer: {type: keyword, value: data.tenant}, Tags: {type: keywordList, value: data.tags}}
priority: {key: '2 + 1', fairnessKey: data.tenant}`, `workflow.id=order-o-1
workflow.type=Order
taskQueue=orders-acme
args[0]="o-1"
args[1]=12345678901234567890.50
args[2]={"n":["a","b"]}
memo.tenant="acme"
searchAttributes.Customer="acme"
searchAttributes.Tags=["a","b"]
`},
		"signal": {`
action: signal
workflow: {id: data.id}
signal: {name: '"paid"', args: [data.total]}`, "workflow.id=o-1\nsignal.name=paid\nsignal.args[0]=12345678901234567890.50\n"},
		"update": {`
action: updateWithStart
taskQueue: '"q"'
workflow: {type: type, id: data.id}
args: []
update: {name: '"pay"', args: [data.id], waitFor: completed}`, "workflow.id=o-1\nworkflow.type=order.created\ntaskQueue=q\nupdate.name=pay\nupdate.args[0]=\"o-1\"\n"},
	} {
		t.Run(name, func(t *testing.T) {
			p := parsed(t, temporalFlow(tc.config))
			added, err := p.outputs[0].sink.additions(t.Context(), temporalEvent)
			if got := shown(added.headers); err != nil || got != tc.want {
				t.Errorf("%v, got\n%s\nwant\n%s", err, got, tc.want)
			}
			if n := strings.Count(tc.config, "data."); len(p.outputs[0].sink.expressions()) == 0 && n > 0 {
				t.Error("no expression is explained")
			}
			o, err := p.Outputs(env(), nil)
			if err != nil {
				t.Fatal(err)
			}
			if err := o.Close(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestTemporalSink_anEventWhoseExpressionFailsCannotBeSent(t *testing.T) {
	start := "taskQueue: '\"q\"'\nworkflow: {type: '\"Order\"'}\n"
	for config, want := range map[string]string{
		"taskQueue: data.nothing\nworkflow: {type: '\"Order\"'}":                        "compute taskQueue: sink.config.taskQueue: no such field: data.nothing",
		start + "args: [data.nothing]":                                                  "compute args[0]: sink.config.args[0]: no such field: data.nothing",
		start + "memo: {a: data.nothing}":                                               "compute memo.a: ",
		start + "searchAttributes: {A: {type: text, value: data.nothing}}":              "compute searchAttributes.A: ",
		start + "priority: {key: '9'}":                                                  "compute priority.key: not a number from 1 to 5",
		"action: signal\nworkflow: {id: data.id}\nsignal: {name: type, args: [data.x]}": "compute signal.args[0]: ",
	} {
		sink := parsed(t, temporalFlow(config)).outputs[0].sink.(*temporalSink)
		_, err := sink.call(t.Context(), temporalEvent)
		if !connector.IsUnsendable(err) || !strings.Contains(fmt.Sprint(err), want) {
			t.Errorf("%s: %v, want %s", config, err, want)
		}
		if _, err := sink.additions(t.Context(), temporalEvent); err == nil {
			t.Errorf("%s: the commands show an event that cannot be sent", config)
		}
	}
	sink := parsed(t, temporalFlow(start+"args: [data.nothing]")).outputs[0].sink.(*temporalSink)
	ended, end := context.WithCancel(t.Context())
	end()
	if _, err := sink.call(ended, temporalEvent); connector.IsUnsendable(err) || err == nil {
		t.Errorf("an event whose context ended: %v", err)
	}
}

func TestParse_refusesTemporalSettingsThatTheActionDoesNotUse(t *testing.T) {
	start := "taskQueue: '\"q\"'\nworkflow: {type: '\"Order\"'}\n"
	for config, want := range map[string]string{
		"workflow: {type: '\"Order\"'}":                          `sink.config.taskQueue: action: start needs it; write a CEL expression, such as '"orders"'`,
		"taskQueue: '\"q\"'":                                     "sink.config.workflow.type: action: start needs it",
		"action: signal\nsignal: {name: type}":                   "sink.config.workflow.id: action: signal needs it",
		"action: signal\nworkflow: {id: id}":                     "sink.config.signal.name: action: signal needs it",
		start + "signal: {name: type}":                           "sink.config.signal.name: has no effect with action: start; leave it out",
		start + "update: {waitFor: completed}":                   "sink.config.update.waitFor: has no effect with action: start",
		start + "action: updateWithStart":                        "sink.config.update.name: action: updateWithStart needs it",
		"taskQueue: orders\nworkflow: {type: '\"Order\"'}":       "sink.config.taskQueue",
		start + "args: [order.created]":                          "sink.config.args[0]",
		start + "searchAttributes: {A: {type: word, value: id}}": "sink.config.searchAttributes.A.type",
		start + "onNotFound: retry":                              "sink.config.onNotFound: has no effect with action: start",
	} {
		if _, err := Parse("f.yaml", []byte(temporalFlow(config))); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v\nwant %s", config, err, want)
		}
	}
}

func TestTemporal_isExplained(t *testing.T) {
	p := parsed(t, temporalFlow("taskQueue: '\"orders\"'\nworkflow: {type: '\"Order\"'}\nsearchAttributes: {A: {type: text, value: id}}\n"))
	x := p.explain()
	if x.Source != "temporal: activity fiso.publish on task queue fiso, namespace default of localhost:7233" || x.Sink != "temporal: start a workflow in namespace default of localhost:7233" {
		t.Errorf("explained as %s to %s", x.Source, x.Sink)
	}
	sink := p.outputs[0].sink.(*temporalSink)
	if q := sink.constantQueues(); len(q) != 1 || q[0] != "orders" || sink.attributeTypes()["A"] != "text" || !sink.writesJSON() {
		t.Errorf("task queues %q, search attributes %v, JSON %v", q, sink.attributeTypes(), sink.writesJSON())
	}
	other := parsed(t, temporalFlow("taskQueue: type\nworkflow: {type: '\"Order\"'}\nargs: []\n")).outputs[0].sink.(*temporalSink)
	if q := other.constantQueues(); q != nil || other.writesJSON() {
		t.Errorf("task queues %q, JSON %v", q, other.writesJSON())
	}
	if _, err := p.Source(env()); err != nil {
		t.Error(err)
	}
	if g := p.Guarantees(); g.Redelivers || p.ManyStreams() {
		t.Errorf("guarantees %+v", g)
	}
}
