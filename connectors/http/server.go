package http

import (
	"log/slog"
	nethttp "net/http"
	"time"

	"github.com/lsm/fiso/common/connlimit"
)

// Bounds of HTTP/2. What a connection may send unasked lies in memory beside the
// budget for bodies: as little as the protocol allows.
const (
	maxStreams      = 100
	maxFrame        = 16 << 10
	receiveWindow   = 64 << 10
	leastPingAnswer = time.Second
)

// newServer has the limits of a listener. A head of HTTP/2 that never ends hides
// from net/http's timeouts; but its sender may not answer a ping before the end.
func newServer(s settings, logger *slog.Logger) *nethttp.Server {
	return &nethttp.Server{
		ReadTimeout: s.read, ReadHeaderTimeout: s.headers, IdleTimeout: s.idle,
		MaxHeaderBytes: int(s.maxHeaderBytes),
		ErrorLog:       slog.NewLogLogger(logger.Handler(), slog.LevelDebug),
		ConnContext:    connlimit.ConnContext, ConnState: connlimit.ConnState,
		HTTP2: &nethttp.HTTP2Config{
			MaxConcurrentStreams: maxStreams, MaxReadFrameSize: maxFrame,
			MaxReceiveBufferPerConnection: receiveWindow, MaxReceiveBufferPerStream: receiveWindow,
			SendPingTimeout: s.headers / 2, PingTimeout: max(s.headers/2, leastPingAnswer),
		},
	}
}

// connections bounds a number of connections by half of the descriptors that the
// process may have, so that the other half is left for everything else.
func connections(wanted int) int {
	return max(1, min(wanted, descriptors()/2))
}
