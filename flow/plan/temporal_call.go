package plan

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"

	"github.com/lsm/fiso/common/cloudevent"
	"github.com/lsm/fiso/common/config"
	"github.com/lsm/fiso/common/connector"
	"github.com/lsm/fiso/connectors/temporal"
	"github.com/lsm/fiso/flow/spec"
	"github.com/lsm/fiso/flow/transform"
)

// jsonExpression is a CEL expression whose value is written as JSON.
type jsonExpression interface {
	Append(ctx context.Context, dst []byte, e *cloudevent.Event) ([]byte, error)
}

// temporalExpressions are the compiled expressions of a temporal sink.
type temporalExpressions struct {
	texts map[string]expression // by key, such as workflow.id
	args, signalArgs,
	updateArgs []jsonExpression // nil: the event; empty: none
	memo, attributes map[string]jsonExpression
	sendsEvent       bool
}

// arguments is a list of expressions for arguments.
type arguments struct {
	key      string
	texts    []config.Text
	compiled *[]jsonExpression
	used     bool // by the action
}

func (c *temporalSink) arguments() []arguments {
	return []arguments{
		{"args", c.Args, &c.calls.args, c.Action != temporal.ActionSignal},
		{"signal.args", c.Signal.Args, &c.calls.signalArgs, c.signals()},
		{"update.args", c.Update.Args, &c.calls.updateArgs, c.Action == temporal.ActionUpdateWithStart},
	}
}

func (c *temporalSink) signals() bool {
	return c.Action == temporal.ActionSignal || c.Action == temporal.ActionSignalWithStart
}

// expressions returns all expressions by key, in the order of the documentation.
func (c *temporalSink) expressions() config.Fields {
	all := c.textExpressions()
	for _, a := range c.arguments() {
		for i, x := range a.texts {
			all = append(all, config.Field{Name: fmt.Sprintf("%s[%d]", a.key, i), Value: x})
		}
	}
	for _, x := range c.Memo {
		all = append(all, config.Field{Name: "memo." + x.Name, Value: x.Value})
	}
	for _, name := range slices.Sorted(maps.Keys(c.SearchAttributes)) {
		all = append(all, config.Field{Name: "searchAttributes." + name + ".value", Value: c.SearchAttributes[name].Value})
	}
	return all
}

// textExpressions returns the expressions for names and ids that are set.
func (c *temporalSink) textExpressions() config.Fields {
	all := config.Fields{
		{Name: "taskQueue", Value: c.TaskQueue}, {Name: "workflow.type", Value: c.Workflow.Type}, {Name: "workflow.id", Value: c.Workflow.ID},
		{Name: "signal.name", Value: c.Signal.Name}, {Name: "update.name", Value: c.Update.Name},
		{Name: "priority.key", Value: c.Priority.Key}, {Name: "priority.fairnessKey", Value: c.Priority.FairnessKey},
	}
	return slices.DeleteFunc(all, func(x config.Field) bool { return x.Value.IsZero() })
}

// validateExpressions refuses expressions that the action does not use, and asks for those
// that it needs.
func (c *temporalSink) validateExpressions() error {
	starts, updates := c.Action != temporal.ActionSignal, c.Action == temporal.ActionUpdateWithStart
	var faults []error
	check := func(key string, set, allowed, required bool, example string) {
		switch {
		case set && !allowed:
			faults = append(faults, config.Fault(key, "has no effect with action: %s; leave it out", c.Action))
		case !set && required:
			faults = append(faults, config.Fault(key, "action: %s needs it; write a CEL expression, such as %s", c.Action, example))
		}
	}
	check("taskQueue", !c.TaskQueue.IsZero(), starts, starts, `'"orders"'`)
	check("workflow.type", !c.Workflow.Type.IsZero(), starts, starts, `'"Order"'`)
	check("workflow.id", !c.Workflow.ID.IsZero(), true, !starts, `'"order-" + data.id'`)
	check("args", c.Args != nil, starts, false, "")
	check("signal.name", !c.Signal.Name.IsZero(), c.signals(), c.signals(), `'"paid"'`)
	check("signal.args", c.Signal.Args != nil, c.signals(), false, "")
	check("update.name", !c.Update.Name.IsZero(), updates, updates, `'"pay"'`)
	check("update.args", c.Update.Args != nil, updates, false, "")
	check("update.waitFor", c.Update.WaitFor != "", updates, false, "")
	check("memo", len(c.Memo) > 0, starts, false, "")
	check("searchAttributes", len(c.SearchAttributes) > 0, starts, false, "")
	check("priority.key", !c.Priority.Key.IsZero(), starts, false, "")
	check("priority.fairnessKey", !c.Priority.FairnessKey.IsZero(), starts, false, "")
	return errors.Join(faults...)
}

func (c *temporalSink) compile(key, name string, f *spec.Flow) error {
	c.flow, c.name = f.Name, name
	x := &c.calls
	x.texts, x.memo, x.attributes = map[string]expression{}, map[string]jsonExpression{}, map[string]jsonExpression{}
	var errs []error
	for _, text := range c.textExpressions() {
		compiled, err := transform.NewExpression(key+".config."+text.Name, text.Value)
		errs = append(errs, err)
		x.texts[text.Name] = compiled
	}
	compile := func(at string, text config.Text) jsonExpression {
		compiled, err := transform.NewJSONExpression(key+".config."+at, text)
		errs = append(errs, err)
		return compiled
	}
	for _, a := range c.arguments() {
		x.sendsEvent = x.sendsEvent || a.used && a.texts == nil
		if a.texts == nil {
			continue
		}
		*a.compiled = make([]jsonExpression, len(a.texts))
		for i, text := range a.texts {
			(*a.compiled)[i] = compile(fmt.Sprintf("%s[%d]", a.key, i), text)
		}
	}
	for _, m := range c.Memo {
		x.memo[m.Name] = compile("memo."+m.Name, m.Value)
	}
	for attribute, a := range c.SearchAttributes {
		x.attributes[attribute] = compile("searchAttributes."+attribute+".value", a.Value)
	}
	return errors.Join(errs...)
}

