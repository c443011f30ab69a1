package kafka

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lsm/fiso/common/config"
	"github.com/lsm/fiso/common/connector"
	"github.com/lsm/fiso/connectors/kafka/kafkatest"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func names(steps []connector.Step) string {
	var all []string
	for _, s := range steps {
		all = append(all, s.Name)
	}
	return strings.Join(all, ", ")
}

func TestCheck_namesTheStepThatFails(t *testing.T) {
	c := kafkatest.Embedded(t, kafkatest.Options{Topics: map[string]int32{"t": 1}})
	check := func(change ...func(*SourceConfig)) []connector.Step {
		s, err := NewSource(testSource(c, change...), SourceOptions{})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		return s.Check(ctx)
	}
	good := check()
	for _, s := range good {
		if s.Err != nil {
			t.Errorf("%s: %v", s.Name, s.Err)
		}
	}
	for _, want := range []string{"resolve 127.0.0.1", "connect to " + c.Brokers()[0], "speak to the cluster", "topic t", "consumer group g"} {
		if !strings.Contains(names(good), want) {
			t.Errorf("no step %q in %s", want, names(good))
		}
	}
	c.Fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Metadata}, Topic: "denied", Err: kerr.TopicAuthorizationFailed})
	for last, change := range map[string]func(*SourceConfig){
		"resolve no.such.host.invalid": func(cfg *SourceConfig) { cfg.Brokers = []string{"no.such.host.invalid"} },
		"connect to 127.0.0.1:1":       func(cfg *SourceConfig) { cfg.Brokers = []string{"127.0.0.1:1"} },
		"tls":                          func(cfg *SourceConfig) { cfg.TLS.Enabled = true; cfg.DialTimeout = 300 * time.Millisecond },
		"topic denied":                 func(cfg *SourceConfig) { cfg.Topic = "denied" },
		"topics that match ^nothing":   func(cfg *SourceConfig) { cfg.TopicsPattern = "^nothing" },
	} {
		steps := check(change)
		if got := steps[len(steps)-1]; got.Name != last || got.Err == nil {
			t.Errorf("last step %q, %v; want %q to fail", got.Name, got.Err, last)
		}
	}
	if steps := check(func(cfg *SourceConfig) { cfg.TopicsPattern = "^t$" }); steps[len(steps)-1].Err != nil {
		t.Errorf("by pattern: %+v", steps)
	}
	c.Fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.DescribeGroups}, Group: "g", Err: kerr.GroupAuthorizationFailed})
	if steps := check(); steps[len(steps)-1].Err == nil {
		t.Errorf("a group that is refused: %+v", steps)
	}
}

// U23: a new cluster has no coordinator until the first request for one.
func TestCheck_waitsForTheFirstCoordinator(t *testing.T) {
	t.Parallel() // it mostly waits
	c := kafkatest.Embedded(t, kafkatest.Options{Topics: map[string]int32{"t": 1}})
	f := c.Fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.FindCoordinator}, Err: kerr.CoordinatorNotAvailable, Count: 5})
	for _, s := range checkSource(t, testSource(c)) {
		if s.Err != nil {
			t.Errorf("%s: %v", s.Name, s.Err)
		}
	}
	f.Remove()
	c.Fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.FindCoordinator}, Err: kerr.CoordinatorNotAvailable, Count: -1})
	steps := checkSource(t, testSource(c))
	const want = "the cluster has no coordinator for the group yet: COORDINATOR_NOT_AVAILABLE"
	if last := steps[len(steps)-1]; last.Err == nil || !strings.HasPrefix(last.Err.Error(), want) {
		t.Errorf("%s: %v, want %q", last.Name, last.Err, want)
	}
}

