package temporal

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/lsm/fiso/common/config"
	"github.com/lsm/fiso/common/connector"
)

func TestSource_runsOnce(t *testing.T) {
	f := newFakeTemporal(t)
	r := start(t, newTestSource(t, sourceConfig(f), SourceOptions{}), nil)
	until(t, "the source works", func() bool { return r.s.Status().Problem == "" })
	r.stop()
	if got := r.s.Status(); got.Problem != "stopped" || got.Unreachable {
		t.Errorf("after Run, Status is %+v, want stopped", got)
	}
	err := r.s.Run(t.Context(), nil)
	if want := "temporal source: Run was called before; make a new source"; err == nil || err.Error() != want {
		t.Errorf("Run returned %v, want %q", err, want)
	}
}

func TestSource_saysThatItIsNotConnectedYet(t *testing.T) {
	s := newTestSource(t, SourceConfig{ClientConfig: ClientConfig{Address: "127.0.0.1:1"}, TaskQueue: "q"}, SourceOptions{})
	if got := s.Status(); got.Problem != "not connected yet" || !got.Unreachable {
		t.Errorf("Status is %+v, want not connected yet", got)
	}
	if g := s.Guarantees(); g != SourceGuarantees || g.Orders || g.Redelivers {
		t.Errorf("the source guarantees %+v, want only what the server does by itself", g)
	}
}

// The source waits for a server that is away when it starts, and goes on by itself.
func TestSource_waitsForAServerThatIsAway(t *testing.T) {
	f := newFakeTemporal(t)
	f.down()
	r := start(t, newTestSource(t, sourceConfig(f), SourceOptions{}), settle(nil))
	want := "temporal at " + f.addr + " does not answer: "
	until(t, "Status says that the server is away", func() bool {
		got := r.s.Status()
		return strings.HasPrefix(got.Problem, want) && strings.HasSuffix(got.Problem, "; if it runs, check address and tls") && got.Unreachable
	})
	f.up()
	f.closed(f.call("1", nil, plainJSON(eventJSON("order-7", "k"))))
	until(t, "the problem is over", func() bool { return r.s.Status().Problem == "" })
}

// The server goes away while the source polls. Nothing is lost, and a poll that waits for
// work shows that the server is back.
func TestSource_waitsForAServerThatGoesAway(t *testing.T) {
	t.Parallel() // it mostly waits
	f, log := newFakeTemporal(t), &lines{}
	r := start(t, newTestSource(t, sourceConfig(f), SourceOptions{Logger: log.logger()}), settle(nil))
	f.closed(f.call("1", nil, plainJSON(eventJSON("before", "k"))))
	f.down()
	until(t, "Status says that the server is away", func() bool { return strings.Contains(r.s.Status().Problem, "does not answer") })
	f.up()
	until(t, "the problem is over without an event", func() bool { return r.s.Status().Problem == "" })
	f.closed(f.call("2", nil, plainJSON(eventJSON("after", "k"))))
	if log.count("temporal source receives no events") == 0 || log.count("temporal source receives events") < 2 {
		t.Errorf("the log does not tell the outage: %q", log.all)
	}
}

