//go:build integration

package kafka

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lsm/fiso/common/config"
	"github.com/lsm/fiso/common/connector"
	"github.com/lsm/fiso/connectors/kafka/kafkatest"
	"github.com/twmb/franz-go/pkg/kgo"
)

// place is a topic and a group for one test on a real cluster.
type place struct {
	c     *kafkatest.RealCluster
	topic string
	t     *testing.T
}

func newPlace(t *testing.T, c *kafkatest.RealCluster, partitions int32, configs map[string]string) place {
	t.Helper()
	p := place{c, strings.ToLower(strings.ReplaceAll(t.Name(), "/", "-")), t}
	if err := c.CreateTopic(t.Context(), p.topic, partitions, configs); err != nil {
		t.Fatal(err)
	}
	return p
}

func (p place) source(change ...func(*SourceConfig)) SourceConfig {
	cfg := SourceConfig{
		ClientConfig:  ClientConfig{Brokers: config.Strings(p.c.Brokers())},
		ConsumerGroup: p.topic, StartOffset: "earliest", Topic: p.topic,
		CommitInterval: 50 * time.Millisecond, HeartbeatInterval: 200 * time.Millisecond, SessionTimeout: 6 * time.Second,
	}
	for _, fn := range change {
		fn(&cfg)
	}
	return cfg
}

func (p place) fill(partition int32, from, n int) {
	p.t.Helper()
	var rs []*kgo.Record
	for i := from; i < from+n; i++ {
		rs = append(rs, &kgo.Record{Topic: p.topic, Partition: partition, Value: fmt.Appendf(nil, "p%d-v%05d", partition, i)})
	}
	if err := p.c.Produce(p.t.Context(), rs...); err != nil {
		p.t.Fatal(err)
	}
}

func (p place) committed(partition int32) int64 {
	all, err := p.c.Committed(p.t.Context(), p.topic, p.topic)
	if at, ok := all[partition]; ok && err == nil {
		return at
	}
	return -1
}

// cable is a network that can be cut for good.
type cable struct {
	mu    sync.Mutex
	gone  bool
	conns []net.Conn
}

func (c *cable) dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		return nil, err
	}
	if c.gone {
		_ = conn.Close()
		return nil, net.ErrClosed
	}
	c.conns = append(c.conns, conn)
	return conn, nil
}

func (c *cable) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.gone = true
	for _, conn := range c.conns {
		_ = conn.Close()
	}
}

