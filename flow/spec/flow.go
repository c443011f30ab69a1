package spec

import (
	"time"

	"github.com/lsm/fiso/common/config"
)

// Flow is the body of a flow file and the spec of a FlowDefinition.
//
// The tag reload names what a change of the field requires: restart of the flow, swap of
// everything behind the source, or none. Connector settings require what the field that contains
// them requires.
type Flow struct {
	Name          string        `yaml:"name" reload:"restart" doc:"Name of the flow: lower-case letters, digits and dashes, 63 at most. In a FlowDefinition it is metadata.name when it is left out."`
	Paused        bool          `yaml:"paused" reload:"none" default:"false" doc:"Stop the source: it leaves its consumer group and fetches nothing. Commits stay, and false continues from them."`
	Source        Source        `yaml:"source" reload:"restart" required:"true" doc:"Where events come from."`
	Filter        config.Text   `yaml:"filter" reload:"swap" doc:"CEL expression of type bool; false means acknowledged and counted as filtered."`
	Transform     Transform     `yaml:"transform" reload:"swap" doc:"How the data of an event is changed; default: unchanged."`
	CloudEvents   CloudEvents   `yaml:"cloudevents" reload:"swap" doc:"CEL expressions for the attributes of the outgoing event, evaluated on the incoming one."`
	Sink          Sink          `yaml:"sink" reload:"swap" doc:"Where events go. This or sinks is required."`
	Sinks         []Output      `yaml:"sinks" reload:"swap" doc:"Instead of sink: several sinks, each for the events that its condition selects."`
	Routing       string        `yaml:"routing" reload:"swap" default:"first" enum:"first|all" doc:"With sinks: first: the first sink whose when is true gets the event; all: every sink whose when is true gets it, and it is settled when all are done."`
	Delivery      Delivery      `yaml:"delivery" doc:"Order, bounds and draining."`
	ErrorHandling ErrorHandling `yaml:"errorHandling" reload:"swap" doc:"Retries, and where an event goes that cannot be delivered."`

	types *Types
}

// Types are the connectors that a flow file may name.
type Types struct {
	Sources, Sinks, DeadLetters []string
	// KeepsDeadLetters reports whether a source of this type redelivers unsettled events and
	// provides a place for dead letters. A flow with such a source need not name one.
	KeepsDeadLetters func(source string) bool
}

// Source names a connector to read from.
type Source struct {
	Type   string     `yaml:"type" required:"true" doc:"Name of the connector."`
	Config config.Raw `yaml:"config" settings:"true" doc:"Settings of that connector."`
}

// Sink names a connector to deliver to.
type Sink struct {
	Name   string     `yaml:"name" doc:"Name of the sink in logs and dead letters; default: its type."`
	Type   string     `yaml:"type" doc:"Name of the connector."`
	Config config.Raw `yaml:"config" settings:"true" doc:"Settings of that connector."`
}

// Output is one of several sinks. Fields that are not set have the value of the flow.
type Output struct {
	Name          string              `yaml:"name" required:"true" doc:"Name of the sink in logs, metrics and dead letters: lower-case letters, digits and dashes, 63 at most."`
	When          config.Text         `yaml:"when" doc:"CEL expression of type bool on the outgoing event; default: every event. If it fails, no sink gets the event."`
	Type          string              `yaml:"type" required:"true" doc:"Name of the connector."`
	Config        config.Raw          `yaml:"config" settings:"true" doc:"Settings of that connector."`
	Batch         *Batch              `yaml:"batch" doc:"Limits of a batch; default: delivery.batch."`
	ErrorHandling OutputErrorHandling `yaml:"errorHandling" doc:"Settings that differ from the flow's errorHandling."`
}

