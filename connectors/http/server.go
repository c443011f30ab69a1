package http

import (
	"log/slog"
	nethttp "net/http"
	"time"

	"github.com/lsm/fiso/common/connlimit"
)

// Limits of HTTP/2. Data that a connection may send without being asked is held outside
// the budget for bodies, so these are as low as the protocol allows.
const (
	maxStreams     = 100
	maxFrame       = 16 << 10
	receiveWindow  = 64 << 10
	minPingTimeout = time.Second
)

// newServer returns a server with the limits of a listener. The timeouts of net/http do
// not cover an HTTP/2 head that never ends. Pings do: its sender cannot answer one
// before the end of the head.
func newServer(s settings, logger *slog.Logger) *nethttp.Server {
	return &nethttp.Server{
		ReadTimeout: s.read, ReadHeaderTimeout: s.headers, IdleTimeout: s.idle,
		MaxHeaderBytes: int(s.maxHeaderBytes),
		ErrorLog:       slog.NewLogLogger(logger.Handler(), slog.LevelDebug),
		ConnContext:    connlimit.ConnContext, ConnState: connlimit.ConnState,
		HTTP2: &nethttp.HTTP2Config{
			MaxConcurrentStreams: maxStreams, MaxReadFrameSize: maxFrame,
			MaxReceiveBufferPerConnection: receiveWindow, MaxReceiveBufferPerStream: receiveWindow,
			SendPingTimeout: s.headers / 2, PingTimeout: max(s.headers/2, minPingTimeout),
		},
	}
}

// connections limits a number of connections to half of the descriptors that the
// process may have, and leaves the other half for everything else.
func connections(wanted int) int {
	return max(1, min(wanted, descriptors()/2))
}
