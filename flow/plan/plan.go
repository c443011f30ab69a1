package plan

import (
	"cmp"
	"slices"
	"time"

	"github.com/lsm/fiso/common/config"
	"github.com/lsm/fiso/common/connector"
	"github.com/lsm/fiso/flow/spec"
	"github.com/lsm/fiso/flow/transform"
)

// Plan is a flow that passed every check that needs no network. It is immutable and safe for
// concurrent use.
type Plan struct {
	File string
	Flow *spec.Flow

	source          source
	outputs         []*output
	deadLetterQueue deadLetters // for messages that cannot be decoded to an event; nil: none
	process         *transform.Transformer

	files                 []string
	sourceKey, versionKey string
	deadLetterKey         string
}

// Parse reads a flow file and checks everything: keys and values, the settings of its connectors,
// and its expressions. Its error is either config.Errors with all faults in order of position, or
// a *spec.Panic.
func Parse(file string, data []byte) (p *Plan, err error) {
	err = spec.Guard(file, func() error {
		p, err = parseUnguarded(file, data)
		return err
	})
	return p, err
}

// parseUnguarded is Parse without the recover, so that a fuzz target sees panics.
func parseUnguarded(file string, data []byte) (*Plan, error) {
	flow, faults := spec.Parse(file, data, types)
	if flow == nil {
		return nil, faults
	}
	p := &Plan{File: file, Flow: flow}
	c := &checker{file: file, faults: faults}
	p.connectors(c)
	p.refuseOwnLoop(c)
	p.expressions(c)
	if len(c.faults) > 0 {
		return nil, c.sorted()
	}
	p.fingerprints()
	return p, nil
}

// checker collects the faults of a file.
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

// connectors decodes the configs of the connectors. spec.Parse has already reported unknown types.
func (p *Plan) connectors(c *checker) {
	f := p.Flow
	if newSource, ok := sources[f.Source.Type]; ok {
		p.source = newSource()
		if s, ok := p.source.(flowSource); ok {
			s.setFlow(f.Name)
		}
		c.add(f.Source.Config.Decode(p.source))
	}
	p.outputs = p.decodeOutputs(c)
	p.deadLetterQueue = p.deadLetters(c, &f.ErrorHandling, "")
}

// deadLetters returns the place for dead letters that errorHandling names, or the default of the
// source, or nil. instead is the topic that a sink sets in place of the flow's, or "".
func (p *Plan) deadLetters(c *checker, e *spec.ErrorHandling, instead string) deadLetters {
	topic := cmp.Or(e.DeadLetterTopic, p.Flow.DeadLetterTopic())
	var l deadLetters
	if newLetters, ok := letterTypes[e.DeadLetter.Type]; ok {
		l = newLetters()
		c.add(e.DeadLetter.Config.Decode(l))
	} else if p.source != nil {
		l = p.source.deadLetters(topic)
	}
	if l != nil {
		l.setFromFlow(topic, instead, p.Flow.Delivery.DrainTimeout)
	}
	return l
}

func (p *Plan) expressions(c *checker) {
	f := p.Flow
	var routes []transform.Route
	if p.hasManySinks() {
		for _, o := range p.outputs {
			routes = append(routes, transform.Route{Name: o.Name, When: o.When, Key: o.key + ".when"})
		}
	}
	t, err := transform.New(transform.Config{
		Split: f.Transform.Split, Routes: routes, All: f.Routing == "all",
		Flow: f.Name, Filter: f.Filter, CEL: f.Transform.CEL, Fields: f.Transform.Fields,
		ID: f.CloudEvents.ID, Type: f.CloudEvents.Type, EventSource: f.CloudEvents.Source,
		Subject: f.CloudEvents.Subject, DataSchema: f.CloudEvents.DataSchema, Extensions: f.CloudEvents.Extensions,
		Timeout: f.Transform.Timeout, MaxOutputBytes: int(f.Transform.MaxOutputBytes),
	})
	p.process = t
	c.add(err)
}

// fingerprints computes the keys that a reload compares and the files that it watches.
func (p *Plan) fingerprints() {
	f := p.Flow
	var excluded []string
	if r, ok := p.source.(patternReader); ok {
		excluded = r.excluded()
	}
	p.sourceKey = fingerprint(fieldsWithReload(f, "restart"), p.source, excluded)
	p.deadLetterKey = fingerprint(f.Name, p.deadLetterQueue)
	p.files = append(config.Files(p.source), deadLetterFiles(p.deadLetterQueue)...)
	var outputs []any
	for _, o := range p.outputs {
		o.sinkKey, o.deadLetterKey = fingerprint(f.Name, o.Name, o.Type, o.sink), fingerprint(f.Name, o.deadLetterQueue)
		outputs = append(outputs, o.sinkKey, o.deadLetterKey)
		p.files = append(p.files, config.Files(o.sink)...)
		p.files = append(p.files, deadLetterFiles(o.deadLetterQueue)...)
	}
	p.versionKey = fingerprint(fieldsWithReload(f, "swap"), p.deadLetterKey, outputs)
	p.files = append(p.files, config.Files(f)...)
	slices.Sort(p.files)
	p.files = slices.Compact(p.files)
}

// deadLetterFiles returns the files that a place for dead letters refers to.
func deadLetterFiles(l deadLetters) []string {
	if l == nil {
		return nil
	}
	return config.Files(l)
}

// Name returns the name of the flow.
func (p *Plan) Name() string { return p.Flow.Name }

// Paused reports whether the flow is configured but must not run.
func (p *Plan) Paused() bool { return p.Flow.Paused }

// Files returns the paths of the files that the flow refers to: secrets, certificates, and files
// in ${file:…}.
func (p *Plan) Files() []string { return p.files }

// SourceKey is equal for two plans with the same source and the same delivery settings, even from
// different files.
func (p *Plan) SourceKey() string { return p.sourceKey }

// VersionKey is equal for two plans with the same transform, sinks and error handling.
func (p *Plan) VersionKey() string { return p.versionKey }

// DrainTimeout returns delivery.drainTimeout.
func (p *Plan) DrainTimeout() time.Duration { return p.Flow.Delivery.DrainTimeout }

// Guarantees returns the guarantees of the source.
func (p *Plan) Guarantees() connector.Guarantees { return guarantees(p.Flow.Source.Type) }

// ManyStreams reports whether the source may read several topics.
func (p *Plan) ManyStreams() bool { return p.source.manyStreams() }

// Guard calls do, which works on this flow: see spec.Guard.
func (p *Plan) Guard(do func() error) error { return spec.Guard(p.File, do) }