// OutputErrorHandling is ErrorHandling for one of several sinks. Keys that are not set have the
// value of the flow.
type OutputErrorHandling struct {
	DeadLetterTopic string         `yaml:"deadLetterTopic" doc:"Kafka topic for events that this sink cannot deliver, on the cluster of the flow's dead letters."`
	DeadLetter      DeadLetter     `yaml:"deadLetter" doc:"Another place for events that this sink cannot deliver."`
	MaxRetries      *int           `yaml:"maxRetries" doc:"Retries after the first try of an event; 0: none."`
	Backoff         string         `yaml:"backoff" enum:"exponential|linear|constant" doc:"How the wait between tries grows."`
	InitialInterval *time.Duration `yaml:"initialInterval" doc:"Wait before the first retry."`
	MaxInterval     *time.Duration `yaml:"maxInterval" doc:"Longest wait between tries."`
	Jitter          *float64       `yaml:"jitter" doc:"Share of the wait that is random, from 0 to 1."`
	OnExhausted     string         `yaml:"onExhausted" enum:"dlq|block|drop" doc:"What happens when the retries are used up."`
	Outage          string         `yaml:"outage" enum:"hold|count" doc:"Whether failures of an outage count against an event."`
	StopTheLine     *StopTheLine   `yaml:"stopTheLine" doc:"Stop the flow when many events in a row fail, instead of sending them all to the dead letter queue."`
}

// Transform changes the data of an event. CEL and Fields exclude each other.
type Transform struct {
	CEL            config.Text   `yaml:"cel" doc:"One CEL expression whose value becomes the data."`
	Fields         config.Fields `yaml:"fields" doc:"Instead of cel: one CEL expression for each field of the output."`
	Split          config.Text   `yaml:"split" doc:"CEL expression for a list: each element becomes an event of its own, with the id of the whole and #0, #1, … behind it. In cel, fields and cloudevents, data is then the element, and parent the data of the whole."`
	Timeout        time.Duration `yaml:"timeout" default:"5s" doc:"Longest time that the expressions of one event may take."`
	MaxOutputBytes config.Bytes  `yaml:"maxOutputBytes" default:"1MiB" doc:"Largest output of one event; a larger one is a dead letter (OUTPUT_TOO_LARGE)."`
}

// CloudEvents sets attributes of the outgoing event. An empty field keeps the attribute of the
// incoming event, or the identity of spec section 3.2.
type CloudEvents struct {
	ID         config.Text   `yaml:"id" doc:"CEL for id."`
	Type       config.Text   `yaml:"type" doc:"CEL for type."`
	Source     config.Text   `yaml:"source" doc:"CEL for source."`
	Subject    config.Text   `yaml:"subject" doc:"CEL for subject."`
	DataSchema config.Text   `yaml:"dataschema" doc:"CEL for dataschema."`
	Extensions config.Fields `yaml:"extensions" doc:"CEL for each extension attribute; names are lower-case letters and digits."`
}

// Delivery sets the order of events and limits the work in flight.
type Delivery struct {
	Ordering     string        `yaml:"ordering" reload:"restart" default:"key" enum:"key|partition|none" doc:"What stays in order: events of one key, whole partitions, or nothing. Under key a record without a key is unordered."`
	MaxInFlight  int           `yaml:"maxInFlight" reload:"restart" default:"1024" doc:"Most events in flight, and the farthest that finished work may run ahead of the oldest unsettled event of a partition."`
	Batch        *Batch        `yaml:"batch" reload:"swap" doc:"For sinks that take batches: limits of a batch."`
	DrainTimeout time.Duration `yaml:"drainTimeout" reload:"restart" default:"20s" doc:"How long calls in flight may take at a rebalance, a reload or the end."`
	Guarantee    string        `yaml:"guarantee" reload:"restart" default:"at-least-once" doc:"at-least-once; an event that is delivered twice keeps its id."`
}

// Batch sets when a batch is sent: as soon as one of the limits is reached.
type Batch struct {
	MaxEvents int           `yaml:"maxEvents" default:"100" doc:"Most events in a batch."`
	MaxBytes  config.Bytes  `yaml:"maxBytes" default:"1MiB" doc:"Most bytes of data in a batch."`
	MaxWait   time.Duration `yaml:"maxWait" default:"50ms" doc:"Longest time that an event waits for a batch to fill."`
}

