package kafka

import (
	"context"
	"log/slog"
	"net"
	"runtime/debug"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// DialFunc opens a connection. It fits the VirtualNetwork of kfake, and toxiproxy.
type DialFunc func(ctx context.Context, network, addr string) (net.Conn, error)

// options returns the franz-go options to reach the cluster. It reads the TLS files, so
// that a fault in them is reported at once.
func (c *ClientConfig) options(dial DialFunc, logger *slog.Logger) ([]kgo.Opt, error) {
	opts := []kgo.Opt{
		kgo.SeedBrokers(c.brokers()...),
		kgo.ClientID(c.ClientID),
		kgo.SoftwareNameAndVersion("fiso", version()),
		kgo.DialTimeout(c.DialTimeout),
		kgo.MetadataMaxAge(c.MetadataMaxAge),
		kgo.MetadataMinAge(time.Second), // between refreshes that a missing leader or topic causes
		// Client metrics stay off: sending them needs rights that are rarely granted.
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

// version returns the version of this module in the running binary.
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

// kgoLogger passes franz-go's log on, one level lower: its info messages matter only
// when debugging this connector. The source and the producer report errors that need
// attention themselves.
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