func TestReal_oneBroker(t *testing.T) {
	c := kafkatest.Real(t, kafkatest.RealOptions{})

	t.Run("members come and go", func(t *testing.T) {
		p := newPlace(t, c, 6, nil)
		for n := range int32(6) {
			p.fill(n, 0, 500)
		}
		a := begin(t, p.source(), nil)
		eventually(t, "a has all", func() bool { return a.assigned() == 6 })
		b := begin(t, p.source(), nil)
		d := begin(t, p.source(), nil)
		eventually(t, "all have a part", func() bool { return a.assigned() == 2 && b.assigned() == 2 && d.assigned() == 2 })
		for n := range int32(6) {
			p.fill(n, 500, 500)
		}
		b.stop()
		eventually(t, "two share", func() bool { return a.assigned()+d.assigned() == 6 })
		for n := range int32(6) {
			p.fill(n, 1000, 500)
		}
		eventually(t, "all", func() bool { return a.count()+b.count()+d.count() >= 9000 })
		all := slices.Concat(a.values(), b.values(), d.values())
		slices.Sort(all)
		if n := len(slices.Compact(slices.Clone(all))); n != 9000 || len(all) != 9000 {
			t.Errorf("%d deliveries of %d distinct records, want 9000 of 9000", len(all), n)
		}
	})
	t.Run("start positions", func(t *testing.T) {
		base := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
		p := newPlace(t, c, 1, map[string]string{"message.timestamp.type": "CreateTime", "retention.ms": "-1"})
		for i := range 10 {
			if err := c.Produce(t.Context(), &kgo.Record{Topic: p.topic, Value: []byte("x"), Timestamp: base.Add(time.Duration(i) * time.Second)}); err != nil {
				t.Fatal(err)
			}
		}
		for start, want := range map[string]int64{"earliest": 0, "latest": 10, "7": 7, "2026-01-02T03:04:11Z": 6, "99": 10} {
			m := begin(t, p.source(func(cfg *SourceConfig) { cfg.StartOffset, cfg.ConsumerGroup = StartOffset(start), p.topic+start }), nil)
			eventually(t, start, func() bool {
				st := m.Status().Partitions
				return len(st) == 1 && st[0].Committed >= want && st[0].Lag == 0
			})
			if got := m.count(); got != int(10-want) {
				t.Errorf("%s: %d messages, want %d", start, got, 10-want)
			}
			m.stop()
		}
	})
	t.Run("later partitions", func(t *testing.T) {
		p := newPlace(t, c, 1, nil)
		p.fill(0, 0, 10)
		m := begin(t, p.source(func(cfg *SourceConfig) { cfg.StartOffset, cfg.MetadataMaxAge = "latest", time.Second }), nil)
		eventually(t, "start", func() bool { return p.committed(0) == 10 })
		if err := c.AddPartitions(t.Context(), p.topic, 3); err != nil {
			t.Fatal(err)
		}
		p.fill(2, 0, 5)
		eventually(t, "the later partition", func() bool { return len(m.offsets(2)) == 5 })
	})
	t.Run("retention passes the commit", func(t *testing.T) {
		p := newPlace(t, c, 1, nil)
		p.fill(0, 0, 10)
		if err := errors.Join(c.Commit(t.Context(), p.topic, p.topic, 0, 2), c.DeleteRecords(t.Context(), p.topic, 0, 5)); err != nil {
			t.Fatal(err)
		}
		m := begin(t, p.source(), nil)
		eventually(t, "the rest", func() bool { return m.count() == 5 && p.committed(0) == 10 })
		if got := m.allGaps(); !slices.Equal(got, []Gap{{p.topic, 0, 2, 5}}) {
			t.Errorf("gaps %v", got)
		}
	})
	t.Run("transactions", func(t *testing.T) {
		p := newPlace(t, c, 1, nil)
		for i, commit := range []bool{true, false, true} {
			if err := c.ProduceTx(t.Context(), p.topic, commit, &kgo.Record{Topic: p.topic, Value: fmt.Append(nil, i)}); err != nil {
				t.Fatal(err)
			}
		}
		m := begin(t, p.source(), nil)
		eventually(t, "no lag", func() bool {
			st := m.Status().Partitions
			return len(st) == 1 && st[0].Lag == 0 && st[0].End == 6
		})
		if got := m.values(); !slices.Equal(got, []string{"0", "2"}) {
			t.Errorf("read %q, want the committed 0 and 2", got)
		}
	})
	t.Run("static membership", func(t *testing.T) {
		p := newPlace(t, c, 2, nil)
		p.fill(0, 0, 5)
		cfg := p.source(func(cfg *SourceConfig) { cfg.InstanceID = "one" })
		other := begin(t, p.source(func(cfg *SourceConfig) { cfg.InstanceID = "two" }), nil)
		m := begin(t, cfg, nil)
		eventually(t, "both have one", func() bool { return m.assigned() == 1 && other.assigned() == 1 })
		own := m.Status().Partitions[0].Partition
		m.stop()
		again := begin(t, cfg, nil)
		eventually(t, "the same one back", func() bool { return again.assigned() == 1 })
		if got := again.Status().Partitions[0].Partition; got != own {
			t.Errorf("came back to partition %d, had %d", got, own)
		}
		p.fill(own, 5, 5)
		eventually(t, "goes on", func() bool { return len(again.offsets(own)) >= 5 })
	})
	t.Run("a crash with a stuck record", func(t *testing.T) {
		p := newPlace(t, c, 1, nil)
		p.fill(0, 0, 1001)
		var wire cable
		m := begin(t, p.source(), holding(0), func(o *SourceOptions) { o.Dial = wire.dial })
		eventually(t, "all are handed over", func() bool { return m.count() == 1001 })
		eventually(t, "what is done is committed", func() bool {
			at := commitOf(t, c, p.topic, p.topic, 0)
			return countOffsets(doneIn(at.Metadata, at.At, at.TopicID, 0)) == 1000
		})
		wire.cut()
		m.stop()
		again := begin(t, p.source(), nil)
		p.fill(0, 1001, 1)
		eventually(t, "all is committed", func() bool { return p.committed(0) == 1002 })
		if got := again.offsets(0); !slices.Equal(got, []int64{0, 1001}) {
			t.Errorf("%d were handed over, want the stuck record 0 and the new one alone", len(got))
		}
	})
	t.Run("missing topic and check", func(t *testing.T) {
		p := place{c, "no-such-topic", t}
		m := begin(t, p.source(), nil)
		eventually(t, "the problem", func() bool { return strings.Contains(m.Status().Problem, "create topic no-such-topic") })
		steps := m.Check(t.Context())
		if !slices.ContainsFunc(steps, func(s connector.Step) bool { return s.Name == "topic no-such-topic" && errors.Is(s.Err, ErrNoTopic) }) {
			t.Errorf("check: %+v", steps)
		}
		if err := c.CreateTopic(t.Context(), p.topic, 1, nil); err != nil {
			t.Fatal(err)
		}
		p.fill(0, 0, 3)
		eventually(t, "three", func() bool { return m.count() == 3 && m.Status().Problem == "" })
		for _, s := range m.Check(t.Context()) {
			if s.Err != nil {
				t.Errorf("check %s: %v", s.Name, s.Err)
			}
		}
	})
	t.Run("dead letters byte for byte", func(t *testing.T) {
		p := newPlace(t, c, 3, nil)
		producer, err := NewProducer(ProducerConfig{ClientConfig: ClientConfig{Brokers: c.Brokers()}}, ProducerOptions{CreateTopics: true})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = producer.Close(t.Context()) }()
		dlq := p.topic + "-dlq"
		want := map[string]Record{}
		var wg sync.WaitGroup
		for i := range 200 {
			r := Record{Topic: dlq, Key: fmt.Append(nil, i), Value: bytes.Repeat([]byte{byte(i), 0, 255}, i), Time: time.UnixMilli(int64(1700000000000 + i)),
				Headers: []connector.Header{{Key: "fiso-error-code", Value: []byte("X")}, {Key: "a", Value: nil}, {Key: "a", Value: []byte{0, 1}}}}
			want[string(r.Key)] = r
			wg.Go(func() {
				if err := producer.Produce(t.Context(), r); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		n := 0
		err = ReadTopic(t.Context(), producer.cfg.ClientConfig, dlq, ReadOptions{}, func(r Record) error {
			n++
			w := want[string(r.Key)]
			if !bytes.Equal(r.Value, w.Value) || !r.Time.Equal(w.Time) || len(r.Headers) != 3 || !bytes.Equal(r.Headers[2].Value, []byte{0, 1}) {
				t.Errorf("%s came back as %+v", r.Key, r)
			}
			return nil
		})
		if err != nil || n != 200 {
			t.Errorf("%d read back, %v", n, err)
		}
	})
	t.Run("too large", func(t *testing.T) {
		p := newPlace(t, c, 1, map[string]string{"max.message.bytes": "20000"})
		producer, err := NewProducer(ProducerConfig{ClientConfig: ClientConfig{Brokers: c.Brokers()}, Compression: "none"}, ProducerOptions{})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = producer.Close(t.Context()) }()
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				if err := producer.Produce(t.Context(), Record{Topic: p.topic, Value: []byte("small")}); err != nil {
					t.Error(err)
				}
			})
		}
		if err := producer.Produce(t.Context(), Record{Topic: p.topic, Value: make([]byte, 50000)}); !errors.Is(err, ErrTooLarge) || connector.ClassOf(err) != connector.Permanent {
			t.Errorf("%v, class %v", err, connector.ClassOf(err))
		}
		wg.Wait()
	})
}

