package temporal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	commonpb "go.temporal.io/api/common/v1"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/lsm/fiso/common/connector"
)

// maxCodecAnswer is the largest answer of a codec server, in bytes. The Temporal server
// takes requests of 4 MiB, of which an encrypted payload in base64 would have 6.
const maxCodecAnswer = 16 << 20

// codec encrypts and decrypts payloads by the remote codec protocol: POST <endpoint>/encode
// or /decode with payloads in the JSON form of protobuf, which come back in the same order.
// nil leaves payloads as they are. It is safe for concurrent use.
type codec struct {
	endpoint  string
	namespace string
	conf      Codec
	client    *http.Client
}

// newCodec returns nil if no codec is configured.
func newCodec(conf Codec, namespace string) (*codec, error) {
	if conf.Endpoint == "" {
		return nil, nil
	}
	client, err := newHTTPClient(conf.TLS)
	if err != nil {
		return nil, fmt.Errorf("codec.tls: %w", err)
	}
	endpoint := strings.ReplaceAll(conf.Endpoint, "{namespace}", url.PathEscape(namespace))
	return &codec{endpoint: strings.TrimSuffix(endpoint, "/"), namespace: namespace, conf: conf, client: client}, nil
}

// encode encrypts the payloads in place, with one call of the codec server. If it fails,
// the payloads are unchanged and must not be sent. Every failure counts as an outage:
// what one event cannot pass, a server in another version may let through.
func (c *codec) encode(ctx context.Context, payloads ...*commonpb.Payload) error {
	return c.convert(ctx, "/encode", payloads)
}

// decode decrypts the payloads in place, with one call of the codec server. If it fails,
// the payloads are unchanged. Every failure counts as an outage.
func (c *codec) decode(ctx context.Context, payloads ...*commonpb.Payload) error {
	return c.convert(ctx, "/decode", payloads)
}

// conceals reports whether texts about a payload must be kept out of the history.
func (c *codec) conceals() bool { return c != nil }

func (c *codec) convert(ctx context.Context, path string, payloads []*commonpb.Payload) error {
	if c == nil || len(payloads) == 0 {
		return nil
	}
	converted, err := c.ask(ctx, path, payloads)
	if err == nil && path == "/encode" {
		err = checkEncrypted(converted)
	}
	if err != nil {
		return connector.AsUnavailable(fmt.Errorf("codec %s%s: %w", c.endpoint, path, err), 0)
	}
	for i, p := range payloads {
		p.Metadata, p.Data = converted[i].GetMetadata(), converted[i].GetData()
	}
	return nil
}

// checkEncrypted fails if the codec server sent a payload back as it was.
func checkEncrypted(payloads []*commonpb.Payload) error {
	for _, p := range payloads {
		if string(p.GetMetadata()["encoding"]) == encodingJSON {
			return errors.New("the answer holds a payload that is still plain JSON; check that the codec server has a key for this namespace")
		}
	}
	return nil
}

func (c *codec) ask(ctx context.Context, path string, payloads []*commonpb.Payload) ([]*commonpb.Payload, error) {
	body, err := protojson.Marshal(&commonpb.Payloads{Payloads: payloads})
	if err != nil {
		return nil, fmt.Errorf("write the payloads as JSON: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, c.conf.Timeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.endpoint+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("X-Namespace", c.namespace)
	answer, err := c.client.Do(r)
	if err != nil {
		if failed, ok := errors.AsType[*url.Error](err); ok {
			err = failed.Err // the caller names the URL
		}
		return nil, err
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode != http.StatusOK {
		// The answer may repeat what should be encrypted, so it is not quoted.
		return nil, fmt.Errorf("the codec server answered %d; see its log", answer.StatusCode)
	}
	text, err := io.ReadAll(io.LimitReader(answer.Body, maxCodecAnswer+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("read the answer: %w", err)
	case len(text) > maxCodecAnswer:
		return nil, fmt.Errorf("the answer is larger than %d MiB", maxCodecAnswer>>20)
	}
	var out commonpb.Payloads
	if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(text, &out); err != nil {
		return nil, errors.New("the answer is not a list of payloads; check that codec.endpoint is a codec server")
	}
	if len(out.GetPayloads()) != len(payloads) {
		return nil, fmt.Errorf("the answer has %d payloads for %d", len(out.GetPayloads()), len(payloads))
	}
	return out.GetPayloads(), nil
}

func (c *codec) close() {
	if c != nil {
		c.client.CloseIdleConnections()
	}
}