// call implements temporal.CallFunc.
func (c *temporalSink) call(ctx context.Context, e *cloudevent.Event) (temporal.Call, error) {
	b := callBuilder{ctx: ctx, event: e, x: &c.calls}
	call := temporal.Call{
		WorkflowID: b.text("workflow.id"), WorkflowType: b.text("workflow.type"), TaskQueue: b.text("taskQueue"),
		Args: b.list("args", c.calls.args), SignalName: b.text("signal.name"), SignalArgs: b.list("signal.args", c.calls.signalArgs),
		UpdateName: b.text("update.name"), UpdateArgs: b.list("update.args", c.calls.updateArgs),
		PriorityKey: b.priority(), FairnessKey: b.text("priority.fairnessKey"),
	}
	for name, x := range c.calls.memo {
		if value := b.json("memo."+name, x); string(value) != "null" {
			call.Memo = with(call.Memo, name, value)
		}
	}
	for name, x := range c.calls.attributes {
		value := b.json("searchAttributes."+name, x)
		call.SearchAttributes = with(call.SearchAttributes, name, temporal.SearchAttribute{Type: c.SearchAttributes[name].Type, Value: value})
	}
	return call, b.err
}

func with[V any](m map[string]V, name string, value V) map[string]V {
	if m == nil {
		m = map[string]V{}
	}
	m[name] = value
	return m
}

// callBuilder evaluates expressions on one event, and keeps the first error.
type callBuilder struct {
	ctx   context.Context
	event *cloudevent.Event
	x     *temporalExpressions
	err   error
}

// fail keeps the first error. An event whose expression fails cannot be sent.
func (b *callBuilder) fail(what string, err error) {
	switch {
	case b.err != nil || err == nil:
	case b.ctx.Err() != nil:
		b.err = fmt.Errorf("compute %s: %w", what, b.ctx.Err())
	default:
		b.err = connector.AsUnsendable(fmt.Errorf("compute %s: %w", what, err))
	}
}

// text evaluates the expression of a name or id; "" if there is none.
func (b *callBuilder) text(key string) string {
	x := b.x.texts[key]
	if x == nil || b.err != nil {
		return ""
	}
	value, err := x.Eval(b.ctx, b.event)
	b.fail(key, err)
	return string(value)
}

func (b *callBuilder) priority() int32 {
	text := b.text("priority.key")
	if text == "" {
		return 0
	}
	n, err := strconv.ParseInt(text, 10, 32)
	if err != nil || n < 1 || n > 5 {
		b.fail("priority.key", errors.New("not a number from 1 to 5"))
	}
	return int32(n)
}

func (b *callBuilder) json(key string, x jsonExpression) []byte {
	if b.err != nil {
		return nil
	}
	value, err := x.Append(b.ctx, nil, b.event)
	b.fail(key, err)
	return value
}

func (b *callBuilder) list(key string, xs []jsonExpression) [][]byte {
	if xs == nil {
		return nil
	}
	values := make([][]byte, len(xs))
	for i, x := range xs {
		values[i] = b.json(fmt.Sprintf("%s[%d]", key, i), x)
	}
	return values
}

// additions shows the parts of the call as headers: the commands print them.
func (c *temporalSink) additions(ctx context.Context, e *cloudevent.Event) (additions, error) {
	call, err := c.call(ctx, e)
	if err != nil {
		return additions{}, err
	}
	var shown []connector.Header
	show := func(key string, value []byte) {
		if len(value) > 0 {
			shown = append(shown, connector.Header{Key: key, Value: value})
		}
	}
	if call.WorkflowID == "" {
		call.WorkflowID = c.flow + "-" + e.ID
	}
	show("workflow.id", []byte(call.WorkflowID))
	show("workflow.type", []byte(call.WorkflowType))
	show("taskQueue", []byte(call.TaskQueue))
	show("signal.name", []byte(call.SignalName))
	show("update.name", []byte(call.UpdateName))
	for _, list := range []struct {
		key    string
		values [][]byte
	}{{"args", call.Args}, {"signal.args", call.SignalArgs}, {"update.args", call.UpdateArgs}} {
		for i, value := range list.values {
			show(fmt.Sprintf("%s[%d]", list.key, i), value)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(call.Memo)) {
		show("memo."+name, call.Memo[name])
	}
	for _, name := range slices.Sorted(maps.Keys(call.SearchAttributes)) {
		show("searchAttributes."+name, call.SearchAttributes[name].Value)
	}
	return additions{headers: shown}, nil
}

// literal matches a CEL expression that is a plain text.
var literal = regexp.MustCompile(`^\s*(?:"([^"\\]*)"|'([^'\\]*)')\s*$`)

// constantQueues returns the task queue if it is the same for all events, for check.
func (c *temporalSink) constantQueues() []string {
	m := literal.FindStringSubmatch(c.TaskQueue.Value)
	if m == nil {
		return nil
	}
	return []string{m[1] + m[2]}
}

func (c *temporalSink) attributeTypes() map[string]string {
	types := make(map[string]string, len(c.SearchAttributes))
	for name, a := range c.SearchAttributes {
		types[name] = a.Type
	}
	return types
}
