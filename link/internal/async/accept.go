package async

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/lsm/fiso/common/connector"
	"github.com/lsm/fiso/connectors/kafka"
	"github.com/lsm/fiso/link/internal/call"
	"github.com/lsm/fiso/link/internal/proxy"
	"github.com/lsm/fiso/link/internal/target"
)

// Accept answers a call that is made later: 202 once Kafka has it, and never
// before. It is proxy.Proxy.Defer.
func Accept(ctx context.Context, w call.ResponseWriter, c *proxy.Call) error {
	a := c.Target.Spec.Async
	id, err := identity(c.Header)
	if err != nil {
		return err
	}
	body, k, err := prepare(ctx, c, int64(a.MaxBodyBytes))
	if err != nil {
		return err
	}
	if _, err := storeRecord(ctx, c, encode(c, id, body, k, time.Now()), a.Timeout); err != nil {
		return err
	}
	h := call.Header{{Name: "Content-Type", Value: "application/json"}, {Name: "Preference-Applied", Value: "respond-async"}, {Name: "fiso-id", Value: id}}
	return c.Answer(w, 202, h, answerJSON(struct {
		ID string `json:"id"`
	}{id}))
}

// identity is the id of a call: the one that the application gives, so that it
// can send again under the same, or a new one.
func identity(h call.Header) (string, error) {
	if !h.Has("ce-id") {
		id, err := uuid.NewV7()
		if err != nil {
			return "", fmt.Errorf("make an id: %w", err)
		}
		return id.String(), nil
	}
	id := h.Get("ce-id")
	if id == "" || len(id) > maxIdentifier || strings.ContainsFunc(id, func(c rune) bool { return c <= ' ' || c >= 0x7f }) {
		return "", proxy.Refuse(call.BadRequest, fmt.Sprintf("ce-id is no id: write 1 to %d printable characters without spaces, or leave it away", maxIdentifier), 0)
	}
	return id, nil
}

// prepare is what every record needs: the whole body, and the key.
func prepare(ctx context.Context, c *proxy.Call, most int64) (body, k []byte, err error) {
	if body, err = c.ReadBody(ctx, most); err != nil {
		return nil, nil, err
	}
	k, err = c.Target.RecordKey(ctx, target.Request{Method: c.Method, Path: c.Path, Query: c.Query, Header: c.Header, Body: body})
	if err != nil {
		return nil, nil, proxy.Refuse(call.KeyFailed, "the expression for the key of this target's records fails for this call: "+err.Error(), 0)
	}
	return body, k, nil
}

// abandonGrace is how long put waits beyond the time in which the store tries a record,
// to hear that it could not.
const abandonGrace = 500 * time.Millisecond

// storeRecord stores a record, or says in which of three ways it did not.
func storeRecord(ctx context.Context, c *proxy.Call, r kafka.Record, patience time.Duration) (connector.Position, error) {
	ctx, cancel := context.WithTimeout(ctx, patience+abandonGrace)
	defer cancel()
	at, err := c.Target.Records.Append(ctx, r)
	switch {
	case err == nil:
		return at, nil
	case errors.Is(err, kafka.ErrTooLarge):
		return at, proxy.Refuse(call.BodyTooLarge, "the record is larger than its topic takes: send less, or raise the topic's max.message.bytes", 0)
	case errors.Is(err, kafka.ErrOutcomeUnknown), errors.Is(err, connector.ErrClosed):
		return at, proxy.Refuse(call.AsyncOutcomeUnknown, "Kafka has not said in time whether it has the record: it may be there. Send again, with the same ce-id where the target can tell calls by it", time.Second)
	}
	return at, proxy.Refuse(call.AsyncUnavailable, "Kafka did not take the record: "+err.Error(), time.Second)
}

func answerJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // texts and numbers
	}
	return append(b, '\n')
}
