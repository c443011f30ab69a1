package plan

import (
	"context"
	"strings"

	"github.com/lsm/fiso/common/cloudevent"
	"github.com/lsm/fiso/common/config"
	"github.com/lsm/fiso/common/connector"
	fisogrpc "github.com/lsm/fiso/connectors/grpc"
	"github.com/lsm/fiso/delivery"
	"github.com/lsm/fiso/flow/spec"
	"github.com/lsm/fiso/flow/transform"
)

var grpcConnector = connectorType{
	name:       "grpc",
	guarantees: fisogrpc.SourceGuarantees,
	source:     func() source { return new(grpcSource) },
	sink:       func() sink { return new(grpcSink) },
}

type grpcSource struct {
	fisogrpc.SourceConfig `yaml:",inline"`

	flow string
}

func (c *grpcSource) setFlow(name string)   { c.flow = name }
func (c *grpcSource) listenAddress() string { return c.Listen }

func (c *grpcSource) obstacle(other portSource) (key, text string) {
	return differentSetting(c.ListenerDifference(&other.(*grpcSource).SourceConfig))
}

const protocolGRPC, protocolGRPCS = "grpc", "grpcs"

// writes returns the address and the flow that the sink sends to.
func (c *grpcSink) writes() place {
	protocol := protocolGRPC
	if !c.TLS.IsZero() {
		protocol = protocolGRPCS
	}
	return place{protocol, c.Flow, []string{strings.TrimPrefix(c.Target, "dns:///")}}
}

// reads reports whether the source gets what is sent to p, as far as the addresses alone show it.
func (c *grpcSource) reads(p place) (key string, ok bool) {
	protocol := protocolGRPC
	if !c.TLS.IsZero() {
		protocol = protocolGRPCS
	}
	if p.protocol != protocol || p.name != "" && p.name != c.flow {
		return "", false
	}
	return "listen", listensAt(c.Listen, p.servers)
}

func (c *grpcSource) manyStreams() bool              { return false }
func (c *grpcSource) deadLetters(string) deadLetters { return nil }
func (c *grpcSource) describe() string               { return "fiso.v1.Events on " + c.Listen }

func (c *grpcSource) build(f *spec.Flow, env Env) (connector.Source, error) {
	return fisogrpc.NewSource(c.SourceConfig, fisogrpc.SourceOptions{
		Listeners: env.GRPCListeners, Name: f.Name, Logger: env.Logger, DrainTimeout: f.Delivery.DrainTimeout,
	})
}

// grpcSink adds the key expression to the config of the connector, which does not use CEL.
type grpcSink struct {
	fisogrpc.SinkConfig `yaml:",inline"`

	Key config.Text `yaml:"key" doc:"CEL expression for the key that orders events at the receiver, evaluated on the outgoing event; default: the key of the incoming record."`

	key expression
}

func (c *grpcSink) describe() string       { return "fiso.v1.Events of " + c.Target }
func (c *grpcSink) wantBatches()           {}
func (c *grpcSink) batch() *delivery.Batch { return nil }
func (c *grpcSink) writesJSON() bool       { return false }

func (c *grpcSink) compile(key, _ string, _ *spec.Flow) error {
	if c.Key.IsZero() {
		return nil
	}
	x, err := transform.NewExpression(key+".config.key", c.Key)
	if err != nil {
		return err
	}
	c.key = x
	return nil
}

func (c *grpcSink) expressions() config.Fields { return keyExpression(c.Key) }

func (c *grpcSink) additions(ctx context.Context, e *cloudevent.Event) (additions, error) {
	return keyAddition(ctx, c.key, e)
}

func (c *grpcSink) build(env Env) (connector.Sink, error) {
	opts := fisogrpc.SinkOptions{Dial: env.Dial}
	if c.key != nil {
		opts.Key = func(ctx context.Context, e *cloudevent.Event) ([]byte, error) { return keyOf(ctx, c.key, e) }
	}
	return fisogrpc.NewSink(c.SinkConfig, opts)
}
