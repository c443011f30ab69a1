package temporal

import (
	"errors"
	"time"

	"github.com/lsm/fiso/common/config"
)

// Actions of a sink: what it does for an event.
const (
	ActionStart           = "start"           // start a workflow
	ActionSignal          = "signal"          // signal a running workflow
	ActionSignalWithStart = "signalWithStart" // signal a workflow, and start it if it does not run
	ActionUpdateWithStart = "updateWithStart" // update a workflow, and start it if it does not run
)

// Values of SinkConfig.Reuse.
const (
	ReuseReject      = "reject"
	ReuseAllow       = "allow"
	ReuseAllowFailed = "allowFailed"
)

// Values of SinkConfig.OnConflict and SinkConfig.OnNotFound.
const (
	Accept = "accept"
	Reject = "reject"
	Retry  = "retry"
)

// Values of SinkConfig.Int64.
const (
	Int64Number = "number"
	Int64String = "string"
)

// Values of SinkConfig.WaitFor.
const (
	WaitAccepted  = "accepted"
	WaitCompleted = "completed"
)

// SinkConfig is the configuration of a Sink. A zero field takes the default in its tag.
// What depends on the event, such as the workflow id, is a Call.
type SinkConfig struct {
	ClientConfig `yaml:",inline"`

	Action     string `yaml:"action" default:"start" enum:"start|signal|signalWithStart|updateWithStart" doc:"What to do for an event."`
	Reuse      string `yaml:"reuse" enum:"reject|allow|allowFailed" doc:"Whether the id of a closed workflow may be used again; allowFailed: if it did not complete. Default: reject for start, allow for signalWithStart and updateWithStart."`
	OnConflict string `yaml:"onConflict" enum:"accept|reject" doc:"Of start, if another event has started the workflow: accept (default) counts the event as delivered, reject refuses it for good."`
	OnNotFound string `yaml:"onNotFound" enum:"retry|reject" doc:"Of signal, if the workflow does not run: retry (default) as any temporary failure, or reject the event for good."`
	Int64      string `yaml:"int64" default:"number" enum:"number|string" doc:"How integers beyond 2^53 are written in arguments and memos; string, for workflows in a language that reads them as doubles (Node)."`

	PerWorkflow PerWorkflow   `yaml:"perWorkflow" doc:"Pacing, so that no workflow gets more than it can handle."`
	Timeouts    Timeouts      `yaml:"timeouts" doc:"Timeouts of an attempt and of the workflow."`
	Retry       RetryPolicy   `yaml:"retry" doc:"Retry policy of the workflow; default: none. Not with signalWithStart: the next run would not get the signal."`
	StartDelay  time.Duration `yaml:"startDelay" doc:"How long a new workflow waits before its first task. Not with updateWithStart."`
	Codec       Codec         `yaml:"codec" doc:"Remote codec that encrypts arguments and memos. Ids, search attributes and headers stay readable."`

	// WaitFor is how far an update must get: WaitAccepted (default) or WaitCompleted.
	// In a flow file it stands beside the expressions of the update, in update.waitFor.
	WaitFor string `yaml:"-"`
}

// PerWorkflow limits the calls for one workflow id.
type PerWorkflow struct {
	MaxPerSecond float64 `yaml:"maxPerSecond" doc:"Most calls a second for one workflow id; further ones wait. Default: no limit."`
}

// Timeouts bound an attempt, and the workflow that it starts.
type Timeouts struct {
	Attempt   time.Duration `yaml:"attempt" default:"10s" doc:"Longest time for one attempt, the codec included. An update must get as far as it should within it."`
	Execution time.Duration `yaml:"execution" doc:"Longest time for the workflow, all its runs included. Default: no limit."`
	Run       time.Duration `yaml:"run" doc:"Longest time for one run of the workflow. Default: that of execution."`
	Task      time.Duration `yaml:"task" doc:"Longest time for one workflow task. Default: that of the server, 10s."`
}

// RetryPolicy is the retry policy of a workflow. The zero value is none: a failed
// workflow is not run again.
type RetryPolicy struct {
	InitialInterval    time.Duration  `yaml:"initialInterval" doc:"Wait before the second run. Default: 1s."`
	BackoffCoefficient float64        `yaml:"backoffCoefficient" doc:"By how much each wait is longer than the one before. Default: 2."`
	MaximumInterval    time.Duration  `yaml:"maximumInterval" doc:"Longest wait. Default: 100 times the first."`
	MaximumAttempts    int            `yaml:"maximumAttempts" doc:"Most runs. Default: no limit."`
	NonRetryable       config.Strings `yaml:"nonRetryableErrorTypes" doc:"Types of application errors after which there is no further run."`
}

