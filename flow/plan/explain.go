package plan

import (
	"fmt"
	"time"

	"github.com/lsm/fiso/common/config"
)

// Explanation says what a flow will do, for `fiso-flow validate --explain`.
type Explanation struct {
	Flow        string   `json:"flow"`
	File        string   `json:"file"`
	Paused      bool     `json:"paused"`
	Source      string   `json:"source"`
	Filter      string   `json:"filter,omitempty"`
	Transform   string   `json:"transform"`
	Sink        string   `json:"sink"`
	Sinks       []string `json:"sinks,omitempty"` // one line for each of several sinks
	Routing     string   `json:"routing,omitempty"`
	Ordering    string   `json:"ordering"`
	InFlight    string   `json:"inFlight"`
	Batch       string   `json:"batch,omitempty"`
	Retries     []Wait   `json:"retries"`
	Exhausted   string   `json:"exhausted"`
	DeadLetters string   `json:"deadLetters"`
	StopTheLine string   `json:"stopTheLine"`
	Drain       string   `json:"drain"`
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
		Source: f.Source.Type + ": " + p.source.describe(), Sink: p.outputs[0].describe(), Sinks: p.describeOutputs(),
		Filter: f.Filter.Value, Transform: p.describeTransform(), Ordering: describeOrdering(f.Delivery.Ordering),
		InFlight:  fmt.Sprintf("at most %d events of a partition, and none further ahead of the oldest unsettled event", f.Delivery.MaxInFlight),
		Retries:   p.waits(),
		Exhausted: describeExhausted(f.ErrorHandling.OnExhausted), DeadLetters: "none: an event that cannot be delivered is held and tried again",
		StopTheLine: "off", Batch: p.outputs[0].describeBatch(f.Delivery.MaxInFlight),
		Drain: fmt.Sprintf("calls in flight may take %v at a rebalance, a reload or the end; unfinished events go back to the source", f.Delivery.DrainTimeout),
	}
	if p.hasManySinks() {
		e.Batch, e.Routing = "", describeRouting(f.Routing)
	}
	if p.deadLetterQueue != nil {
		e.DeadLetters = p.deadLetterQueue.describe()
	}
	if n := f.ErrorHandling.StopTheLine.Consecutive; n > 0 {
		e.StopTheLine = fmt.Sprintf("after %d failed events in a row the flow holds its events, and tries one until it passes", n)
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

// describeOutputs returns one line for each of several sinks, or nil for one sink.
func (p *Plan) describeOutputs() []string {
	if !p.hasManySinks() {
		return nil
	}
	var lines []string
	for _, o := range p.outputs {
		line := o.Name + ": "
		switch {
		case !o.When.IsZero():
			line += "if " + o.When.Value + ", "
		case p.Flow.Routing == "first":
			line += "everything that gets here, "
		default:
			line += "everything, "
		}
		line += o.describe()
		if batch := o.describeBatch(p.Flow.Delivery.MaxInFlight); batch != "" {
			line += "; batches: " + batch
		}
		if o.deadLetterQueue != nil && o.deadLetterKey != p.deadLetterKey {
			line += "; dead letters: " + o.deadLetterQueue.describe()
		}
		lines = append(lines, line)
	}
	return lines
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

func (p *Plan) waits() []Wait {
	policy := retry(p.Flow.ErrorHandling)
	waits := []Wait{}
	for n := 1; n <= min(p.Flow.ErrorHandling.MaxRetries, maxWaits); n++ {
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
