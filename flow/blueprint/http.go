package blueprint

import (
	"github.com/lsm/fiso/common/connector"
	fisohttp "github.com/lsm/fiso/connectors/http"
	"github.com/lsm/fiso/flow/spec"
)

type httpSource struct {
	fisohttp.SourceConfig `yaml:",inline"`
}

func (c *httpSource) tell() string     { return "POST to " + c.Path + " on " + c.Listen }
func (c *httpSource) broker() bool     { return false }
func (c *httpSource) manyTopics() bool { return false }

func (c *httpSource) build(_ *spec.Flow, env Env) (connector.Source, error) {
	return fisohttp.NewSource(c.SourceConfig, fisohttp.SourceOptions{Logger: env.Logger})
}

type httpSink struct {
	fisohttp.SinkConfig `yaml:",inline"`
}

func (c *httpSink) tell() string {
	return c.Method + " " + c.URL + ", CloudEvents in " + c.Mode + " mode"
}

func (c *httpSink) batches() bool            { return c.Mode == fisohttp.ModeBatch }
func (c *httpSink) compile(*spec.Flow) error { return nil }

func (c *httpSink) build(Env) (connector.Sink, error) {
	return fisohttp.NewSink(c.SinkConfig, fisohttp.SinkOptions{})
}