func TestReal_brokersRestartUnderLoad(t *testing.T) {
	c := kafkatest.Real(t, kafkatest.RealOptions{Brokers: 3})
	p := newPlace(t, c, 6, nil)
	producer, err := NewProducer(ProducerConfig{ClientConfig: ClientConfig{Brokers: c.Brokers()}}, ProducerOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = producer.Close(t.Context()) }()
	stop := make(chan struct{})
	var mu sync.Mutex
	stored := map[string]bool{}
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				v := fmt.Sprintf("w%d-%06d", w, i)
				if err := producer.Produce(t.Context(), Record{Topic: p.topic, Key: fmt.Append(nil, w), Value: []byte(v)}); err == nil {
					mu.Lock()
					stored[v] = true
					mu.Unlock()
				}
			}
		})
	}
	a := begin(t, p.source(), nil)
	b := begin(t, p.source(), nil)
	eventually(t, "both at work", func() bool { return a.count() > 0 && b.count() > 0 })
	for id := 1; id <= 3; id++ {
		if id == 2 {
			c.Kill(id)
			c.Start(id)
		} else {
			c.Restart(id)
		}
		before := a.count() + b.count()
		eventually(t, "work goes on", func() bool { return a.count()+b.count() > before })
	}
	close(stop)
	wg.Wait()
	ends, err := c.Ends(t.Context(), p.topic)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "everything is settled", func() bool {
		for n, end := range ends {
			if p.committed(n) != end {
				return false
			}
		}
		return true
	})
	seen := map[string]int{}
	for _, v := range slices.Concat(a.values(), b.values()) {
		seen[v]++
	}
	for v := range stored {
		if seen[v] == 0 {
			t.Errorf("%s was reported stored and never delivered", v)
		}
	}
	there := map[string]int{}
	rs, err := c.Records(t.Context(), p.topic)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rs {
		there[string(r.Value)]++
	}
	for v := range stored {
		if there[v] != 1 {
			t.Errorf("%s was reported stored and is there %d times", v, there[v])
		}
	}
	t.Logf("%d stored, %d deliveries", len(stored), a.count()+b.count())
}

