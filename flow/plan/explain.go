package plan

import (
	"fmt"
	"time"

	"github.com/lsm/fiso/common/config"
	"github.com/lsm/fiso/flow/spec"
)

// Explanation says what a flow will do, for `fiso-flow validate --explain`.
type Explanation struct {
	Flow        string            `json:"flow"`
	File        string            `json:"file"`
	Paused      bool              `json:"paused"`
	Source      string            `json:"source"`
	Filter      string            `json:"filter,omitempty"`
	Split       string            `json:"split,omitempty"`
	Transform   string            `json:"transform"`
	Attributes  []Expression      `json:"attributes,omitempty"` // cloudevents
	Sink        string            `json:"sink"`
	Expressions []Expression      `json:"expressions,omitempty"` // of the sink, if there is one
	Sinks       []SinkExplanation `json:"sinks,omitempty"`       // if there are several
	Routing     string            `json:"routing,omitempty"`
	Ordering    string            `json:"ordering"`
	InFlight    string            `json:"inFlight"`
	Batch       string            `json:"batch,omitempty"`
	Handling                      // of the flow: sinks may have their own
	Drain       string            `json:"drain"`
}

// SinkExplanation says what one of several sinks will do.
type SinkExplanation struct {
	Name        string       `json:"name"`
	When        string       `json:"when,omitempty"`
	Takes       string       `json:"takes"` // When in words
	Sink        string       `json:"sink"`
	Batch       string       `json:"batch,omitempty"`
	Expressions []Expression `json:"expressions,omitempty"`
	Handling
}

// Expression is a key and its CEL expression.
type Expression struct {
	Key string `json:"key"`
	CEL string `json:"cel"`
}

// Handling says how failures are handled.
type Handling struct {
	MaxRetries  int    `json:"maxRetries"`
	Retries     []Wait `json:"retries"` // the first of them
	Outage      string `json:"outage,omitempty"`
	Exhausted   string `json:"exhausted"`
	DeadLetters string `json:"deadLetters"`
	StopTheLine string `json:"stopTheLine"`
}

// Wait is the shortest and the longest wait before a retry.
type Wait struct {
	Retry int           `json:"retry"`
	Min   time.Duration `json:"minNanos"`
	Max   time.Duration `json:"maxNanos"`
}

// maxWaits limits how many retries an explanation lists.
const maxWaits = 20

// Explain says what the flow will do. Its error is a *spec.Panic.
func (p *Plan) Explain() (e Explanation, err error) {
	err = p.Guard(func() error {
		e = p.explain()
		return nil
	})
	return e, err
}

func (p *Plan) explain() Explanation {
	f := p.Flow
	e := Explanation{
		Flow: f.Name, File: p.File, Paused: f.Paused,
		Source: f.Source.Type + ": " + p.source.describe(), Sink: p.outputs[0].describe(), Sinks: p.explainOutputs(),
		Filter: f.Filter.Value, Split: f.Transform.Split.Value, Transform: p.describeTransform(), Attributes: p.attributes(),
		Ordering: describeOrdering(f.Delivery.Ordering),
		InFlight: fmt.Sprintf("at most %d events of a partition, and none further ahead of the oldest unsettled event", f.Delivery.MaxInFlight),
		Handling: explainHandling(&f.ErrorHandling, p.deadLetterQueue),
		Drain:    fmt.Sprintf("calls in flight may take %v at a rebalance, a reload or the end; unfinished events go back to the source", f.Delivery.DrainTimeout),
	}
	if p.hasManySinks() {
		e.Routing = describeRouting(f.Routing)
	} else {
		e.Batch, e.Expressions = p.outputs[0].describeBatch(f.Delivery.MaxInFlight), expressionsOf(p.outputs[0])
	}
	return e
}

func describeRouting(r string) string {
	if r == "all" {
		return "all: every sink whose condition holds gets the event, which is settled when all are done; an event for no sink is unrouted"
	}
	return "first: the first sink whose condition holds gets the event; an event for no sink is unrouted"
}

// describe returns the output in one line.
func (o *output) describe() string { return o.Type + ": " + o.sink.describe() }