func TestSource_saysWhatToDoAboutARefusal(t *testing.T) {
	for name, c := range map[string]struct {
		method string
		err    error
		want   string
	}{
		"permission at the start": {"DescribeNamespace", status.Error(codes.PermissionDenied, "Request unauthorized."), `temporal at ADDR refuses namespace "default": Request unauthorized.; check auth, and what the credential may do in the namespace`},
		"permission of a poll":    {"PollActivityTaskQueue", status.Error(codes.PermissionDenied, "no"), `temporal at ADDR refuses namespace "default": no; check auth, and what the credential may do in the namespace`},
		"credential":              {"GetSystemInfo", status.Error(codes.Unauthenticated, "bad token"), "temporal at ADDR does not accept the credential: bad token; check auth, or the client certificate in tls"},
		"limit":                   {"PollActivityTaskQueue", status.Error(codes.ResourceExhausted, "namespace rate limit exceeded"), "temporal at ADDR limits this worker: namespace rate limit exceeded; check the limits of the namespace"},
		"deleted namespace":       {"PollActivityTaskQueue", serviceerror.ToStatus(serviceerror.NewNamespaceNotFound("default")).Err(), `temporal at ADDR has no namespace "default"; create it (temporal operator namespace create), or correct namespace`},
		"not found":               {"DescribeNamespace", status.Error(codes.NotFound, "gone"), `temporal at ADDR has no namespace "default"; create it (temporal operator namespace create), or correct namespace`},
		"internal":                {"GetSystemInfo", status.Error(codes.Internal, strings.Repeat("ä", 200)), "temporal at ADDR: " + strings.Repeat("ä", 150) + "…"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFakeTemporal(t)
			f.refuse(c.method, c.err)
			r := start(t, newTestSource(t, sourceConfig(f), SourceOptions{}), settle(nil))
			want := strings.ReplaceAll(c.want, "ADDR", f.addr)
			until(t, "Status says: "+want, func() bool { return r.s.Status().Problem == want && r.s.Status().Unreachable })
			f.refuse(c.method, nil)
			f.closed(f.call("1", nil, plainJSON(eventJSON("order-7", "k"))))
			until(t, "the problem is over", func() bool { return r.s.Status().Problem == "" })
		})
	}
}

func TestSource_namesANamespaceThatIsMissing(t *testing.T) {
	f := newFakeTemporal(t)
	cfg := sourceConfig(f)
	cfg.Namespace = "ordres"
	r := start(t, newTestSource(t, cfg, SourceOptions{}), nil)
	want := "temporal at " + f.addr + ` has no namespace "ordres"; create it (temporal operator namespace create), or correct namespace`
	until(t, "Status says: "+want, func() bool { return r.s.Status().Problem == want })
}

// Clean stop: what is in flight is settled and answered, what waits is handed back at once,
// and nothing comes twice.
func TestSource_stopsWithoutLossOrDuplicate(t *testing.T) {
	f := newFakeTemporal(t)
	release := make(chan struct{})
	first := start(t, newTestSource(t, sourceConfig(f), SourceOptions{DrainTimeout: 10 * time.Second}), func(*connector.Message) { <-release })
	inFlight := f.call("1", nil, plainJSON(eventJSON("in flight", "k")))
	m := first.first()
	queued := f.call("2", nil, plainJSON(eventJSON("queued", "k")))
	// The SDK drops a task that it has polled and not started when it stops.
	until(t, "the queued attempt sends a heartbeat", func() bool { return len(f.look(queued).beats) >= 1 })
	first.cancel()
	until(t, "the queued event is handed back", func() bool { return len(f.look(queued).failures) == 1 })
	second := start(t, newTestSource(t, sourceConfig(f), SourceOptions{}), settle(nil))
	f.closed(queued)
	close(release)
	m.Settle(nil)
	first.stop()
	if done := f.closed(inFlight); done.attempt != 1 {
		t.Errorf("the event in flight took %d attempts, want 1", done.attempt)
	}
	if a, b := first.messages(), second.messages(); len(a) != 1 || len(b) != 1 || b[0].ID != "queued" {
		t.Errorf("%d and %d messages are handed over, want one each", len(a), len(b))
	}
}

func TestSource_failsWhatIsNotSettledInTime(t *testing.T) {
	f, log := newFakeTemporal(t), &lines{}
	first := start(t, newTestSource(t, sourceConfig(f), SourceOptions{DrainTimeout: 30 * time.Millisecond, Logger: log.logger()}), nil)
	c := f.call("1", nil, plainJSON(eventJSON("order-7", "k")))
	m := first.first()
	first.stop()
	failures := f.look(c).failures
	if want := "the source stopped before the event was settled; the next attempt sends it again with the same id"; len(failures) != 1 || failures[0].Message != want {
		t.Errorf("the attempt failed with %v, want %q", failures, want)
	}
	if log.count("temporal source stopped with unsettled events") != 1 {
		t.Error("the log does not tell of the unsettled event")
	}
	second := start(t, newTestSource(t, sourceConfig(f), SourceOptions{}), settle(nil))
	f.closed(c)
	if got := second.messages(); len(got) != 1 || got[0].ID != "order-7" {
		t.Errorf("%d messages are handed over, want order-7", len(got))
	}
	m.Settle(nil) // too late, and changes nothing
}

