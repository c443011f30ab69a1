package grpc

import (
	"context"
	"errors"
	"fmt"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/lsm/fiso/common/connector"
	pb "github.com/lsm/fiso/connectors/grpc/eventpb"
)

// Check reads the token, resolves the host, connects, does the TLS handshake, and opens
// a stream, which it ends after the receiver's Settings. It sends no event.
func (s *Sink) Check(ctx context.Context) []connector.Step {
	var steps []connector.Step
	step := func(name string, do func(context.Context) error) bool {
		ctx, cancel := context.WithTimeout(ctx, s.connectTimeout)
		defer cancel()
		err := do(ctx)
		steps = append(steps, connector.Step{Name: name, Err: err})
		return err == nil
	}
	readToken := func(context.Context) error {
		_, err := s.credential.reveal()
		return err
	}
	if s.credential.kind == authBearer && !step("read the token", readToken) {
		return steps
	}
	if s.resolvable() && !step("resolve "+s.target.host, s.resolve) {
		return steps
	}
	var conn net.Conn
	connect := func(ctx context.Context) (err error) {
		if conn, err = s.dial(ctx, s.target.network(), s.target.address); err != nil {
			return fmt.Errorf("%w; check target, and whether the server listens", err)
		}
		return nil
	}
	if !step("connect to "+s.target.address, connect) {
		return steps
	}
	defer func() { _ = conn.Close() }()
	handshake := func(ctx context.Context) error {
		if _, _, err := s.tls.ClientHandshake(ctx, s.target.host, conn); err != nil {
			return fmt.Errorf("%w; check tls: caFile, serverName, certFile, and whether the server has TLS", err)
		}
		return nil
	}
	if s.tls != nil && !step("TLS", handshake) {
		return steps
	}
	settings := new(pb.Settings)
	if step("open a stream", func(ctx context.Context) error { return s.try(ctx, settings) }) {
		last := &steps[len(steps)-1]
		last.Name += fmt.Sprintf(": %d events and %d bytes in flight, %d bytes an event",
			settings.GetMaxInFlight(), settings.GetMaxInFlightBytes(), settings.GetMaxEventBytes())
		if settings.GetMaxInFlight() <= 0 {
			last.Warning = "the receiver takes no events now; it may be paused or wait for its own destination"
		}
	}
	return steps
}

// resolvable reports whether the host is a name that this machine resolves.
func (s *Sink) resolvable() bool {
	return s.target.scheme == "dns" && s.target.dns == "" && net.ParseIP(s.target.host) == nil
}

func (s *Sink) resolve(ctx context.Context) error {
	if _, err := net.DefaultResolver.LookupNetIP(ctx, "ip", s.target.host); err != nil {
		return fmt.Errorf("%w; check the name, and whether this machine can resolve it", err)
	}
	return nil
}

// try opens a stream and waits for the settings.
func (s *Sink) try(ctx context.Context, settings *pb.Settings) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	s.conn.ResetConnectBackoff()
	client, err := s.open(ctx)
	if err == nil {
		err = firstSettings(client, settings)
	}
	switch {
	case err == nil:
		// How the receiver ends the stream does not matter: it would have taken events.
		_ = client.CloseSend()
		for client.RecvMsg(new(pb.PublishStreamResponse)) == nil {
		}
		return nil
	case errors.Is(ctx.Err(), context.DeadlineExceeded), status.Code(err) == codes.DeadlineExceeded: // the server's timer may be first
		return errNoSettings
	default:
		return s.streamVerdict(err, nil)
	}
}

// firstSettings reads the first message, which must be Settings.
func firstSettings(client grpc.ClientStream, settings *pb.Settings) error {
	m := new(pb.PublishStreamResponse)
	if err := client.RecvMsg(m); err != nil {
		return err
	}
	if m.GetSettings() == nil {
		return errors.New("the first message of the server is not Settings")
	}
	settings.MaxInFlight, settings.MaxInFlightBytes, settings.MaxEventBytes =
		m.GetSettings().GetMaxInFlight(), m.GetSettings().GetMaxInFlightBytes(), m.GetSettings().GetMaxEventBytes()
	return nil
}
