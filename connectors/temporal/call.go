package temporal

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"unicode/utf8"

	"github.com/lsm/fiso/common/cloudevent"
	"github.com/lsm/fiso/common/connector"
)

// maxID is the longest name or id that a Temporal server takes by default, in bytes.
const maxID = 1000

// Call is what a sink sends for one event: the parts of a request that depend on the
// event. Which of them are needed depends on the action.
type Call struct {
	WorkflowID   string // default: <flow>-<id of the event>
	WorkflowType string // needed to start
	TaskQueue    string // needed to start

	// Args are the arguments of the workflow, each a JSON text. Nil: the event in its
	// JSON format. Empty, but not nil: no arguments. Likewise for a signal and an update.
	Args       [][]byte
	SignalName string
	SignalArgs [][]byte
	UpdateName string
	UpdateArgs [][]byte

	// Memo holds JSON texts by name. The name fiso-event is taken.
	Memo map[string][]byte
	// SearchAttributes by name.
	SearchAttributes map[string]SearchAttribute
	PriorityKey      int32  // 1 (first) to 5; 0: that of the server
	FairnessKey      string // at most 64 bytes
}

// SearchAttribute is a typed value. Value is a JSON text; null leaves the attribute out.
type SearchAttribute struct {
	Type  string // one of SearchAttributeTypes
	Value []byte
}

// CallFunc computes the Call of an event. Its error becomes that of Send: mark it with
// connector.AsUnsendable if a retry cannot help. It is called concurrently.
type CallFunc func(ctx context.Context, e *cloudevent.Event) (Call, error)

// callOf computes the call of an event, and checks that nothing is missing.
func (s *Sink) callOf(ctx context.Context, e *cloudevent.Event) (*Call, error) {
	c, err := s.opts.Call(ctx, e)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.name, err)
	}
	if c.WorkflowID == "" {
		c.WorkflowID = s.defaultID(e)
	}
	if err := s.checkCall(&c); err != nil {
		return nil, connector.AsUnsendable(fmt.Errorf("%s: event cannot be sent: %w", s.name, err))
	}
	return &c, nil
}

func (s *Sink) defaultID(e *cloudevent.Event) string {
	if s.opts.Flow == "" {
		return e.ID
	}
	return s.opts.Flow + "-" + e.ID
}

func (s *Sink) checkCall(c *Call) error {
	starts := s.cfg.Action != ActionSignal
	signals := s.cfg.Action == ActionSignal || s.cfg.Action == ActionSignalWithStart
	switch {
	case len(c.WorkflowID) > maxID:
		return fmt.Errorf("the workflow id has %d bytes, more than the %d that a Temporal server takes", len(c.WorkflowID), maxID)
	case starts && c.WorkflowType == "":
		return errors.New("the workflow type is empty")
	case starts && c.TaskQueue == "":
		return errors.New("the task queue is empty")
	case signals && c.SignalName == "":
		return errors.New("the name of the signal is empty")
	case s.cfg.Action == ActionUpdateWithStart && c.UpdateName == "":
		return errors.New("the name of the update is empty")
	case c.Memo[memoEvent] != nil:
		return fmt.Errorf("the memo %s is taken: the sink keeps the request id there", memoEvent)
	}
	return c.checkText()
}

// checkText refuses names that gRPC cannot send.
func (c *Call) checkText() error {
	names := []string{c.WorkflowID, c.WorkflowType, c.TaskQueue, c.SignalName, c.UpdateName, c.FairnessKey}
	names = slices.AppendSeq(names, maps.Keys(c.Memo))
	names = slices.AppendSeq(names, maps.Keys(c.SearchAttributes))
	for _, name := range names {
		if !utf8.ValidString(name) {
			return fmt.Errorf("the name or id %.64q is not UTF-8", name)
		}
	}
	return nil
}