func TestReal_security(t *testing.T) {
	c := kafkatest.Real(t, kafkatest.RealOptions{SASL: true, TLS: true, ClientCerts: true})
	certs := config.TLS{CAFile: c.Certs.CA, CertFile: c.Certs.ClientCert, KeyFile: c.Certs.ClientKey}
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(kafkatest.UnsecuredToken(time.Hour)), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, sasl := range map[string]SASLConfig{
		"plain":       {Mechanism: MechanismPlain, Username: kafkatest.User, Password: secret(kafkatest.Password)},
		"scram-256":   {Mechanism: MechanismSCRAM256, Username: kafkatest.User, Password: secret(kafkatest.Password)},
		"scram-512":   {Mechanism: MechanismSCRAM512, Username: kafkatest.User, Password: secret(kafkatest.Password)},
		"oauthbearer": {Mechanism: MechanismOAUTHBEARER, Token: secret(kafkatest.UnsecuredToken(time.Hour))},
		"token file":  {Mechanism: MechanismOAUTHBEARER, TokenFile: file},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t, c, 1, nil)
			p.fill(0, 0, 3)
			m := begin(t, p.source(func(cfg *SourceConfig) { cfg.SASL, cfg.TLS = sasl, certs }), nil)
			eventually(t, "three", func() bool { return m.count() == 3 })
			for _, s := range m.Check(t.Context()) {
				if s.Err != nil {
					t.Errorf("check %s: %v", s.Name, s.Err)
				}
			}
		})
	}
	good := SASLConfig{Mechanism: MechanismPlain, Username: kafkatest.User, Password: secret(kafkatest.Password)}
	for name, tc := range map[string]struct {
		sasl SASLConfig
		tls  config.TLS
		want string
	}{
		"wrong password":    {SASLConfig{Mechanism: MechanismSCRAM256, Username: kafkatest.User, Password: secret("wrong-one")}, certs, "refused the credentials"},
		"no authority":      {good, config.TLS{Enabled: true, CertFile: certs.CertFile, KeyFile: certs.KeyFile}, "check tls.caFile"},
		"no tls":            {good, config.TLS{}, "tls endpoint"},
		"no client cert":    {good, config.TLS{CAFile: certs.CAFile}, "tls"},
		"no authentication": {SASLConfig{}, certs, "sasl"},
	} {
		t.Run(name, func(t *testing.T) {
			p := place{c, "any", t}
			m := begin(t, p.source(func(cfg *SourceConfig) { cfg.SASL, cfg.TLS = tc.sasl, tc.tls }), nil)
			eventually(t, "the problem "+tc.want, func() bool { return strings.Contains(m.Status().Problem, tc.want) })
			if strings.Contains(m.Status().Problem, "wrong-one") {
				t.Error("the password is in the problem")
			}
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			steps := m.Check(ctx)
			if last := steps[len(steps)-1]; last.Err == nil {
				t.Errorf("check found nothing: %+v", steps)
			}
		})
	}
}