func TestSink_check(t *testing.T) {
	c := kafkatest.Embedded(t, kafkatest.Options{
		Topics:  map[string]int32{"t": 1},
		Options: []kfake.Opt{kfake.EnableSASL(), kfake.Superuser("SCRAM-SHA-256", "u", "p")},
		Client:  []kgo.Opt{kgo.SASL((&SASLConfig{Mechanism: MechanismSCRAM256, Username: "u", Password: secret("p")}).mechanism())},
	})
	for password, ok := range map[string]bool{"p": true, "q": false} {
		cfg := SinkConfig{ProducerConfig: ProducerConfig{ClientConfig: ClientConfig{Brokers: c.Brokers()}}, Topic: "t"}
		cfg.SASL = SASLConfig{Mechanism: MechanismSCRAM256, Username: "u", Password: secret(password)}
		s, err := NewSink(cfg, ProducerOptions{Dial: (&net.Dialer{}).DialContext})
		if err != nil {
			t.Fatal(err)
		}
		steps := s.Check(t.Context())
		if last := steps[len(steps)-1]; (last.Err == nil) != ok {
			t.Errorf("password %s: %+v", password, steps)
		}
		if !strings.Contains(names(steps), "authenticate by SCRAM-SHA-256") {
			t.Errorf("steps %s", names(steps))
		}
		_ = s.Close(t.Context()) // nothing is in flight
	}
}

func TestClassify(t *testing.T) {
	for name, tc := range map[string]struct {
		err   error
		class connector.Class
		words string
	}{
		"too large":         {kerr.MessageTooLarge, connector.Permanent, "max.message.bytes"},
		"invalid":           {kerr.InvalidRecord, connector.Permanent, "INVALID_RECORD"},
		"no topic":          {kerr.UnknownTopicOrPartition, connector.Blocked, "create topic t"},
		"credentials":       {kerr.SaslAuthenticationFailed, connector.Blocked, "check sasl.mechanism"},
		"mechanism":         {kerr.UnsupportedSaslMechanism, connector.Blocked, "does not take this"},
		"rights":            {kerr.TopicAuthorizationFailed, connector.Blocked, "grant it"},
		"replicas":          {kerr.NotEnoughReplicas, connector.Blocked, "NOT_ENOUGH_REPLICAS"},
		"undelivered":       {errUndelivered, connector.Blocked, "no broker took"},
		"dial":              {&net.OpError{Op: "dial", Err: errors.New("refused")}, connector.Blocked, "refused"},
		"reset":             {&net.OpError{Op: "read", Err: errors.New("reset")}, connector.Unavailable, "reset"},
		"hung up":           {io.EOF, connector.Unavailable, "EOF"},
		"read":              {&net.OpError{Op: "read", Err: context.Canceled}, connector.Interrupted, "canceled"},
		"authority":         {x509.UnknownAuthorityError{}, connector.Blocked, "check tls.caFile"},
		"certificate":       {&tls.CertificateVerificationError{Err: errors.New("bad")}, connector.Blocked, "check tls.caFile"},
		"no tls there":      {tls.RecordHeaderError{Msg: "odd"}, connector.Blocked, "check tls.caFile"},
		"first read":        {&kgo.ErrFirstReadEOF{}, connector.Blocked, "check tls and sasl"},
		"closed":            {kgo.ErrClientClosed, connector.Blocked, "closed"},
		"timed out":         {kerr.RequestTimedOut, connector.Temporary, "REQUEST_TIMED_OUT"},
		"unknown":           {errors.New("odd"), connector.Temporary, "odd"},
		"cancelled":         {context.Canceled, connector.Interrupted, "canceled"},
		"cancelled dialing": {fmt.Errorf("%w: %w", context.Canceled, &net.OpError{Op: "dial", Err: errors.New("x")}), connector.Interrupted, "x"},
	} {
		for form, err := range map[string]error{"bare": tc.err, "wrapped": fmt.Errorf("while producing: %w", tc.err)} {
			got := classify("t", err)
			if connector.ClassOf(got) != tc.class || !strings.Contains(got.Error(), tc.words) || !errors.Is(got, tc.err) && name != "closed" && name != "no topic" {
				t.Errorf("%s, %s: class %v, %v", name, form, connector.ClassOf(got), got)
			}
		}
	}
	if classify("t", nil) != nil || explain(nil) != nil {
		t.Error("no error became one")
	}
	for err, want := range map[error]string{
		kerr.GroupAuthorizationFailed: "grant it READ on consumerGroup", kerr.FencedInstanceID: "same instanceId",
	} {
		if got := explain(err); !strings.Contains(got.Error(), want) {
			t.Errorf("explained as %v", got)
		}
	}
	if got := topicProblem("t", kerr.TopicAuthorizationFailed); !strings.Contains(got.Error(), "topic t") {
		t.Errorf("topic problem %v", got)
	}
}

