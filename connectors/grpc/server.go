package grpc

import (
	"context"
	"fmt"
	"net"
	nethttp "net/http"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	_ "google.golang.org/grpc/encoding/gzip" // producers may compress
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/reflection"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
	reflectionv1alpha "google.golang.org/grpc/reflection/grpc_reflection_v1alpha"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/lsm/fiso/common/connlimit"
	pb "github.com/lsm/fiso/connectors/grpc/eventpb"
)

const (
	// streamWindow and connectionWindow are as small as HTTP/2 allows without harm, and
	// do not grow. A message that is larger than the window still arrives at once,
	// because grpc-go widens the window for it.
	streamWindow     = 64 << 10
	connectionWindow = 256 << 10
	readBuffer       = 16 << 10
	// maxConnectionStreams bounds the calls of one connection. A proxy may put those of
	// many producers on one.
	maxConnectionStreams = 256
	// handshakeTimeout bounds TLS and the preface of HTTP/2.
	handshakeTimeout = 10 * time.Second
	// minPingInterval is how often a client may ping. Proxies and clients are often set
	// to 10s; a client that pings more often than it may is disconnected.
	minPingInterval = time.Second
	// pingAfter and pingTimeout find clients that are gone without a trace.
	pingAfter   = time.Minute
	pingTimeout = 20 * time.Second
	// idleConnection is how long a connection without a call stays open.
	idleConnection = 15 * time.Minute
	// messageFactor is by how many times a message may exceed the largest event, and
	// minMessage is at least allowed: so that an event that is too large does not end
	// its stream, and a Publish may hold several events.
	messageFactor = 4
	minMessage    = 4 << 20
)

// maxMessage is the transport's limit for a message. A larger one ends its call.
func (s sourceSettings) maxMessage() int { return max(messageFactor*int(s.maxEvent), minMessage) }

// newServer returns a server with the services of a listener.
func (l *listener) newServer() (*grpc.Server, error) {
	secure := insecure.NewCredentials()
	if !l.settings.tls.IsZero() {
		config, err := l.settings.tls.Server()
		if err != nil {
			return nil, fmt.Errorf("tls: %w", err)
		}
		secure = credentials.NewTLS(config)
	}
	s := l.settings
	server := grpc.NewServer(
		grpc.Creds(&handshaker{secure, l}),
		grpc.ForceServerCodecV2(l.codec),
		grpc.MaxRecvMsgSize(s.maxMessage()),
		grpc.MaxHeaderListSize(uint32(s.maxHeader)),
		grpc.MaxConcurrentStreams(maxConnectionStreams),
		grpc.StaticStreamWindowSize(streamWindow), grpc.StaticConnWindowSize(connectionWindow),
		grpc.ReadBufferSize(readBuffer),
		grpc.ConnectionTimeout(handshakeTimeout),
		grpc.WaitForHandlers(true),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: minPingInterval, PermitWithoutStream: true}),
		grpc.KeepaliveParams(keepalive.ServerParameters{
			Time: pingAfter, Timeout: pingTimeout, MaxConnectionIdle: idleConnection,
			// A stream may be opened just before its connection is too old, and lives for
			// maxStreamAge and a drain then.
			MaxConnectionAge: s.maxStreamAge, MaxConnectionAgeGrace: 2*s.maxStreamAge + time.Minute,
		}),
		grpc.StreamInterceptor(l.countStream),
	)
	server.RegisterService(&eventsService, l)
	healthpb.RegisterHealthServer(server, l.health)
	descriptors, err := newDescriptors()
	if err != nil {
		return nil, err
	}
	options := reflection.ServerOptions{Services: server, DescriptorResolver: descriptors}
	reflectionv1.RegisterServerReflectionServer(server, reflection.NewServerV1(options))
	reflectionv1alpha.RegisterServerReflectionServer(server, reflection.NewServer(options))
	return server, nil
}

