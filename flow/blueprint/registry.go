package blueprint

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

// source is the decoded config of a source type.
type source interface {
	// tell is one line for a person, without secrets.
	tell() string
	// broker: it keeps positions, and takes a while to assign them.
	broker() bool
	// manyTopics reports whether it may read several.
	manyTopics() bool
	// build connects to nothing.
	build(f *spec.Flow, env Env) (connector.Source, error)
}

// sink is the decoded config of a sink type.
type sink interface {
	tell() string
	// ask says, before the config is decoded, whether the flow wants batches:
	// Validate refuses what this sink cannot do.
	ask(batches bool)
	// gathers is when a batch for it is full though the flow does not ask for
	// batches, with the engine's defaults for what is 0; nil: it takes events
	// one by one.
	gathers() *delivery.Batch
	// writesJSON reports whether events go out in the JSON format, where their
	// data has to be what it says.
	writesJSON() bool
	// compile prepares expressions of the config; they are part of the check.
	// key is the path of the sink in the file.
	compile(key string, f *spec.Flow) error
	build(env Env) (connector.Sink, error)
}

// letters is the decoded config of a place for dead letters.
type letters interface {
	tell() string
	build(env Env) (deadletter.Writer, error)
	// check tries the place without writing to it.
	check(ctx context.Context) []connector.Step
	// read calls fn with what is stored there: see Blueprint.ReadDeadLetters.
	read(ctx context.Context, since time.Time, fn func(StoredLetter) error) error
}

// The connectors of this binary. A type is added here and nowhere else; its
// name stands in the lists of package spec too, which a test compares.
var (
	sources = map[string]func() source{
		"kafka": func() source { return new(kafkaSource) },
		"http":  func() source { return new(httpSource) },
	}
	sinks = map[string]func() sink{
		"http":   func() sink { return new(httpSink) },
		"kafka":  func() sink { return new(kafkaSink) },
		"stdout": func() sink { return new(stdoutSink) },
	}
	letterPlaces = map[string]func() letters{
		"kafka": func() letters { return new(kafkaLetters) },
		"file":  func() letters { return new(fileLetters) },
	}
)
