package floor

import (
	"context"
	"fmt"
	"io"

	"github.com/twmb/franz-go/pkg/kgo"
)

// lines writes events as lines, one write per fetch.
type lines struct {
	w         io.Writer
	transform transformer
	buf       []byte
	filter    bool
}

func (l *lines) deliver(_ context.Context, b *batch, records []*kgo.Record) error {
	l.buf = l.buf[:0]
	for _, r := range records {
		keep, err := l.transform.read(r, l.filter)
		if err != nil {
			return err
		}
		if keep {
			l.buf = append(l.transform.appendEvent(l.buf, r), '\n')
		}
	}
	if _, err := l.w.Write(l.buf); err != nil {
		return fmt.Errorf("floor: %w", err)
	}
	b.done(len(records))
	return nil
}

func (l *lines) Close() error { return nil }

// topic writes events to a topic in binary mode.
type topic struct {
	cl        *kgo.Client
	to        string
	transform transformer
	filter    bool
	fail      func(error)
}

func (t *topic) deliver(_ context.Context, b *batch, records []*kgo.Record) error {
	promise := func(_ *kgo.Record, err error) {
		if err != nil {
			t.fail(fmt.Errorf("floor: produce: %w", err))
			return
		}
		b.done(1)
	}
	for _, r := range records {
		keep, err := t.transform.read(r, t.filter)
		if err != nil {
			return err
		}
		if !keep {
			b.done(1)
			continue
		}
		out := &kgo.Record{Topic: t.to, Key: r.Key, Timestamp: r.Timestamp, Headers: make([]kgo.RecordHeader, 0, 8)}
		// One allocation per record: the bytes outlive this call.
		buf := t.transform.appendData(make([]byte, 0, 256))
		out.Value = buf[:len(buf):len(buf)]
		t.transform.headers(r, "ce_", func(name string, value []byte) {
			at := len(buf)
			buf = append(buf, value...)
			out.Headers = append(out.Headers, kgo.RecordHeader{Key: name, Value: buf[at:len(buf):len(buf)]})
		})
		out.Headers = append(out.Headers, kgo.RecordHeader{Key: "content-type", Value: contentType}, kgo.RecordHeader{Key: "ce_fisohops", Value: hops})
		t.cl.Produce(context.Background(), out, promise)
	}
	return nil
}

func (t *topic) Close() error { return t.cl.Flush(context.Background()) }

var contentType, hops = []byte("application/json"), []byte("1")
