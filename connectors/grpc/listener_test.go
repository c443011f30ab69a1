package grpc

import (
	"context"
	"net"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/lsm/fiso/common/config"
	pb "github.com/lsm/fiso/connectors/grpc/eventpb"
)

func TestListeners_findTheFlowByItsName(t *testing.T) {
	listeners := &Listeners{linger: 200 * time.Millisecond}
	defer listeners.Close()
	cfg := sourceConfig()
	cfg.Listen = unusedAddress(t)
	a := runSource(t, cfg, SourceOptions{Listeners: listeners, Name: "a"}, settleOK)
	conn := dialSource(t, a.address)
	ask := func(md ...string) error {
		_, err := publish(t, conn, md, keyed("", "x"))
		return err
	}
	wantCode(t, ask(), codes.OK)
	wantCode(t, ask(flowMetadata, "a"), codes.OK)
	if text := wantCode(t, ask(flowMetadata, "b"), codes.NotFound); text != "no flow has the name in the metadata fiso-flow" {
		t.Error(text)
	}
	b := runSource(t, cfg, SourceOptions{Listeners: listeners, Name: "b"}, settleOK)
	wantCode(t, ask(flowMetadata, "b"), codes.OK)
	if text := wantCode(t, ask(), codes.NotFound); text != "several flows share this address; name one in the metadata fiso-flow" {
		t.Error(text)
	}
	if text := wantCode(t, ask(flowMetadata, "a", flowMetadata, "b"), codes.InvalidArgument); text != "the metadata fiso-flow is there more than once; send it once" {
		t.Error(text)
	}
	if a.count() != 2 || b.count() != 1 {
		t.Errorf("%d and %d events", a.count(), b.count())
	}
	b.stop()
	wantCode(t, ask(), codes.OK) // a has a source, and b has none
	if text := wantCode(t, ask(flowMetadata, "b"), codes.Unavailable); text != "the flow is stopped; try again" {
		t.Error(text)
	}
	wantCode(t, ask(flowMetadata, "b"), codes.NotFound)
	wantCode(t, ask(), codes.OK)
	a.stop()
	eventuallySource(t, "the port closes", func() bool {
		c, err := net.Dial("tcp", cfg.Listen)
		if err == nil {
			_ = c.Close()
		}
		return err != nil
	})
}

func TestListeners_refuseWhatDoesNotFitTogether(t *testing.T) {
	listeners := NewListeners(nil)
	defer listeners.Close()
	cfg := sourceConfig()
	cfg.Listen = unusedAddress(t)
	runSource(t, cfg, SourceOptions{Listeners: listeners, Name: "a"}, nil)
	other := func(change func(*SourceConfig)) SourceConfig {
		c := cfg
		change(&c)
		return c
	}
	for _, row := range []struct {
		name, key, flow string
		cfg             SourceConfig
		listeners       *Listeners
	}{
		{"the same name", "another source has the name a already", "a", cfg, listeners},
		{"a port in use", "the address is in use by another program", "b", cfg, nil},
		{"tls", "a different tls", "b", other(func(c *SourceConfig) { c.TLS = config.TLS{CertFile: "a", KeyFile: "b"} }), listeners},
		{"event", "a different maxEventBytes", "b", other(func(c *SourceConfig) { c.MaxEventBytes = 1 }), listeners},
		{"buffered", "a different maxBufferedBytes", "b", other(func(c *SourceConfig) { c.MaxBufferedBytes = 1 }), listeners},
		{"header", "a different maxHeaderBytes", "b", other(func(c *SourceConfig) { c.MaxHeaderBytes = 1 }), listeners},
		{"streams", "a different maxStreams", "b", other(func(c *SourceConfig) { c.MaxStreams = 1 }), listeners},
		{"connections", "a different maxConnections", "b", other(func(c *SourceConfig) { c.MaxConnections = 1 }), listeners},
		{"age", "a different maxStreamAge", "b", other(func(c *SourceConfig) { c.MaxStreamAge = 1 }), listeners},
		{"no such certificate", "read certFile and keyFile", "b", other(func(c *SourceConfig) {
			c.Listen, c.TLS = "127.0.0.1:0", config.TLS{CertFile: "none", KeyFile: "none"}
		}), nil},
		{"no such address", "listen 192.0.2.1:1", "b", other(func(c *SourceConfig) { c.Listen = "192.0.2.1:1" }), nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			s, err := NewSource(row.cfg, SourceOptions{Listeners: row.listeners, Name: row.flow})
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Run(t.Context(), nil); err == nil || !strings.Contains(err.Error(), row.key) {
				t.Errorf("Run returned %v", err)
			}
			if s.Status().Problem == "" {
				t.Error("the status shows no problem")
			}
		})
	}
}

