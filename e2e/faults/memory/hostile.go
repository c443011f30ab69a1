package memory

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/lsm/fiso/e2e/faults/internal/harness"
)

// hostileFlow reads every part of an event and delivers it.
const hostileFlow = `name: hostile
source:
  type: kafka
  config: {brokers: "%s", topic: %s, consumerGroup: hostile-%[2]s, startOffset: earliest}
filter: '!has(data.x) || data.x != "nobody"'
transform:
  fields: {mark: data.mark, all: data}
sink:
  type: http
  config: {url: "%[3]s"}
errorHandling: {deadLetterTopic: fiso-dlq-%[2]s, stopTheLine: {consecutive: 0}}
`

// target is the process that gets the hostile records.
type target struct {
	*harness.Member
	env   *harness.Env
	topic string
	cl    *kgo.Client
	marks atomic.Int64 // the newest mark that was delivered
	sent  int64
}

func hostile(ctx context.Context, s *harness.Env) (err error) {
	v := &target{env: s, topic: "hostile-" + s.Topic}
	if err := s.Kafka.CreateTopic(ctx, v.topic, 2, map[string]string{"max.message.bytes": "2097152"}); err != nil {
		return err
	}
	s.Service.Handle("hostile", v.recordMark)
	url := strings.TrimSuffix(s.Service.URL, "/by") + "/hostile"
	if v.Member, err = s.StartFile(ctx, "hostile", fmt.Sprintf(hostileFlow, strings.Join(s.Kafka.Brokers(), ","), v.topic, url)); err != nil {
		return err
	}
	if v.cl, err = client(s, kgo.NoCompression()); err != nil {
		return err
	}
	defer v.cl.Close()
	g, err := measureIdle(ctx, s, v.Member)
	if err != nil {
		return err
	}
	defer g.stop()
	if _, err := v.mark(ctx); err != nil { // so that the measured ones are not the first
		return err
	}
	if err := v.records(ctx, g); err != nil {
		return err
	}
	if err := v.bombs(ctx, g); err != nil {
		return err
	}
	return v.Stop(ctx)
}

// recordMark records the marks among the delivered events.
func (v *target) recordMark(body []byte) {
	const label = `"mark":`
	at := bytes.Index(body, []byte(label))
	if at < 0 {
		return
	}
	var n int64
	if _, err := fmt.Sscanf(string(body[at+len(label):min(len(body), at+len(label)+20)]), "%d", &n); err == nil && n > v.marks.Load() {
		v.marks.Store(n)
	}
}

// mark sends an ordinary record to the same partition as the hostile ones, and returns how long
// its delivery took.
func (v *target) mark(ctx context.Context) (time.Duration, error) {
	v.sent++
	r := &kgo.Record{Topic: v.topic, Key: []byte("key"), Value: fmt.Appendf(nil, `{"mark":%d}`, v.sent)}
	begun := time.Now()
	if err := v.cl.ProduceSync(ctx, r).FirstErr(); err != nil {
		return 0, fmt.Errorf("write a mark: %w", err)
	}
	err := v.env.WaitUntil(ctx, "delivering what comes after it", time.Minute, func() bool { return v.marks.Load() >= v.sent })
	return time.Since(begun), err
}

// records sends the hostile records one by one.
func (v *target) records(ctx context.Context, g *gauge) error {
	var faults []error
	slowest := time.Duration(0)
	for _, h := range records() {
		r := h.Record
		r.Topic, r.Key = v.topic, []byte("key")
		if err := v.cl.ProduceSync(ctx, &r).FirstErr(); err != nil {
			return fmt.Errorf("write %s: %w", h.name, err)
		}
		took, err := v.mark(ctx)
		if err != nil {
			return fmt.Errorf("%s: %w", h.name, err)
		}
		slowest = max(slowest, took)
		if took > prompt {
			faults = append(faults, fmt.Errorf("%s cost %v", h.name, took.Round(time.Millisecond)))
		}
	}
	v.env.Note("%d hostile records of up to 1 MiB: %s, the slowest took %v", len(records()), g, slowest.Round(time.Millisecond))
	return errors.Join(append(faults, g.judge())...)
}

// client writes to one partition and does not check sizes, so that the broker does.
func client(s *harness.Env, c kgo.CompressionCodec) (*kgo.Client, error) {
	cl, err := kgo.NewClient(kgo.SeedBrokers(s.Kafka.Brokers()...), kgo.DisableClientMetrics(), kgo.ProducerBatchCompression(c),
		kgo.BrokerMaxWriteBytes(1<<30), kgo.ProducerBatchMaxBytes(1<<30-1), kgo.MaxBufferedBytes(1<<30))
	if err != nil {
		return nil, fmt.Errorf("create the hostile producer: %w", err)
	}
	return cl, nil
}