// eventsService is the service of events.proto with handlers that read requests by the
// codec. The generated handlers would decode events that are too large.
var eventsService = grpc.ServiceDesc{
	ServiceName: pb.Events_ServiceDesc.ServiceName,
	HandlerType: (*any)(nil),
	Methods: []grpc.MethodDesc{{
		MethodName: "Publish",
		Handler: func(srv any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
			return srv.(*listener).publish(ctx, decode)
		},
	}},
	Streams: []grpc.StreamDesc{{
		StreamName: "PublishStream", ServerStreams: true, ClientStreams: true,
		Handler: func(srv any, stream grpc.ServerStream) error { return srv.(*listener).publishStream(stream) },
	}},
	Metadata: pb.Events_ServiceDesc.Metadata,
}

// countStream limits the streams of the listener, those of health and reflection
// included.
func (l *listener) countStream(srv any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	done, err := l.beginCall(stream.Context())
	if err != nil {
		return err
	}
	defer done()
	return handler(srv, stream)
}

// beginCall counts a call in, and fails if there are too many. done counts it out.
func (l *listener) beginCall(ctx context.Context) (done func(), err error) {
	if l.calls.Add(1) > int64(l.settings.maxStreams) {
		l.calls.Add(-1)
		return nil, status.FromProto(retryStatus(codes.ResourceExhausted, "the receiver has as many streams as it may (maxStreams); try again later", time.Second)).Err()
	}
	c := connectionOf(ctx)
	c.begin()
	return func() {
		c.end()
		l.calls.Add(-1)
	}, nil
}

// handshaker wraps the connections of a server after the handshake.
type handshaker struct {
	credentials.TransportCredentials
	listener *listener
}

// ServerHandshake is called by grpc-go for each connection.
func (h *handshaker) ServerHandshake(raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	conn, info, err := h.TransportCredentials.ServerHandshake(raw)
	if err != nil {
		return nil, nil, err
	}
	c := &connection{AuthInfo: info, conn: h.listener.frames.watch(conn)}
	c.limited, _ = raw.(*connlimit.Conn)
	return c.conn, c, nil
}

// Clone is for grpc-go's clients.
func (h *handshaker) Clone() credentials.TransportCredentials {
	return &handshaker{h.TransportCredentials.Clone(), h.listener}
}

// connection tells connlimit which connections have calls. It travels as the AuthInfo of
// the connection, because grpc-go shows a handler no other part of it.
type connection struct {
	credentials.AuthInfo
	conn    net.Conn
	limited *connlimit.Conn
	calls   atomic.Int32
}

func connectionOf(ctx context.Context) *connection {
	if p, ok := peer.FromContext(ctx); ok {
		if c, ok := p.AuthInfo.(*connection); ok {
			return c
		}
	}
	return new(connection)
}

func (c *connection) begin() {
	c.calls.Add(1)
	c.limited.Working()
}

func (c *connection) end() {
	if c.calls.Add(-1) == 0 && c.limited != nil {
		connlimit.ConnState(c.limited, nethttp.StateIdle)
	}
}

// closeUnlessShared closes the connection if it has one call only. It ends a call whose
// client reads nothing: the status of the call waits behind what the client does not
// read, and grpc-go cannot reset a stream.
func (c *connection) closeUnlessShared() {
	if c.calls.Load() == 1 {
		_ = c.conn.Close() // it is lost either way
	}
}

// descriptors resolves the descriptors of events.proto, and of the other services.
type descriptors struct{ own, global protodesc.Resolver }

func newDescriptors() (descriptors, error) {
	own, err := pb.Descriptors()
	return descriptors{own, protoregistry.GlobalFiles}, err
}

func (d descriptors) FindFileByPath(path string) (protoreflect.FileDescriptor, error) {
	if f, err := d.own.FindFileByPath(path); err == nil {
		return f, nil
	}
	return d.global.FindFileByPath(path)
}

func (d descriptors) FindDescriptorByName(name protoreflect.FullName) (protoreflect.Descriptor, error) {
	if x, err := d.own.FindDescriptorByName(name); err == nil {
		return x, nil
	}
	return d.global.FindDescriptorByName(name)
}