func TestInFlightLimit_servesWaitersInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newInFlightLimit(3, 100)
		if err := p.acquire(t.Context(), 60); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancelCause(t.Context())
		why := errors.New("why")
		gone, big, small := make(chan error, 1), make(chan error, 1), make(chan error, 1)
		go func() { gone <- p.acquire(ctx, 70) }()
		synctest.Wait()
		go func() { big <- p.acquire(t.Context(), 500) }()
		synctest.Wait()
		go func() { small <- p.acquire(t.Context(), 1) }()
		synctest.Wait()
		if p.try(1) {
			t.Error("a newcomer went past those that wait")
		}
		cancel(why)
		if err := <-gone; !errors.Is(err, why) {
			t.Errorf("cancelled: %v", err)
		}
		if synctest.Wait(); len(big)+len(small) > 0 {
			t.Error("there is no room yet")
		}
		p.release(60)
		if err := <-big; err != nil { // it is larger than the limit, so it waits until it is alone
			t.Error(err)
		}
		if synctest.Wait(); len(small) > 0 {
			t.Error("it is not alone")
		}
		p.release(500)
		if err := <-small; err != nil {
			t.Error(err)
		}
		p.release(1)
		if !p.has(3) || !p.try(100) || p.try(1) {
			t.Error("places or bytes were not given back")
		}
		over, end := context.WithCancel(t.Context())
		end()
		if err := p.acquire(over, 1); !errors.Is(err, context.Canceled) {
			t.Errorf("a context that ended: %v", err)
		}
	})
}

// has reports whether n more records would be accepted.
func (p *inFlightLimit) has(n int) bool {
	ok := p.number.TryAcquire(int64(n))
	if ok {
		p.number.Release(int64(n))
	}
	return ok
}

func TestClient_logsFranzGoLower(t *testing.T) {
	for level, want := range map[slog.Level]kgo.LogLevel{slog.LevelDebug: kgo.LogLevelInfo, slog.LevelInfo: kgo.LogLevelWarn, slog.LevelWarn: kgo.LogLevelNone} {
		var out strings.Builder
		l := kgoLogger{slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: level}))}
		if got := l.Level(); got != want {
			t.Errorf("at %v: %v, want %v", level, got, want)
		}
		l.Log(kgo.LogLevelWarn, "odd", "key", "value")
		l.Log(kgo.LogLevelInfo, "dull")
		if got := strings.Contains(out.String(), "franz-go: odd"); got != (level <= slog.LevelInfo) {
			t.Errorf("at %v: %s", level, out.String())
		}
	}
}

func TestClient_tls(t *testing.T) {
	c := ClientConfig{Brokers: []string{"b"}}
	config.Defaults(&c)
	c.TLS = config.TLS{CAFile: "/no/such/file"}
	if _, err := c.options(nil, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "tls: ") {
		t.Errorf("a CA file that is not there: %v", err)
	}
	source := SourceConfig{ClientConfig: c, Topic: "t", ConsumerGroup: "g"}
	if _, err := NewSource(source, SourceOptions{}); err == nil {
		t.Error("NewSource took it")
	}
	if _, err := NewProducer(ProducerConfig{ClientConfig: c}, ProducerOptions{}); err == nil {
		t.Error("NewProducer took it")
	}
	if _, err := NewSink(SinkConfig{ProducerConfig: ProducerConfig{ClientConfig: c}, Topic: "t"}, ProducerOptions{}); err == nil {
		t.Error("NewSink took it")
	}
	if err := ReadTopic(t.Context(), c, "t", ReadOptions{}, nil); err == nil {
		t.Error("ReadTopic took it")
	}
	c.TLS = config.TLS{Enabled: true}
	for _, dial := range []DialFunc{nil, (&net.Dialer{}).DialContext} {
		if _, err := c.options(dial, slog.New(slog.DiscardHandler)); err != nil {
			t.Error(err)
		}
	}
	refused := errors.New("refused")
	dial := overTLS(func(context.Context, string, string) (net.Conn, error) { return nil, refused }, func() *tls.Config { return &tls.Config{} })
	if _, err := dial(t.Context(), "tcp", "b:1"); !errors.Is(err, refused) {
		t.Errorf("a dial that fails: %v", err)
	}
}
