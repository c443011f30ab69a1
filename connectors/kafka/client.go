package kafka

import (
	"context"
	"log/slog"
	"net"
	"runtime/debug"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// DialFunc opens a connection; kfake's VirtualNetwork and toxiproxy fit.
type DialFunc func(ctx context.Context, network, addr string) (net.Conn, error)

// options are what franz-go needs to reach the cluster. Files that TLS names
// are read here, so that a fault in them is known at once.
func (c *ClientConfig) options(dial DialFunc, logger *slog.Logger) ([]kgo.Opt, error) {
	opts := []kgo.Opt{
		kgo.SeedBrokers(c.brokers()...),
		kgo.ClientID(c.ClientID),
		kgo.SoftwareNameAndVersion("fiso", version()),
		kgo.DialTimeout(c.DialTimeout),
		kgo.MetadataMaxAge(c.MetadataMaxAge),
		kgo.MetadataMinAge(time.Second), // between looks that a missing leader or topic asks for
		// What is sent to the brokers unasked stays off: a client that talks
		// to them about itself needs rights that nobody thinks to grant.
		kgo.DisableClientMetrics(),
		kgo.WithLogger(kgoLogger{logger}),
	}
	if m := c.SASL.mechanism(); m != nil {
		opts = append(opts, kgo.SASL(m))
	}
	if c.TLS.IsZero() && dial == nil {
		return opts, nil
	}
	dial, err := c.dialler(dial)
	if err != nil {
		return nil, err
	}
	return append(opts, kgo.Dialer(dial)), nil
}

// version is that of this module in the running binary.
func version() string {
	const path = "github.com/lsm/fiso/connectors/kafka"
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, m := range info.Deps {
			if m.Path == path && m.Version != "" && m.Version[0] == 'v' {
				return m.Version
			}
		}
	}
	return "dev"
}

// kgoLogger passes franz-go's log on, one level lower: what it calls info is
// of interest only to who looks into this connector. Errors worth a person's
// attention are reported by the source and the producer themselves.
type kgoLogger struct{ l *slog.Logger }

func (k kgoLogger) Level() kgo.LogLevel {
	switch {
	case k.l.Enabled(context.Background(), slog.LevelDebug):
		return kgo.LogLevelInfo
	case k.l.Enabled(context.Background(), slog.LevelInfo):
		return kgo.LogLevelWarn
	default:
		return kgo.LogLevelNone
	}
}

func (k kgoLogger) Log(level kgo.LogLevel, msg string, keyvals ...any) {
	to := slog.LevelDebug
	if level <= kgo.LogLevelWarn {
		to = slog.LevelInfo
	}
	k.l.Log(context.Background(), to, "franz-go: "+msg, keyvals...)
}
