package blueprint

import (
	"github.com/lsm/fiso/common/config"
	"github.com/lsm/fiso/common/connector"
	fisohttp "github.com/lsm/fiso/connectors/http"
	"github.com/lsm/fiso/delivery"
	"github.com/lsm/fiso/flow/spec"
)

type httpSource struct {
	fisohttp.SourceConfig `yaml:",inline"`
}

func (c *httpSource) broker() bool     { return false }
func (c *httpSource) manyTopics() bool { return false }

func (c *httpSource) tell() string {
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

	wantsBatches bool
}

func (c *httpSink) tell() string {
	return c.Method + " " + config.Redact(c.URL) + ", CloudEvents in " + c.Mode + " mode"
}

func (c *httpSink) ask(batches bool)                 { c.wantsBatches = batches }
func (c *httpSink) batches() bool                    { return c.Mode == fisohttp.ModeBatch }
func (c *httpSink) writesJSON() bool                 { return c.Mode != fisohttp.ModeBinary }
func (c *httpSink) compile(string, *spec.Flow) error { return nil }

func (c *httpSink) gathers() *delivery.Batch {
	if c.batches() {
		return &delivery.Batch{}
	}
	return nil
}

// Validate adds to the connector's own what only the flow can tell.
func (c *httpSink) Validate() error {
	if c.wantsBatches && !c.batches() {
		return config.Fault("mode", "delivery.batch needs mode: batch; in the other modes events go one by one")
	}
	return nil
}

func (c *httpSink) build(env Env) (connector.Sink, error) {
	return fisohttp.NewSink(c.SinkConfig, fisohttp.SinkOptions{Dial: env.Dial})
}