// ErrorHandling sets the retries of an event, and what happens when they are used up.
type ErrorHandling struct {
	DeadLetterTopic string        `yaml:"deadLetterTopic" doc:"Kafka topic for events that cannot be delivered, on the cluster of the source; created if it is missing; default: fiso-dlq-{flow}."`
	DeadLetter      DeadLetter    `yaml:"deadLetter" doc:"Another place for events that cannot be delivered; required if the source is not kafka, unless onExhausted is block."`
	MaxRetries      int           `yaml:"maxRetries" default:"5" doc:"Retries after the first try of an event; 0: none."`
	Backoff         string        `yaml:"backoff" default:"exponential" enum:"exponential|linear|constant" doc:"How the wait between tries grows."`
	InitialInterval time.Duration `yaml:"initialInterval" default:"200ms" doc:"Wait before the first retry."`
	MaxInterval     time.Duration `yaml:"maxInterval" default:"30s" doc:"Longest wait between tries."`
	Jitter          float64       `yaml:"jitter" default:"0.2" doc:"Share of the wait that is random, from 0 to 1."`
	OnExhausted     string        `yaml:"onExhausted" default:"dlq" enum:"dlq|block|drop" doc:"What happens when the retries are used up: dead letter, keep trying, or drop and count."`
	Outage          string        `yaml:"outage" default:"hold" enum:"hold|count" doc:"hold: a failure that may be the sink's (it cannot be reached, does not answer, or answers 429, 502, 503 or 504) counts against an event only if the sink has answered for another one since; count: every failure counts."`
	StopTheLine     StopTheLine   `yaml:"stopTheLine" doc:"Stop the flow when many events in a row fail, instead of sending them all to the dead letter queue."`
}

// DeadLetter names a place for events that cannot be delivered.
type DeadLetter struct {
	Type   string     `yaml:"type" doc:"Kind of place; empty: deadLetterTopic on the cluster of the source."`
	Config config.Raw `yaml:"config" settings:"true" doc:"Settings of that place."`
}

// StopTheLine stops a flow when many events in a row fail.
type StopTheLine struct {
	Consecutive int `yaml:"consecutive" default:"20" doc:"So many messages in a row with dead letters hold the flow, which then probes with the head event; 0: off."`
}

// DeadLetterTopic returns the Kafka topic for dead letters, or its default.
func (f *Flow) DeadLetterTopic() string {
	if t := f.ErrorHandling.DeadLetterTopic; t != "" {
		return t
	}
	return "fiso-dlq-" + f.Name
}

// Outputs returns the sinks of the flow: sink as a list of one, or sinks.
func (f *Flow) Outputs() []Output {
	if len(f.Sinks) > 0 {
		return f.Sinks
	}
	name := f.Sink.Name
	if name == "" {
		name = f.Sink.Type
	}
	return []Output{{Name: name, Type: f.Sink.Type, Config: f.Sink.Config}}
}

// WithOverride returns e with the values that are set in o.
func (e ErrorHandling) WithOverride(o *OutputErrorHandling) ErrorHandling {
	switch {
	case o.DeadLetter.Type != "":
		e.DeadLetterTopic, e.DeadLetter = o.DeadLetterTopic, o.DeadLetter
	case o.DeadLetterTopic != "":
		e.DeadLetterTopic = o.DeadLetterTopic
	}
	set(&e.MaxRetries, o.MaxRetries)
	set(&e.InitialInterval, o.InitialInterval)
	set(&e.MaxInterval, o.MaxInterval)
	set(&e.Jitter, o.Jitter)
	set(&e.StopTheLine, o.StopTheLine)
	for _, s := range []struct{ to, from *string }{{&e.Backoff, &o.Backoff}, {&e.OnExhausted, &o.OnExhausted}, {&e.Outage, &o.Outage}} {
		if *s.from != "" {
			*s.to = *s.from
		}
	}
	return e
}

// set copies *from to *to if from is not nil.
func set[T any](to, from *T) {
	if from != nil {
		*to = *from
	}
}