// A reload may change the settings of a port that only this flow uses.
func TestListeners_openThePortAgainWithOtherSettings(t *testing.T) {
	listeners := NewListeners(nil)
	defer listeners.Close()
	cfg := sourceConfig()
	cfg.Listen = unusedAddress(t)
	first := runSource(t, cfg, SourceOptions{Listeners: listeners}, settleOK)
	conn := dialSource(t, first.address)
	if _, err := publish(t, conn, nil, keyed("", "a")); err != nil {
		t.Fatal(err)
	}
	first.stop()
	cfg.MaxEventBytes = 10
	second := runSource(t, cfg, SourceOptions{Listeners: listeners}, settleOK)
	answer, err := publish(t, dialSource(t, second.address), nil, keyed("", "a"))
	if err != nil || codes.Code(answer.Results[0].Status.Code) != codes.InvalidArgument {
		t.Errorf("answered with %v, %v", answer, err)
	}
}

func TestListeners_openAPortAgainThatHasFailed(t *testing.T) {
	listeners := NewListeners(nil)
	defer listeners.Close()
	cfg := sourceConfig()
	cfg.Listen = unusedAddress(t)
	first := runSource(t, cfg, SourceOptions{Listeners: listeners}, settleOK)
	if err := first.listener.socket.Close(); err != nil {
		t.Fatal(err)
	}
	<-first.done
	if first.err == nil || !strings.Contains(first.err.Error(), "grpc source: listen "+cfg.Listen) || first.Status().Problem != first.err.Error() {
		t.Errorf("Run returned %v, and the status shows %q", first.err, first.Status().Problem)
	}
	second := runSource(t, cfg, SourceOptions{Listeners: listeners}, settleOK)
	if _, err := publish(t, dialSource(t, second.address), nil, keyed("", "a")); err != nil {
		t.Error(err)
	}
}

func TestListener_tellsItsHealthByFlow(t *testing.T) {
	listeners := NewListeners(nil)
	defer listeners.Close()
	cfg := sourceConfig()
	cfg.Listen = unusedAddress(t)
	a := runSource(t, cfg, SourceOptions{Listeners: listeners, Name: "a"}, settleOK)
	b := runSource(t, cfg, SourceOptions{Listeners: listeners, Name: "b"}, settleOK)
	client := healthpb.NewHealthClient(dialSource(t, a.address))
	check := func(flow string, want healthpb.HealthCheckResponse_ServingStatus) {
		t.Helper()
		got, err := client.Check(t.Context(), &healthpb.HealthCheckRequest{Service: flow})
		if err != nil || got.Status != want {
			t.Errorf("%q is %v, %v; want %v", flow, got.GetStatus(), err, want)
		}
	}
	for _, flow := range []string{"", "a", "b"} {
		check(flow, healthpb.HealthCheckResponse_SERVING)
	}
	b.stop()
	check("b", healthpb.HealthCheckResponse_NOT_SERVING)
	check("", healthpb.HealthCheckResponse_SERVING)
	a.stop()
	check("", healthpb.HealthCheckResponse_NOT_SERVING)
}

// A call that gives up while it waits for a source must not count.
func TestListener_forgetsACallThatGaveUp(t *testing.T) {
	listeners := NewListeners(nil)
	defer listeners.Close()
	cfg := sourceConfig()
	cfg.Listen = unusedAddress(t)
	s := runSource(t, cfg, SourceOptions{Listeners: listeners, Name: "a"}, settleOK)
	conn := dialSource(t, s.address)
	if _, err := publish(t, conn, nil, keyed("", "a")); err != nil {
		t.Fatal(err)
	}
	l := s.listener
	s.stop()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := pb.NewEventsClient(conn).Publish(ctx, &pb.PublishRequest{Events: []*pb.KeyedEvent{keyed("", "b")}})
		done <- err
	}()
	eventuallySource(t, "the call waits", func() bool { return l.calls.Load() == 1 })
	cancel()
	wantCode(t, <-done, codes.Canceled)
	eventuallySource(t, "the call is over", func() bool { return l.calls.Load() == 0 })
}

func TestConnectionOf_worksWithoutOne(t *testing.T) {
	c := connectionOf(context.Background())
	c.begin()
	c.end()
}
