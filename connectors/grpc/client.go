package grpc

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"

	"github.com/lsm/fiso/common/config"
	"github.com/lsm/fiso/common/connector"
	pb "github.com/lsm/fiso/connectors/grpc/eventpb"
)

const (
	// window is the flow control window of a stream and of a connection, in bytes. What
	// arrives is small, so nothing is gained by windows that grow (G4).
	window = 64 << 10
	// maxResponse and maxResponseHeader bound what a server makes the sink hold.
	maxResponse       = 64 << 10
	maxResponseHeader = 16 << 10

	metadataFlow  = "fiso-flow"
	sinkUserAgent = "fiso-connector-grpc"

	// balancing spreads streams over all addresses of the target.
	balancing = `{"loadBalancingConfig": [{"round_robin": {}}]}`
)

// reconnectBackoff is how long gRPC waits between attempts to connect. Calls fail at once
// meanwhile, and the caller of Send has a backoff of its own, so this one is short.
var reconnectBackoff = backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 3 * time.Second}

// newConn makes the connection of a sink, which connects when a stream is opened.
func newConn(s *Sink, cfg *SinkConfig) (*grpc.ClientConn, error) {
	var transport credentials.TransportCredentials = insecure.NewCredentials()
	if s.tls != nil {
		transport = s.tls
	}
	name := cfg.Target
	if s.target.scheme == "dns" && s.target.dns == "" {
		name = "dns:///" + s.target.address
	}
	conn, err := grpc.NewClient(name,
		grpc.WithTransportCredentials(transport),
		grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) {
			return s.dial(ctx, s.target.network(), strings.TrimPrefix(strings.TrimPrefix(address, "unix:"), "//"))
		}),
		grpc.WithNoProxy(),
		grpc.WithUserAgent(sinkUserAgent),
		grpc.WithDefaultServiceConfig(balancing), grpc.WithDisableServiceConfig(), grpc.WithDisableRetry(),
		grpc.WithStaticStreamWindowSize(window), grpc.WithStaticConnWindowSize(window), grpc.WithMaxHeaderListSize(maxResponseHeader),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: cfg.Keepalive, Timeout: pingTimeout}),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: reconnectBackoff, MinConnectTimeout: cfg.ConnectTimeout}),
	)
	if err != nil {
		return nil, fmt.Errorf("target: %w", err)
	}
	return conn, nil
}

func callOptions(cfg *SinkConfig) []grpc.CallOption {
	options := []grpc.CallOption{grpc.ForceCodecV2(frameCodec{}), grpc.MaxCallRecvMsgSize(maxResponse)}
	if cfg.Compression == CompressionGzip {
		options = append(options, grpc.UseCompressor(gzip.Name))
	}
	return options
}

// open opens a stream with the current credential. It returns once there is a
// connection.
func (s *Sink) open(ctx context.Context) (grpc.ClientStream, error) {
	token, err := s.credential.reveal()
	if err != nil {
		return nil, err
	}
	var pairs []string
	if s.flow != "" {
		pairs = append(pairs, metadataFlow, s.flow)
	}
	if token != "" {
		pairs = append(pairs, "authorization", "Bearer "+token)
	}
	if len(pairs) > 0 {
		ctx = metadata.AppendToOutgoingContext(ctx, pairs...)
	}
	return s.conn.NewStream(ctx, &pb.Events_ServiceDesc.Streams[0], pb.Events_PublishStream_FullMethodName, s.callOptions...)
}

// sinkCredential is the token that streams present. It is read for each stream.
type sinkCredential struct {
	kind  string
	token config.Secret
}

// reveal returns the current token, or "". A failure concerns the sink and not an event,
// so its class is blocked.
func (c *sinkCredential) reveal() (string, error) {
	if c.kind != authBearer {
		return "", nil
	}
	value, err := c.token.Reveal()
	switch {
	case err != nil:
	case value == "":
		err = errors.New("the token is empty; set auth.token, or write the token into its file")
	case !printableASCII(value):
		err = errors.New("the token holds a line break or another character that cannot be sent")
	}
	if err != nil {
		return "", connector.AsBlocked(fmt.Errorf("credential (auth.type bearer): %w", err))
	}
	return value, nil
}

// rotatingTLS does the TLS handshake of each connection with the current files.
type rotatingTLS struct {
	next func() *tls.Config
}

// ClientHandshake expects tls.serverName in the certificate, or the host of the target.
func (t *rotatingTLS) ClientHandshake(ctx context.Context, authority string, raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	cfg := t.next()
	if cfg.ServerName != "" {
		authority = cfg.ServerName
	}
	return credentials.NewTLS(cfg).ClientHandshake(ctx, authority, raw)
}

// ServerHandshake is never called: these are credentials of a client.
func (t *rotatingTLS) ServerHandshake(net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return nil, nil, errors.New("these credentials are for a client")
}

// Info describes TLS.
func (t *rotatingTLS) Info() credentials.ProtocolInfo {
	return credentials.NewTLS(&tls.Config{}).Info()
}

// Clone returns t, which does not change.
func (t *rotatingTLS) Clone() credentials.TransportCredentials { return t }

// OverrideServerName is required by the interface and deprecated there.
func (t *rotatingTLS) OverrideServerName(string) error {
	return errors.New("set tls.serverName")
}
