package blueprint

import (
	"github.com/lsm/fiso/common/config"
	"github.com/lsm/fiso/common/connector"
	fisohttp "github.com/lsm/fiso/connectors/http"
	"github.com/lsm/fiso/delivery"
	"github.com/lsm/fiso/flow/spec"
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

	batches bool // the flow asks for them
}

func (c *httpSink) describe() string {
	return c.Method + " " + config.Redact(c.URL) + ", CloudEvents in " + c.Mode + " mode"
}

func (c *httpSink) wantBatches()                     { c.batches = true }
func (c *httpSink) writesJSON() bool                 { return c.Mode != fisohttp.ModeBinary }
func (c *httpSink) compile(string, *spec.Flow) error { return nil }

func (c *httpSink) batch() *delivery.Batch {
	if c.Mode == fisohttp.ModeBatch {
		return &delivery.Batch{}
	}
	return nil
}

// Validate adds to the connector's own what only the flow can tell.
func (c *httpSink) Validate() error {
	if c.batches && c.Mode != fisohttp.ModeBatch {
		return config.Fault("mode", "a batch needs mode: batch; in the other modes events go one by one")
	}
	return nil
}

func (c *httpSink) build(env Env) (connector.Sink, error) {
	return fisohttp.NewSink(c.SinkConfig, fisohttp.SinkOptions{Dial: env.Dial})
}
