package plan

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/lsm/fiso/common/cloudevent"
	"github.com/lsm/fiso/common/config"
	"github.com/lsm/fiso/common/connector"
	fisohttp "github.com/lsm/fiso/connectors/http"
	"github.com/lsm/fiso/delivery"
	"github.com/lsm/fiso/delivery/fault"
	"github.com/lsm/fiso/flow/spec"
	"github.com/lsm/fiso/flow/transform"
)

var httpConnector = connectorType{
	name:       "http",
	guarantees: fisohttp.SourceGuarantees,
	source:     func() source { return new(httpSource) },
	sink:       func() sink { return new(httpSink) },
}

type httpSource struct {
	fisohttp.SourceConfig `yaml:",inline"`
}

func (c *httpSource) manyStreams() bool              { return false }
func (c *httpSource) deadLetters(string) deadLetters { return nil }

func (c *httpSource) describe() string {
	text := "POST to " + c.Path + " on " + c.Listen
	if c.Auth.Type == "hmac" {
		text += "; the signature covers the body alone, and a request that is sent again may have other headers: let callers send structured events"
	}
	return text
}

func (c *httpSource) build(f *spec.Flow, env Env) (connector.Source, error) {
	return fisohttp.NewSource(c.SourceConfig, fisohttp.SourceOptions{
		Listeners: env.Listeners, Name: f.Name, Logger: env.Logger, DrainTimeout: f.Delivery.DrainTimeout,
	})
}

type httpSink struct {
	fisohttp.SinkConfig `yaml:",inline"`

	EventHeaders config.Fields `yaml:"eventHeaders" doc:"CEL expressions for further headers, by name, evaluated on the outgoing event; null leaves a header out. Not in batch mode, where a request is for many events."`

	headers []headerExpression
	batches bool // the flow asks for batches
}

func (c *httpSink) describe() string {
	return c.Method + " " + config.Redact(c.URL) + ", CloudEvents in " + c.Mode + " mode"
}

func (c *httpSink) wantBatches()     { c.batches = true }
func (c *httpSink) writesJSON() bool { return c.Mode != fisohttp.ModeBinary }

func (c *httpSink) batch() *delivery.Batch {
	if c.Mode == fisohttp.ModeBatch {
		return &delivery.Batch{}
	}
	return nil
}

// Validate checks what depends on the flow, in addition to the checks of the connector.
func (c *httpSink) Validate() error {
	batch := c.Mode == fisohttp.ModeBatch
	var errs []error
	if c.batches && !batch {
		errs = append(errs, config.Fault("mode", "a batch needs mode: batch; in the other modes events go one by one"))
	}
	if len(c.EventHeaders) > 0 && batch {
		errs = append(errs, config.Fault("eventHeaders", "does not go with mode: batch, where a request is for many events"))
	}
	seen := map[string]bool{}
	for _, h := range c.EventHeaders {
		key, lower := "eventHeaders."+h.Name, strings.ToLower(h.Name)
		errs = append(errs, c.CheckHeader(key, h.Name))
		if seen[lower] {
			errs = append(errs, config.Fault(key, "this header is there twice, in another case of letters; leave one of the two out"))
		}
		seen[lower] = true
	}
	return errors.Join(errs...)
}

// headerExpression is a header name and the expression for its value.
type headerExpression struct {
	name string
	expression
}

func (c *httpSink) compile(key, _ string, _ *spec.Flow) error {
	var errs []error
	for _, h := range c.EventHeaders {
		x, err := transform.NewExpression(key+".config.eventHeaders."+h.Name, h.Value)
		errs = append(errs, err)
		c.headers = append(c.headers, headerExpression{h.Name, x})
	}
	return errors.Join(errs...)
}

// headersOf evaluates the expressions. If one fails, or its value cannot be sent in a header, the
// event cannot be sent.
func (c *httpSink) headersOf(ctx context.Context, e *cloudevent.Event) ([]connector.Header, error) {
	headers := make([]connector.Header, 0, len(c.headers))
	for _, h := range c.headers {
		value, err := h.Eval(ctx, e)
		switch {
		case err != nil && ctx.Err() != nil:
			return nil, fmt.Errorf("compute header %s: %w", h.name, ctx.Err())
		case err != nil:
			return nil, connector.AsUnsendable(fmt.Errorf("compute header %s: %w", h.name, err))
		case value != nil:
			if err := fisohttp.CheckHeaderValue(value); err != nil {
				return nil, connector.AsUnsendable(fault.New(fault.TransformFailed, fmt.Errorf("compute header %s: %w", h.name, err)))
			}
			headers = append(headers, connector.Header{Key: h.name, Value: value})
		}
	}
	return headers, nil
}

func (c *httpSink) expressions() config.Fields {
	all := make(config.Fields, 0, len(c.EventHeaders))
	for _, h := range c.EventHeaders {
		h.Name = "eventHeaders." + h.Name
		all = append(all, h)
	}
	return all
}

func (c *httpSink) additions(ctx context.Context, e *cloudevent.Event) (additions, error) {
	headers, err := c.headersOf(ctx, e)
	return additions{headers: headers}, err
}

func (c *httpSink) build(env Env) (connector.Sink, error) {
	opts := fisohttp.SinkOptions{Dial: env.Dial}
	if len(c.headers) > 0 {
		opts.Headers = c.headersOf
	}
	return fisohttp.NewSink(c.SinkConfig, opts)
}
