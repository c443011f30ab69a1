package plan

import (
	"context"
	"io"
	"log/slog"
	"net"
	"time"

	"github.com/lsm/fiso/common/cloudevent"
	"github.com/lsm/fiso/common/config"
	"github.com/lsm/fiso/common/connector"
	fisogrpc "github.com/lsm/fiso/connectors/grpc"
	fisohttp "github.com/lsm/fiso/connectors/http"
	"github.com/lsm/fiso/delivery"
	"github.com/lsm/fiso/delivery/deadletter"
	"github.com/lsm/fiso/flow/spec"
)

// connectors are the connectors in this binary. A new connector needs a line here and a file that
// configures, builds, explains and checks it. Flow files, the JSON Schema, the tables of the
// README and the commands validate and check use this list.
var connectors = []connectorType{kafkaConnector, httpConnector, grpcConnector, temporalConnector, stdoutConnector, fileConnector}

// connectorType is a connector with its name in flow files and the parts of a flow that it
// implements. A part is nil if the connector does not implement it.
type connectorType struct {
	name        string
	guarantees  connector.Guarantees // of the source
	source      func() source
	sink        func() sink
	deadLetters func() deadLetters
}

// source is the decoded config of a source.
type source interface {
	// describe returns the settings in one line, without secrets.
	describe() string
	// manyStreams reports whether the source may read more than one topic.
	manyStreams() bool
	// deadLetters returns the source's default place for dead letters with this name, or nil if it
	// has none.
	deadLetters(name string) deadLetters
	// build opens no connection.
	build(f *spec.Flow, env Env) (connector.Source, error)
}

// flowSource is a source that needs the name of its flow before it is built.
type flowSource interface{ setFlow(name string) }

// sink is the decoded config of a sink.
type sink interface {
	describe() string
	// wantBatches is called before the config is decoded if the flow asks for batches, so that
	// Validate can refuse them.
	wantBatches()
	// batch returns the limits of a batch for a flow that sets none; zero fields get the defaults
	// of the engine. nil: the sink takes single events.
	batch() *delivery.Batch
	// writesJSON reports whether the sink writes events in the JSON format. The data of an event
	// with a JSON content type must then be valid JSON.
	writesJSON() bool
	// compile compiles the expressions of the config. key is the path of the sink in the flow
	// file.
	compile(key, name string, f *spec.Flow) error
	// expressions returns the expressions of the config, by key.
	expressions() config.Fields
	// additions evaluates the expressions on an event that is not sent, as the sink does before it
	// sends one.
	additions(ctx context.Context, e *cloudevent.Event) (additions, error)
	build(env Env) (connector.Sink, error)
}

// noExpressions is a part of a sink whose config has no expressions.
type noExpressions struct{}

func (noExpressions) compile(string, string, *spec.Flow) error { return nil }
func (noExpressions) expressions() config.Fields               { return nil }

func (noExpressions) additions(context.Context, *cloudevent.Event) (additions, error) {
	return additions{}, nil
}

// additions are what a sink sends in addition to an event.
type additions struct {
	key     []byte // of a record; nil: none
	headers []connector.Header
}

// deadLetters is the decoded config of a place for dead letters.
type deadLetters interface {
	describe() string
	// setFromFlow sets what depends on the flow: the topic, unless the config names one or the
	// sink overrides it, and the limit for one call while the flow drains.
	setFromFlow(topic, instead string, drain time.Duration)
	build(env Env) (deadletter.Writer, error)
	// check connects to the place and writes nothing to it.
	check(ctx context.Context) []connector.Step
	// name names the place for the user: the topic or the path of the file.
	name() string
	// servers are the brokers of a topic; nil for a file.
	servers() []string
	// read calls fn with each stored dead letter, with its In empty: see Plan.ReadDeadLetters.
	read(ctx context.Context, since time.Time, fn func(StoredLetter) error) error
}

// Env is what a process provides to the parts that it builds. All fields but Dial are required.
type Env struct {
	Logger *slog.Logger
	Stdout io.Writer // for the stdout sink
	OnGap  func()    // called when records were deleted before the source read them
	// OnConflict is called for each event whose workflow another event had started.
	OnConflict func(accepted bool)
	// Listeners are the open ports of http sources.
	Listeners *fisohttp.Listeners
	// GRPCListeners are the open ports of grpc sources.
	GRPCListeners *fisogrpc.Listeners
	// Dial opens every connection of a part; nil: the net package. Tests set it.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// connectorsWith returns the connectors that implement a part: their names, and the constructors
// of the config by name.
func connectorsWith[T any](part func(*connectorType) func() T) (names []string, byName map[string]func() T) {
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
	sourceNames, sources         = connectorsWith(func(c *connectorType) func() source { return c.source })
	sinkNames, sinks             = connectorsWith(func(c *connectorType) func() sink { return c.sink })
	deadLetterNames, letterTypes = connectorsWith(func(c *connectorType) func() deadLetters { return c.deadLetters })

	types = &spec.Types{
		Sources: sourceNames, Sinks: sinkNames, DeadLetters: deadLetterNames,
		KeepsDeadLetters: keepsDeadLetters,
	}
)

// guarantees returns the guarantees of the source with this connector name.
func guarantees(source string) connector.Guarantees {
	for i := range connectors {
		if connectors[i].name == source {
			return connectors[i].guarantees
		}
	}
	return connector.Guarantees{}
}

// keepsDeadLetters implements spec.Types.KeepsDeadLetters.
func keepsDeadLetters(name string) bool {
	newSource := sources[name]
	return newSource != nil && guarantees(name).Redelivers && newSource().deadLetters("any") != nil
}
