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
	"github.com/lsm/fiso/common/http1"
	"github.com/lsm/fiso/connectors/kafka"
	"github.com/lsm/fiso/link/internal/call"
	"github.com/lsm/fiso/link/internal/proxy"
	"github.com/lsm/fiso/link/internal/target"
)

// Accept stores a call in Kafka to be made later. It answers 202 once Kafka has the
// record. It is proxy.Proxy.Defer.
func Accept(ctx context.Context, w http1.ResponseWriter, c *proxy.Call) error {
	a := c.Target.Spec.Async
	id, err := callID(c.Header)
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
	h := http1.Header{{Name: "Content-Type", Value: "application/json"}, {Name: "Preference-Applied", Value: "respond-async"}, {Name: "fiso-id", Value: id}}
	return c.Answer(w, 202, h, answerJSON(struct {
		ID string `json:"id"`
	}{id}))
}

// callID returns the id of a call: the ce-id that the application sent, which it can
// send again with a retry, or a new one.
func callID(h http1.Header) (string, error) {
	if !h.Has("ce-id") {
		id, err := uuid.NewV7()
		if err != nil {
			return "", fmt.Errorf("make an id: %w", err)
		}
		return id.String(), nil
	}
	id := h.Get("ce-id")
	if id == "" || len(id) > maxIdentifier || strings.ContainsFunc(id, func(c rune) bool { return c <= ' ' || c >= 0x7f }) {
		return "", proxy.Refuse(call.BadRequest, fmt.Sprintf("ce-id is not a valid id: send 1 to %d printable characters without spaces, or no ce-id", maxIdentifier), 0)
	}
	return id, nil
}

// prepare reads the whole body and evaluates the record's key.
func prepare(ctx context.Context, c *proxy.Call, maxBytes int64) (body, k []byte, err error) {
	if body, err = c.ReadBody(ctx, maxBytes); err != nil {
		return nil, nil, err
	}
	k, err = c.Target.RecordKey(ctx, target.Request{Method: c.Method, Path: c.Path, Query: c.Query, Header: c.Header, Body: body})
	if err != nil {
		return nil, nil, proxy.Refuse(call.KeyFailed, "the expression for the key of this target's records fails for this call: "+err.Error(), 0)
	}
	return body, k, nil
}

// abandonGrace is how long storeRecord waits after the delivery timeout of the store,
// to learn that the record was not written.
const abandonGrace = 500 * time.Millisecond

// storeRecord writes a record to Kafka. Its error says whether the record is too large,
// was not written, or has an unknown outcome.
func storeRecord(ctx context.Context, c *proxy.Call, r kafka.Record, timeout time.Duration) (connector.Position, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout+abandonGrace)
	defer cancel()
	at, err := c.Target.Records.Append(ctx, r)
	switch {
	case err == nil:
		return at, nil
	case errors.Is(err, kafka.ErrTooLarge):
		return at, proxy.Refuse(call.BodyTooLarge, "the record is larger than its topic takes: send less, or raise the topic's max.message.bytes", 0)
	case errors.Is(err, kafka.ErrOutcomeUnknown), errors.Is(err, connector.ErrClosed):
		return at, proxy.Refuse(call.AsyncOutcomeUnknown, "Kafka did not confirm the record in time, so it may or may not be stored. Send again, with the same ce-id if the target detects duplicates", time.Second)
	}
	return at, proxy.Refuse(call.AsyncUnavailable, "Kafka did not take the record: "+err.Error(), time.Second)
}

func answerJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // cannot fail: strings and numbers only
	}
	return append(b, '\n')
}
