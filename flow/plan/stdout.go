package plan

import (
	"time"

	"github.com/lsm/fiso/common/connector"
	"github.com/lsm/fiso/delivery"
	"github.com/lsm/fiso/flow/stdout"
)

var stdoutConnector = connectorType{name: "stdout", sink: func() sink { return new(stdoutSink) }}

// stdoutSink has no settings.
type stdoutSink struct {
	stdout.Config `yaml:",inline"`
	noExpressions `yaml:"-"`
}

func (c *stdoutSink) describe() string { return "a line of JSON on standard output for each event" }
func (c *stdoutSink) wantBatches()     {}
func (c *stdoutSink) writesJSON() bool { return true }

// One write per event costs more than the rest of the sink. A user at a terminal does not notice
// the wait.
func (c *stdoutSink) batch() *delivery.Batch {
	return &delivery.Batch{MaxWait: time.Millisecond, Eager: true}
}

func (c *stdoutSink) build(env Env) (connector.Sink, error) { return stdout.New(env.Stdout), nil }
