package plan

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/lsm/fiso/common/cloudevent"
	"github.com/lsm/fiso/common/config"
	"github.com/lsm/fiso/common/connector"
	"github.com/lsm/fiso/delivery/fault"
	"github.com/lsm/fiso/flow/spec"
	"github.com/lsm/fiso/flow/transform"
)

// Plan is one flow that passed every check which needs no network. It
// does not change, and is safe for concurrent use.
type Plan struct {
	File string
	Flow *spec.Flow

	source          source
	outputs         []*output
	deadLetterQueue deadLetters // of messages that become no event; nil: there is no place for them
	process         *transform.Transformer

	files                 []string
	sourceKey, versionKey string
	deadLetterKey         string
}

// Parse reads a flow file and checks it as a whole: keys and values, the
// settings of its connectors, and its expressions. Its error is of type
// config.Errors and holds all faults, in order of position; or *spec.Panic.
func Parse(file string, data []byte) (b *Plan, err error) {
	err = spec.Guard(file, func() error {
		b, err = parseUnguarded(file, data)
		return err
	})
	return b, err
}

// parseUnguarded is Parse without its barrier, so that a fuzz target sees a panic.
func parseUnguarded(file string, data []byte) (*Plan, error) {
	flow, faults := spec.Parse(file, data, types)
	if flow == nil {
		return nil, faults
	}
	b := &Plan{File: file, Flow: flow}
	c := &checker{file: file, faults: faults}
	b.connectors(c)
	b.refuseOwnLoop(c)
	b.expressions(c)
	if len(c.faults) > 0 {
		return nil, c.sorted()
	}
	b.fingerprints()
	return b, nil
}

// checker collects the faults of a file from those who know a part of it.
type checker struct {
	file   string
	faults config.Errors
}

func (c *checker) add(err error) { c.faults = append(c.faults, spec.Faults(c.file, err)...) }

func (c *checker) sorted() config.Errors {
	slices.SortStableFunc(c.faults, func(a, b *config.Error) int {
		if a.Pos.Line != b.Pos.Line {
			return a.Pos.Line - b.Pos.Line
		}
		return a.Pos.Column - b.Pos.Column
	})
	return slices.CompactFunc(c.faults, func(a, b *config.Error) bool { return a.Error() == b.Error() })
}

// connectors decodes what belongs to the connectors. A type that is not known
// was faulted before.
func (b *Plan) connectors(c *checker) {
	f := b.Flow
	if newSource, ok := sources[f.Source.Type]; ok {
		b.source = newSource()
		c.add(f.Source.Config.Decode(b.source))
	}
	b.outputs = b.outputsOf(c)
	b.deadLetterQueue = b.deadLetters(c, &f.ErrorHandling, "")
}

// deadLetters is the place for dead letters: the one that is named, or one beside
// what the source reads, or nil.
// instead is the topic that a sink names beside the flow's place, or "".
func (b *Plan) deadLetters(c *checker, e *spec.ErrorHandling, instead string) deadLetters {
	topic := cmp.Or(e.DeadLetterTopic, b.Flow.DeadLetterTopic())
	var l deadLetters
	if newLetters, ok := letterTypes[e.DeadLetter.Type]; ok {
		l = newLetters()
		c.add(e.DeadLetter.Config.Decode(l))
	} else if b.source != nil {
		l = b.source.deadLetters(topic)
	}
	if l != nil {
		l.take(topic, instead, b.Flow.Delivery.DrainTimeout)
	}
	return l
}

func (b *Plan) expressions(c *checker) {
	f := b.Flow
	var routes []transform.Route
	if b.several() {
		for _, o := range b.outputs {
			routes = append(routes, transform.Route{Name: o.Name, When: o.When, Key: o.key + ".when"})
		}
	}
	p, err := transform.New(transform.Config{
		Split: f.Transform.Split, Routes: routes, All: f.Routing == "all",
		Flow: f.Name, Filter: f.Filter, CEL: f.Transform.CEL, Fields: f.Transform.Fields,
		ID: f.CloudEvents.ID, Type: f.CloudEvents.Type, EventSource: f.CloudEvents.Source,
		Subject: f.CloudEvents.Subject, DataSchema: f.CloudEvents.DataSchema, Extensions: f.CloudEvents.Extensions,
		Timeout: f.Transform.Timeout, MaxOutputBytes: int(f.Transform.MaxOutputBytes),
	})
	b.process = p
	c.add(err)
}

