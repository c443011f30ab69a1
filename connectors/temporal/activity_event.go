package temporal

import (
	"errors"
	"fmt"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/converter"

	"github.com/lsm/fiso/common/cloudevent"
	"github.com/lsm/fiso/common/connector"
)

// Headers of a message, besides its content type. They name the call that the event came
// from.
const (
	HeaderWorkflowID   = "temporal-workflow-id"
	HeaderRunID        = "temporal-run-id"
	HeaderWorkflowType = "temporal-workflow-type"
)

var structured = []byte(cloudevent.ContentTypeJSON)

// eventOf returns the bytes of the event, as they came, and its attributes. Its error says
// which attribute is wrong.
func eventOf(p *commonpb.Payload) (value []byte, e cloudevent.Event, err error) {
	switch encoding := string(p.GetMetadata()[converter.MetadataEncoding]); {
	case p == nil || encoding == converter.MetadataEncodingNil:
		return nil, e, errors.New("there is no argument; call " + ActivityName + " with a CloudEvent")
	case encoding != converter.MetadataEncodingJSON && encoding != converter.MetadataEncodingBinary:
		return nil, e, fmt.Errorf("the argument is encoded as %.64q; send a CloudEvent in its JSON format, as json/plain", encoding)
	}
	if err := cloudevent.ParseJSON(p.GetData(), &e); err != nil {
		return nil, e, err
	}
	return p.GetData(), e, e.Validate()
}

// fill sets the message from an event. Its bytes are not copied.
func (s *Source) fill(m *connector.Message, value []byte, e *cloudevent.Event, info *activity.Info) {
	m.ID, m.Value, m.Time = e.ID, value, e.Time
	if m.Time.IsZero() {
		m.Time = time.Now()
	}
	if key, ok := e.Extension("partitionkey"); ok {
		m.Key = []byte(key)
	}
	m.Position = connector.Position{Stream: s.opts.Name}
	m.Headers = append(make([]connector.Header, 0, 4), connector.Header{Key: "content-type", Value: structured})
	add := func(name, value string) {
		if value != "" {
			m.Headers = append(m.Headers, connector.Header{Key: name, Value: []byte(value)})
		}
	}
	add(HeaderWorkflowID, info.WorkflowExecution.ID)
	add(HeaderRunID, info.WorkflowExecution.RunID)
	if info.WorkflowType != nil {
		add(HeaderWorkflowType, info.WorkflowType.Name)
	}
}