func (r *RetryPolicy) isZero() bool {
	return r.InitialInterval == 0 && r.BackoffCoefficient == 0 && r.MaximumInterval == 0 && r.MaximumAttempts == 0 && len(r.NonRetryable) == 0
}

// Validate joins all faults of the configuration.
func (c *SinkConfig) Validate() error {
	return errors.Join(c.ClientConfig.Validate(), c.validateAction(), c.validateTimes(), c.validateRetry(), c.Codec.validate())
}

// validateAction refuses settings that the action would ignore.
func (c *SinkConfig) validateAction() error {
	var faults []error
	only := func(key string, set bool, allowed ...string) {
		if !set {
			return
		}
		for _, action := range allowed {
			if c.Action == action {
				return
			}
		}
		faults = append(faults, config.Fault(key, "has no effect with action: %s; leave it out", c.Action))
	}
	starts := []string{ActionStart, ActionSignalWithStart, ActionUpdateWithStart}
	only("reuse", c.Reuse != "", starts...)
	only("onConflict", c.OnConflict != "", ActionStart)
	only("onNotFound", c.OnNotFound != "", ActionSignal)
	only("update.waitFor", c.WaitFor != "", ActionUpdateWithStart)
	only("timeouts.execution", c.Timeouts.Execution != 0, starts...)
	only("timeouts.run", c.Timeouts.Run != 0, starts...)
	only("timeouts.task", c.Timeouts.Task != 0, starts...)
	only("retry", !c.Retry.isZero() && c.Action != ActionSignalWithStart, starts...)
	if c.Action == ActionSignalWithStart && !c.Retry.isZero() {
		faults = append(faults, config.Fault("retry", "does not go with action: signalWithStart: a run after the first would not get the signal; let the workflow retry its activities"))
	}
	switch {
	case c.StartDelay == 0:
	case c.Action == ActionUpdateWithStart:
		faults = append(faults, config.Fault("startDelay", "does not go with action: updateWithStart: a Temporal server refuses to delay a workflow with an update"))
	default:
		only("startDelay", true, starts...)
	}
	if c.WaitFor != "" && c.WaitFor != WaitAccepted && c.WaitFor != WaitCompleted {
		faults = append(faults, config.Fault("update.waitFor", "%q is neither accepted nor completed", c.WaitFor))
	}
	return errors.Join(faults...)
}

func (c *SinkConfig) validateTimes() error {
	var faults []error
	for _, d := range []struct {
		key   string
		value time.Duration
	}{
		{"timeouts.execution", c.Timeouts.Execution}, {"timeouts.run", c.Timeouts.Run}, {"timeouts.task", c.Timeouts.Task},
		{"startDelay", c.StartDelay}, {"retry.initialInterval", c.Retry.InitialInterval}, {"retry.maximumInterval", c.Retry.MaximumInterval},
	} {
		if d.value < 0 {
			faults = append(faults, config.Fault(d.key, "must not be negative"))
		}
	}
	if c.Timeouts.Attempt <= 0 {
		faults = append(faults, config.Fault("timeouts.attempt", "must be more than 0, such as 10s"))
	}
	if n := c.PerWorkflow.MaxPerSecond; n != 0 && !(n >= minPace && n <= maxPace) { // NaN too
		faults = append(faults, config.Fault("perWorkflow.maxPerSecond", "must be between %v and %v", minPace, maxPace))
	}
	return errors.Join(faults...)
}

func (c *SinkConfig) validateRetry() error {
	r, faults := &c.Retry, []error(nil)
	if r.BackoffCoefficient != 0 && !(r.BackoffCoefficient >= 1) {
		faults = append(faults, config.Fault("retry.backoffCoefficient", "must be at least 1"))
	}
	if r.MaximumAttempts < 0 || r.MaximumAttempts > 1<<31-1 {
		faults = append(faults, config.Fault("retry.maximumAttempts", "must be 0 (no limit) or a number of runs"))
	}
	if r.MaximumInterval != 0 && r.MaximumInterval < r.InitialInterval {
		faults = append(faults, config.Fault("retry.maximumInterval", "must not be less than initialInterval"))
	}
	return errors.Join(faults...)
}

// withDefaults fills in what depends on the action.
func (c *SinkConfig) withDefaults() {
	if c.Reuse == "" {
		if c.Reuse = ReuseAllow; c.Action == ActionStart {
			c.Reuse = ReuseReject
		}
	}
	if c.OnConflict == "" {
		c.OnConflict = Accept
	}
	if c.OnNotFound == "" {
		c.OnNotFound = Retry
	}
	if c.WaitFor == "" {
		c.WaitFor = WaitAccepted
	}
}