// While the server does not answer, a stop takes no longer than its bounds.
func TestSource_stopsWhileTheServerIsAway(t *testing.T) {
	f := newFakeTemporal(t)
	r := start(t, newTestSource(t, sourceConfig(f), SourceOptions{DrainTimeout: 20 * time.Millisecond}), nil)
	until(t, "the source works", func() bool { return r.s.Status().Problem == "" })
	f.down()
	r.stop()
}

func TestSource_stopsWhileItConnects(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = silent.Close() }()
	cfg := SourceConfig{ClientConfig: ClientConfig{Address: silent.Addr().String()}, TaskQueue: "q"}
	var dialled atomic.Bool
	r := start(t, newTestSource(t, cfg, SourceOptions{Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
		dialled.Store(true)
		if address != cfg.Address {
			t.Errorf("the source dials %s, want %s", address, cfg.Address)
		}
		return (&net.Dialer{}).DialContext(ctx, network, address)
	}}), nil)
	until(t, "the source dials", dialled.Load)
	r.stop()
}

// maxInFlight bounds what is taken from the server.
func TestSource_takesNoMoreThanMaxInFlight(t *testing.T) {
	f := newFakeTemporal(t)
	cfg := sourceConfig(f)
	cfg.MaxInFlight = 3
	r := start(t, newTestSource(t, cfg, SourceOptions{}), nil)
	for i := range 10 {
		f.call(fmt.Sprint(i), nil, plainJSON(eventJSON(fmt.Sprint(i), "k")))
	}
	until(t, "three events are in flight", func() bool { return len(r.messages()) == 3 })
	quiet := time.NewTimer(waitTime)
	defer quiet.Stop()
	<-quiet.C
	f.mu.Lock()
	taken := f.taken
	f.mu.Unlock()
	if taken != 3 {
		t.Errorf("%d calls are taken, want 3", taken)
	}
	for settled := 0; settled < 10; {
		until(t, "another event is handed over", func() bool { return len(r.messages()) > settled })
		r.messages()[settled].Settle(nil)
		settled++
	}
}

// The SDK's worker gives up for good when it is refused for minutes. The source then makes
// another one, and says what the first one failed with.
func TestSource_replacesAWorkerThatFailed(t *testing.T) {
	f, log := newFakeTemporal(t), &lines{}
	s := newTestSource(t, sourceConfig(f), SourceOptions{Logger: log.logger()})
	failures := make(chan func(error), 10) // one for each worker
	s.newWorker = func(c client.Client, queue string, o worker.Options) worker.Worker {
		failures <- o.OnFatalError
		return worker.New(c, queue, o)
	}
	r := start(t, s, nil)
	before := f.call("1", nil, plainJSON(eventJSON("before", "k")))
	m := r.first()
	(<-failures)(errors.New("refused for too long"))
	m.Settle(nil) // the worker that failed still answers
	f.closed(before)
	<-failures
	f.call("2", nil, plainJSON(eventJSON("after", "k")))
	until(t, "the next worker takes an event", func() bool { return len(r.messages()) == 2 })
	r.messages()[1].Settle(nil)
	if log.count("temporal at "+f.addr+": refused for too long") != 1 {
		t.Errorf("the log does not tell of the failure: %q", log.all)
	}
}

func TestSource_sendsTheAPIKeyOverTLSOnly(t *testing.T) {
	pair := newCertificate(t)
	f := newFakeTemporal(t, grpc.Creds(pair.server(t)))
	cfg := sourceConfig(f)
	cfg.TLS = config.TLS{CAFile: pair.certFile}
	cfg.Auth.APIKey = config.SecretFile(pair.write(t, "key", "s3cret"))
	r := start(t, newTestSource(t, cfg, SourceOptions{}), settle(nil))
	f.closed(f.call("1", nil, plainJSON(eventJSON("order-7", "k"))))
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.keys) == 0 || f.keys[0] != "Bearer s3cret" {
		t.Errorf("the credentials of polls are %q, want the key as a bearer token", f.keys)
	}
	if got := fmt.Sprintf("%v %+v", r.s.cfg, r.s.cfg); strings.Contains(got, "s3cret") {
		t.Error("the configuration prints the key")
	}
}

