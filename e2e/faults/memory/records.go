package memory

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// hostileRecord is designed to be as expensive as possible.
type hostileRecord struct {
	name string
	kgo.Record
}

// maxRecord is the size of a hostile record.
const maxRecord = 1<<20 - 1<<10

// records returns all hostile records, of at most 1 MiB each.
func records() []hostileRecord {
	var all []hostileRecord
	value := func(name, text string) {
		all = append(all, hostileRecord{name, kgo.Record{Value: []byte(text[:min(len(text), maxRecord)])}})
	}
	fill := func(part string) string { return strings.Repeat(part, maxRecord/len(part)+1) }
	half := func(part string) string { return strings.Repeat(part, maxRecord/2/len(part)-8) }
	value("open brackets", fill("["))
	value("open braces", fill(`{"x":`))
	value("nested lists", `{"x":`+half("[")+half("]")+`}`)
	value("nested objects", half(`{"x":`)+"1"+strings.Repeat("}", maxRecord/2/5-8))
	value("a number of a million digits", `{"x":`+fill("9")[:maxRecord-10]+`}`)
	value("a huge exponent", `{"x":1e`+fill("9")[:maxRecord-10]+`}`)
	value("one string", `{"x":"`+fill("a")[:maxRecord-10]+`"}`)
	value("one string of escapes", `{"x":"`+fill(`\u0000`)[:(maxRecord-20)/6*6]+`"}`)
	value("one key again and again", `{`+fill(`"x":1,`)[:(maxRecord-20)/6*6]+`"x":1}`)
	value("empty lists", `{"x":[`+fill(`[],`)[:(maxRecord-20)/3*3]+`[]]}`)
	value("NUL bytes", fill("\x00"))
	value("NUL bytes in a string", `{"x":"`+fill("\x00")[:maxRecord-10]+`"}`)
	value("invalid UTF-8", `{"x":"`+fill("\xff\xfe")[:maxRecord-10]+`"}`)
	value("lone surrogates", `{"x":"`+fill(`\ud800`)[:(maxRecord-20)/6*6]+`"}`)
	value("white space", fill(" ")[:maxRecord-20]+`{}`)
	value("nothing", "")
	var keys bytes.Buffer
	keys.WriteString(`{"x":1`)
	for n := 0; keys.Len() < maxRecord-40; n++ {
		fmt.Fprintf(&keys, `,"%d":%d`, n, n)
	}
	value("many keys", keys.String()+`}`)
	var headers []kgo.RecordHeader
	for n := range 50_000 {
		headers = append(headers, kgo.RecordHeader{Key: fmt.Sprintf("h%d", n), Value: []byte("value")})
	}
	all = append(all,
		hostileRecord{"fifty thousand headers", kgo.Record{Value: []byte(`{"x":1}`), Headers: headers}},
		hostileRecord{"one header", kgo.Record{Value: []byte(`{"x":1}`), Headers: []kgo.RecordHeader{{Key: fill("h")[:maxRecord/2],
			Value: []byte(fill("v")[:maxRecord/2-200])}}}},
		hostileRecord{"a trace of a million bytes", kgo.Record{Value: []byte(`{"x":1}`), Headers: []kgo.RecordHeader{{Key: "traceparent",
			Value: []byte(fill("0")[:maxRecord-200])}}}},
	)
	return all
}

// bombs sends batches that are small until they are decompressed: first some that the source
// accepts, then some that it must refuse, which block their partition.
func (v *target) bombs(ctx context.Context, g *gauge) error {
	for _, b := range []struct {
		name     string
		codec    kgo.CompressionCodec
		unpacked int
		taken    bool
	}{
		{"zstd", kgo.ZstdCompression(), 44 << 20, true},
		{"gzip", kgo.GzipCompression(), 44 << 20, true},
		{"zstd", kgo.ZstdCompression(), 600 << 20, false},
	} {
		name := fmt.Sprintf("a batch that %s makes %d MiB of", b.name, b.unpacked>>20)
		if err := v.bomb(ctx, b.codec, b.unpacked); err != nil {
			return fmt.Errorf("write %s: %w", name, err)
		}
		if b.taken {
			took, err := v.mark(ctx)
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			v.env.Note("%s took %v, %s", name, took.Round(time.Millisecond), g)
		} else {
			err := v.env.WaitUntil(ctx, "/readyz to report "+name, time.Minute, func() bool { return strings.Contains(v.Problem(ctx), "maxBatchBytes") })
			if err != nil {
				return fmt.Errorf("%w\n%s", err, v.Problem(ctx))
			}
			v.env.Note("%s holds its partition, %s", name, g)
		}
		if err := g.judge(); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// bomb writes one batch of records of 1 MiB of zeros.
func (v *target) bomb(ctx context.Context, codec kgo.CompressionCodec, unpacked int) error {
	cl, err := client(v.env, codec)
	if err != nil {
		return err
	}
	defer cl.Close()
	zeros := make([]byte, 1<<20)
	var all []*kgo.Record
	for range unpacked >> 20 {
		all = append(all, &kgo.Record{Topic: v.topic, Key: []byte("key"), Value: zeros})
	}
	return cl.ProduceSync(ctx, all...).FirstErr()
}
