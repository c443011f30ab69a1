package async

import (
	"context"
	"fmt"
	"strings"

	"github.com/lsm/fiso/common/cloudevent"
	"github.com/lsm/fiso/common/connector"
	"github.com/lsm/fiso/common/http1"
	"github.com/lsm/fiso/connectors/kafka"
	"github.com/lsm/fiso/link/internal/call"
	"github.com/lsm/fiso/link/internal/proxy"
)

// Publish handles a call to a target of protocol kafka. It answers 200 once Kafka has
// the body. It is proxy.Proxy.Publish.
func Publish(ctx context.Context, w http1.ResponseWriter, c *proxy.Call) error {
	k := c.Target.Spec.Kafka
	switch {
	case c.Method != "POST":
		return proxy.Refuse(call.MethodNotAllowed, "publish to a topic with POST", 0)
	case c.Path != "/":
		return proxy.Refuse(call.PathNotAllowed, "a topic has no paths: publish to /link/"+c.Target.Spec.Name, 0)
	}
	h, err := publishedHeaders(c)
	if err != nil {
		return err
	}
	body, key, err := prepare(ctx, c, int64(k.MaxBodyBytes))
	if err != nil {
		return err
	}
	at, err := storeRecord(ctx, c, kafka.Record{Topic: k.Topic, Key: key, Value: body, Headers: h}, k.Timeout)
	if err != nil {
		return err
	}
	stored := struct {
		Topic     string `json:"topic"`
		Partition int32  `json:"partition"`
		Offset    int64  `json:"offset"` // -1: the broker did not say
	}{at.Stream, at.Partition, at.Offset}
	return c.Answer(w, 200, http1.Header{{Name: "Content-Type", Value: "application/json"}}, answerJSON(stored))
}

// publishedHeaders returns the record headers of a published body: its content type and
// trace context, or, for a CloudEvent in binary mode, its attributes (Kafka protocol
// binding).
func publishedHeaders(c *proxy.Call) ([]connector.Header, error) {
	var e cloudevent.Event
	ok, err := cloudevent.FromHeaders(cloudevent.HTTPPrefix, func(yield func(string, []byte) bool) {
		for _, f := range c.Header {
			if !yield(strings.ToLower(f.Name), []byte(f.Value)) {
				return
			}
		}
	}, &e)
	if ok {
		err = e.Validate()
	}
	if err != nil {
		return nil, proxy.Refuse(call.BadRequest, fmt.Sprintf("the ce- headers are not a valid CloudEvent: %v", err), 0)
	}
	if ok {
		setTrace(&e, c)
		return headers(&e, nil), nil
	}
	var out []connector.Header
	add := func(name, value string) {
		if value != "" {
			out = append(out, connector.Header{Key: name, Value: []byte(value)})
		}
	}
	parent, state := c.Trace()
	add(contentType, c.Header.Get(contentType))
	add("traceparent", parent)
	add("tracestate", state)
	return out, nil
}