// A token of an OAuth2 server that the server refuses is replaced by another one.
func TestSource_fetchesATokenAndAnotherWhenItIsRefused(t *testing.T) {
	f, oauth := newFakeTemporal(t), newTokens(t)
	cfg := sourceConfig(f)
	cfg.Auth.OAuth2 = oauth.config()
	s := newTestSource(t, cfg, SourceOptions{})
	r := start(t, s, settle(nil))
	f.closed(f.call("1", nil, plainJSON(eventJSON("before", "k"))))
	token := s.server.credential.(*oauth2Token)
	token.mu.Lock()
	token.fetched = token.fetched.Add(-time.Hour) // it is not new
	token.mu.Unlock()
	f.refuse("RespondActivityTaskCompleted", status.Error(codes.Unauthenticated, "expired"))
	c := f.call("2", func(c *fakeCall) { c.attempts = 60 * time.Millisecond }, plainJSON(eventJSON("after", "k")))
	until(t, "the source fetches another token", func() bool { return oauth.given.Load() >= 2 })
	f.refuse("RespondActivityTaskCompleted", nil)
	f.closed(c)
	if got := r.messages(); len(got) != 2 {
		t.Errorf("%d messages are handed over, want 2", len(got))
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.keys[0] != "Bearer token1" {
		t.Errorf("the first credential is %q", f.keys[0])
	}
}

func TestSource_saysWhyThereIsNoToken(t *testing.T) {
	f, oauth := newFakeTemporal(t), newTokens(t)
	oauth.says(func(w http.ResponseWriter, _ int64) { w.WriteHeader(401) })
	cfg := sourceConfig(f)
	cfg.Auth.OAuth2 = oauth.config()
	r := start(t, newTestSource(t, cfg, SourceOptions{}), nil)
	want := "temporal at " + f.addr + ": the OAuth2 server answered 401: check clientID, clientSecret, scopes and audience"
	until(t, "Status says: "+want, func() bool { return r.s.Status().Problem == want })
}

func TestSource_saysThatItsKeyCannotBeRead(t *testing.T) {
	pair := newCertificate(t)
	f := newFakeTemporal(t, grpc.Creds(pair.server(t)))
	cfg := sourceConfig(f)
	cfg.TLS = config.TLS{CAFile: pair.certFile}
	cfg.Auth.APIKey = config.SecretFile(pair.dir + "/missing")
	r := start(t, newTestSource(t, cfg, SourceOptions{}), nil)
	until(t, "Status names auth.apiKey", func() bool { return strings.Contains(r.s.Status().Problem, "credential (auth.apiKey): ") })
}

// A rotated authority counts from the next connection on.
func TestSource_followsARotatedAuthority(t *testing.T) {
	t.Parallel() // it mostly waits
	pair, other := newCertificate(t), newCertificate(t)
	f := newFakeTemporal(t, grpc.Creds(pair.server(t)))
	cfg := sourceConfig(f)
	cfg.TLS = config.TLS{CAFile: other.certFile}
	r := start(t, newTestSource(t, cfg, SourceOptions{}), settle(nil))
	until(t, "Status says what is wrong with the certificate", func() bool {
		return strings.Contains(r.s.Status().Problem, "certificate signed by unknown authority")
	})
	other.replace(t, pair)
	f.closed(f.call("1", nil, plainJSON(eventJSON("order-7", "k"))))
}

func TestSource_needsItsFilesOfTLS(t *testing.T) {
	cfg := SourceConfig{ClientConfig: ClientConfig{Address: "h:1", TLS: config.TLS{CAFile: "/does/not/exist"}}, TaskQueue: "q"}
	_, err := NewSource(cfg, SourceOptions{})
	if err == nil || !strings.HasPrefix(err.Error(), "temporal source: tls: read caFile: ") {
		t.Errorf("NewSource returned %v, want a fault of caFile", err)
	}
}
