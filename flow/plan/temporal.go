package plan

import (
	"fmt"

	"github.com/lsm/fiso/common/config"
	"github.com/lsm/fiso/common/connector"
	"github.com/lsm/fiso/connectors/temporal"
	"github.com/lsm/fiso/delivery"
	"github.com/lsm/fiso/flow/spec"
)

var temporalConnector = connectorType{
	name:       "temporal",
	guarantees: temporal.SourceGuarantees,
	source:     func() source { return new(temporalSource) },
	sink:       func() sink { return new(temporalSink) },
}

type temporalSource struct {
	temporal.SourceConfig `yaml:",inline"`
}

func (c *temporalSource) manyStreams() bool              { return false }
func (c *temporalSource) deadLetters(string) deadLetters { return nil }

func (c *temporalSource) describe() string {
	return fmt.Sprintf("activity %s on task queue %s, namespace %s of %s", temporal.ActivityName, c.TaskQueue, c.Namespace, c.Address)
}

func (c *temporalSource) build(f *spec.Flow, env Env) (connector.Source, error) {
	return temporal.NewSource(c.SourceConfig, temporal.SourceOptions{
		Name: f.Name, Logger: env.Logger, Dial: env.Dial, DrainTimeout: f.Delivery.DrainTimeout,
	})
}

// temporalSink adds expressions to the config of the connector, which does not use CEL. They are
// evaluated on the outgoing event.
type temporalSink struct {
	temporal.SinkConfig `yaml:",inline"`

	TaskQueue config.Text      `yaml:"taskQueue" doc:"CEL expression for the task queue of the workflow, such as '\"orders\"'; needed to start one."`
	Workflow  temporalWorkflow `yaml:"workflow" doc:"CEL expressions that name the workflow."`
	Args      []config.Text    `yaml:"args" doc:"CEL expressions for the arguments of the workflow. Default: the CloudEvent; []: none."`
	Signal    temporalMessage  `yaml:"signal" doc:"CEL expressions for the signal."`
	Update    temporalUpdate   `yaml:"update" doc:"CEL expressions for the update."`
	Memo      config.Fields    `yaml:"memo" doc:"CEL expressions for the memo of the workflow, by name; null leaves one out."`
	Priority  temporalPriority `yaml:"priority" doc:"CEL expressions for the priority of the workflow's tasks."`

	SearchAttributes map[string]temporalAttribute `yaml:"searchAttributes" doc:"Search attributes of the workflow, by name. They must exist in the namespace."`

	flow, name string
	calls      temporalExpressions
}

type temporalWorkflow struct {
	Type config.Text `yaml:"type" doc:"CEL expression for the type of the workflow, such as '\"Order\"'; needed to start one."`
	ID   config.Text `yaml:"id" doc:"CEL expression for the id of the workflow. Default: <flow>-<id of the event>."`
}

type temporalMessage struct {
	Name config.Text   `yaml:"name" doc:"CEL expression for the name."`
	Args []config.Text `yaml:"args" doc:"CEL expressions for the arguments. Default: the CloudEvent; []: none."`
}

type temporalUpdate struct {
	temporalMessage `yaml:",inline"`
	WaitFor         string `yaml:"waitFor" enum:"accepted|completed" doc:"How far the update must get before the event counts as delivered. Default: accepted."`
}

type temporalPriority struct {
	Key         config.Text `yaml:"key" doc:"CEL expression for a number from 1 (first) to 5. Default: that of the server, 3."`
	FairnessKey config.Text `yaml:"fairnessKey" doc:"CEL expression for the key among which the server shares out tasks, such as the tenant."`
}

type temporalAttribute struct {
	Type  string      `yaml:"type" required:"true" enum:"bool|datetime|double|int|keyword|keywordList|text" doc:"Type of the search attribute."`
	Value config.Text `yaml:"value" required:"true" doc:"CEL expression for the value; null leaves the attribute out."`
}

func (c *temporalSink) describe() string {
	return fmt.Sprintf("%s a workflow in namespace %s of %s", c.Action, c.Namespace, c.Address)
}

func (c *temporalSink) wantBatches()           {}
func (c *temporalSink) batch() *delivery.Batch { return nil }

// The event is an argument in its JSON format, unless all arguments are expressions.
func (c *temporalSink) writesJSON() bool { return c.calls.sendsEvent }

// Validate checks what the connector cannot see: which expressions the action needs.
func (c *temporalSink) Validate() error { return c.validateExpressions() }

func (c *temporalSink) build(env Env) (connector.Sink, error) {
	cfg := c.SinkConfig
	cfg.WaitFor = c.Update.WaitFor
	return temporal.NewSink(cfg, temporal.SinkOptions{
		Call: c.call, Flow: c.flow, SinkName: c.name, Dial: env.Dial, OnConflict: env.OnConflict,
		TaskQueues: c.constantQueues(), SearchAttributes: c.attributeTypes(),
	})
}