// explainOutputs explains each of several sinks. It returns nil for one sink.
func (p *Plan) explainOutputs() []SinkExplanation {
	if !p.hasManySinks() {
		return nil
	}
	all := make([]SinkExplanation, 0, len(p.outputs))
	for _, o := range p.outputs {
		s := SinkExplanation{
			Name: o.Name, When: o.When.Value, Sink: o.describe(), Batch: o.describeBatch(p.Flow.Delivery.MaxInFlight),
			Expressions: expressionsOf(o), Handling: explainHandling(&o.handling, o.deadLetterQueue),
		}
		switch {
		case s.When != "":
			s.Takes = "if " + s.When
		case p.Flow.Routing == "first":
			s.Takes = "everything that gets here"
		default:
			s.Takes = "everything"
		}
		all = append(all, s)
	}
	return all
}

// expressionsOf returns the expressions of a sink by key, such as eventHeaders.X-Tenant.
func expressionsOf(o *output) []Expression {
	var all []Expression
	for _, x := range o.sink.expressions() {
		all = append(all, Expression{x.Name, x.Value.Value})
	}
	return all
}

// attributes returns the expressions of cloudevents, by key.
func (p *Plan) attributes() []Expression {
	var all []Expression
	add := func(key string, text config.Text) {
		if !text.IsZero() {
			all = append(all, Expression{key, text.Value})
		}
	}
	c := &p.Flow.CloudEvents
	add("id", c.ID)
	add("type", c.Type)
	add("source", c.Source)
	add("subject", c.Subject)
	add("dataschema", c.DataSchema)
	for _, x := range c.Extensions {
		add("extensions."+x.Name, x.Value)
	}
	return all
}

func explainHandling(e *spec.ErrorHandling, l deadLetters) Handling {
	h := Handling{
		Retries: waits(e), MaxRetries: e.MaxRetries, Exhausted: describeExhausted(e.OnExhausted), StopTheLine: "off",
		DeadLetters: "none: an event that cannot be delivered is held and tried again",
	}
	if l != nil {
		h.DeadLetters = l.describe()
	}
	if n := e.StopTheLine.Consecutive; n > 0 {
		h.StopTheLine = fmt.Sprintf("after events of %d messages in a row have failed the flow holds its events, and tries one until it passes", n)
	}
	if e.Outage == "count" {
		h.Outage = "count: every failure uses up a retry, also while the sink is away"
	}
	return h
}

func (p *Plan) describeTransform() string {
	switch t := p.Flow.Transform; {
	case !t.CEL.IsZero():
		return t.CEL.Value
	case len(t.Fields) > 0:
		return fmt.Sprintf("%d fields, one expression each", len(t.Fields))
	default:
		return "none: the data stays unchanged"
	}
}

func (o *output) describeBatch(maxInFlight int) string {
	batch := o.batches()
	if batch == nil {
		return ""
	}
	batch = batch.WithDefaults(maxInFlight)
	text := fmt.Sprintf("up to %d events or %v, or what has arrived after %v", batch.MaxEvents, config.Bytes(batch.MaxBytes), batch.MaxWait)
	if batch.Eager {
		text += ", or at once while nothing is in flight"
	}
	return text
}

func waits(e *spec.ErrorHandling) []Wait {
	policy := retry(*e)
	waits := []Wait{}
	for n := 1; n <= min(e.MaxRetries, maxWaits); n++ {
		low, high := policy.Bounds(n)
		waits = append(waits, Wait{n, low, high})
	}
	return waits
}

func describeOrdering(o string) string {
	switch o {
	case "partition":
		return "partition: events of a partition one after the other"
	case "none":
		return "none: all events side by side"
	default:
		return "key: events of one key in a partition one after the other, different keys and events without a key side by side"
	}
}

func describeExhausted(o string) string {
	switch o {
	case "block":
		return "block: an event whose retries are used up is tried again forever, and later events of the same order wait"
	case "drop":
		return "drop: an event whose retries are used up is dropped and counted"
	default:
		return "dlq: an event whose retries are used up becomes a dead letter"
	}
}
