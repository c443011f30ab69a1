package plan

import (
	"context"
	"io"
	"log/slog"
	"net"
	"time"

	"github.com/lsm/fiso/common/connector"
	fisohttp "github.com/lsm/fiso/connectors/http"
	"github.com/lsm/fiso/delivery"
	"github.com/lsm/fiso/delivery/deadletter"
	"github.com/lsm/fiso/flow/spec"
)

// connectors are those of this binary. One is added by a line here and a file that
// says how it is configured, built, explained and checked; the names in flow files,
// the JSON Schema, the tables of the README, validate and check follow from that.
var connectors = []connectorType{kafkaConnector, httpConnector, stdoutConnector, fileConnector}

// connectorType is a connector by the name that flow files give it, and what it
// can be in a flow: nil, where it cannot.
type connectorType struct {
	name        string
	guarantees  connector.Guarantees // of the source
	source      func() source
	sink        func() sink
	deadLetters func() deadLetters
}

// source is the decoded config of a source.
type source interface {
	// describe is one line for a person, without secrets.
	describe() string
	// manyStreams reports whether it may read more than one topic.
	manyStreams() bool
	// deadLetters is a place beside what the source reads, with a name of its
	// own; nil: the source has no such place.
	deadLetters(name string) deadLetters
	// build connects to nothing.
	build(f *spec.Flow, env Env) (connector.Source, error)
}

// sink is the decoded config of a sink.
type sink interface {
	describe() string
	// wantBatches says, before the config is decoded, that the flow asks for
	// batches: Validate refuses what this sink cannot do.
	wantBatches()
	// batch is when a batch for it is full though the flow does not ask for
	// batches, with the engine's defaults for what is 0; nil: it takes events
	// one by one.
	batch() *delivery.Batch
	// writesJSON reports whether events go out in the JSON format, where their
	// data has to be what it says.
	writesJSON() bool
	// compile prepares expressions of the config; they are part of the check.
	// key is the path of the sink in the file.
	compile(key string, f *spec.Flow) error
	build(env Env) (connector.Sink, error)
}

// deadLetters is the decoded config of a place for dead letters.
type deadLetters interface {
	describe() string
	// take sets what the place has from its flow: the name of a topic, where the
	// config has none, or the name that a sink gives instead, and how long a call
	// may go on at the end.
	take(topic, instead string, drain time.Duration)
	build(env Env) (deadletter.Writer, error)
	// check tries the place without writing to it.
	check(ctx context.Context) []connector.Step
	// read calls fn with what is stored there: see Plan.ReadDeadLetters.
	read(ctx context.Context, since time.Time, fn func(StoredLetter) error) error
}

// Env is what a process gives to the parts it builds. All fields are needed but
// Dial.
type Env struct {
	Logger *slog.Logger
	Stdout io.Writer // of the stdout sink
	OnGap  func()    // hears of records that a source no longer has
	// Listeners are the open ports of http sources.
	Listeners *fisohttp.Listeners
	// Dial opens every connection that a part makes, for tests on a network of
	// their own; nil: the net package does.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// byName gives the connectors that have a part, by their names.
func byName[T any](part func(*connectorType) func() T) (names []string, byName map[string]func() T) {
	byName = map[string]func() T{}
	for i := range connectors {
		if newPart := part(&connectors[i]); newPart != nil {
			names = append(names, connectors[i].name)
			byName[connectors[i].name] = newPart
		}
	}
	return names, byName
}

var (
	sourceNames, sources         = byName(func(c *connectorType) func() source { return c.source })
	sinkNames, sinks             = byName(func(c *connectorType) func() sink { return c.sink })
	deadLetterNames, letterTypes = byName(func(c *connectorType) func() deadLetters { return c.deadLetters })

	types = &spec.Types{
		Sources: sourceNames, Sinks: sinkNames, DeadLetters: deadLetterNames,
		KeepsDeadLetters: keepsDeadLetters,
	}
)

// guarantees are those of a source, by the connector's name.
func guarantees(source string) connector.Guarantees {
	for i := range connectors {
		if connectors[i].name == source {
			return connectors[i].guarantees
		}
	}
	return connector.Guarantees{}
}

// keepsDeadLetters is spec.Types.KeepsDeadLetters.
func keepsDeadLetters(name string) bool {
	newSource := sources[name]
	return newSource != nil && guarantees(name).Redelivers && newSource().deadLetters("any") != nil
}