// fingerprints notes what a reload compares, and what it watches.
func (b *Plan) fingerprints() {
	f := b.Flow
	var excluded []string
	if r, ok := b.source.(reader); ok {
		excluded = r.excluded()
	}
	b.sourceKey = fingerprint(tagged(f, "restart"), b.source, excluded)
	b.deadLetterKey = fingerprint(f.Name, b.deadLetterQueue)
	b.files = append(config.Files(b.source), deadLetterFiles(b.deadLetterQueue)...)
	var outputs []any
	for _, o := range b.outputs {
		o.sinkKey, o.deadLetterKey = fingerprint(f.Name, o.Name, o.Type, o.sink), fingerprint(f.Name, o.deadLetterQueue)
		outputs = append(outputs, o.sinkKey, o.deadLetterKey)
		b.files = append(b.files, config.Files(o.sink)...)
		b.files = append(b.files, deadLetterFiles(o.deadLetterQueue)...)
	}
	b.versionKey = fingerprint(tagged(f, "swap"), b.deadLetterKey, outputs)
	b.files = append(b.files, config.Files(f)...)
	slices.Sort(b.files)
	b.files = slices.Compact(b.files)
}

// deadLetterFiles are the files that a place for dead letters refers to.
func deadLetterFiles(l deadLetters) []string {
	if l == nil {
		return nil
	}
	return config.Files(l)
}

// Name is the flow's.
func (b *Plan) Name() string { return b.Flow.Name }

// Paused flows hold their place.
func (b *Plan) Paused() bool { return b.Flow.Paused }

// Files are the further files that the flow refers to: secrets, certificates,
// and what ${file:…} names.
func (b *Plan) Files() []string { return b.files }

// SourceKey is equal for two plans with the same source and the same
// bounds of delivery, wherever they are written.
func (b *Plan) SourceKey() string { return b.sourceKey }

// VersionKey is equal for two plans with the same transform, sinks and error
// handling.
func (b *Plan) VersionKey() string { return b.versionKey }

// DrainTimeout is delivery.drainTimeout.
func (b *Plan) DrainTimeout() time.Duration { return b.Flow.Delivery.DrainTimeout }

// Guarantees are those of the source.
func (b *Plan) Guarantees() connector.Guarantees { return guarantees(b.Flow.Source.Type) }

// ManyStreams reports whether the source may read several topics.
func (b *Plan) ManyStreams() bool { return b.source.manyStreams() }

// Guard calls do, which works on this flow: see spec.Guard.
func (b *Plan) Guard(do func() error) error { return spec.Guard(b.File, do) }

// Delivery is an event, and the sink that it would be given to.
type Delivery struct {
	Sink  string
	Event *cloudevent.Event
}

// Process takes one message through filter, transform, attributes and routing, for a command: see
// transform.Transformer.Transform. Data that a sink would have to write as JSON, and that is none, is an error.
func (b *Plan) Process(ctx context.Context, m *connector.Message) (all []Delivery, err error) {
	err = b.Guard(func() error {
		routed, err := b.process.Transform(ctx, m, nil)
		for _, r := range routed {
			o := b.outputs[r.Output]
			if err := r.Event.CheckData(); err != nil && o.sink.writesJSON() {
				return fault.New(fault.DecodeFailed, err)
			}
			all = append(all, Delivery{o.Name, r.Event})
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return all, nil
}

// One reports whether a message becomes one event for one sink, if any.
func (b *Plan) One() bool { return !b.several() && b.Flow.Transform.Split.IsZero() }
