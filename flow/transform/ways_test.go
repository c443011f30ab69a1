package transform

import (
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"testing"

	"github.com/lsm/fiso/cel/celjson"
	"github.com/lsm/fiso/delivery/fault"
)

// example is the transform of the contract, section 3.1.
const example = `{"order_id": data.legacy_id, "timestamp": time, "status": data.order_status}`

// record is an order of 500 bytes.
const record = `{"legacy_id":"A-10293","order_status":"shipped","customer":{"id":8812,"name":"Jane Miller","email":"jane@example.com"},` +
	`"items":[{"sku":"KX-1","quantity":2,"price":19.99},{"sku":"KX-22","quantity":1,"price":5.00}],"region":"eu","total":44.98,` +
	`"address":{"street":"Long Street 12","city":"Hamburg","zip":"20095","country":"DE"},"note":"leave it at the door, please",` +
	`"big":9007199254740993,"huge":123456789012345678901234567890,"vip":true,"none":null,"tags":["a","b","c"],"pad":"xxxxxxxxxxxxxxxxxxx"}`

var expressions = []string{
	example, `data`, `data.customer`, `data.items[0].sku`, `data["items"][1]["price"]`, `data.missing`, `data.customer.missing`, `data.none`,
	`data.none.x`, `data.items[2]`, `data.items[-1]`, `data.tags["a"]`, `data.customer[0]`, `data.total`, `data.huge`, `data.big`, `data.a`, `data.n`,
	`{"a": data.total, "b": [data.huge, {"c": data.items[1].price}], "d": 1, "e": "x\"y", "f": null, "g": 1.5, "h": true, "i": b"abc"}`,
	`{"t": time, "u": string(time), "id": id, "s": source, "ty": type, "su": subject, "h": headers, "h2": headers.tenant, "h3": headers["tenant"]}`,
	`data.items.map(i, {"sku": i.sku, "price": i.price})`, `data.items.map(i, i.price)`, `data.items.filter(i, i.price > 10.0)`,
	`data.items.map(i, i.quantity * 2)`, `data.items.all(i, i.quantity > 0)`, `data.items.exists_one(i, i.sku == "KX-1")`,
	`data.tags.map(t, t.upperAscii()).join(",")`, `data.vip ? data.total : data.big`, `data.vip ? [data.total] : [data.big]`,
	`has(data.vip) && data.vip`, `has(data.nothing)`, `has(data.customer.id) ? data.customer.id : -1`, `data.total * 2.0`, `data.big + 1`,
	`data.big * 1.5`, `double(data.big) * 1.5`, `data.total == 44.98`, `44.98 == data.total`, `data.total > 44`, `data.big > 1.0`, `data.huge > 1`,
	`data.total in [44.98, 1.0]`, `data.total in [data.total]`, `[data.total] == [44.98]`, `[44.98] == [data.total]`, `{"a": data.total} == {"a": 44.98}`,
	`data.items[0] == {"sku":"KX-1","quantity":2,"price":19.99}`, `{"sku":"KX-1","quantity":2,"price":19.99} == data.items[0]`, `data.items == data.items`,
	`data.items + [data.total]`, `[data.total] + data.items`, `size(data.items)`, `size(data)`, `size(data.customer.name)`, `data.tags + data.tags`,
	`"a" in data.tags`, `"sku" in data.items[0]`, `1 in data`, `data.customer.map(k, k).sort()`, `data.customer.exists(k, k == "id")`,
	`data.items.map(i, i.price).sort()`, `math.greatest(data.items.map(i, i.price))`, `math.greatest([data.total, 1.0])`, `math.least(data.total, 50)`,
	`"%s costs %.2f".format([data.legacy_id, data.total])`, `"%d %s".format([data.big, data.customer])`, `string(data.total)`, `int(data.total)`,
	`cel.bind(x, data.total, [x, x])`, `cel.bind(x, data.total, x * 2.0)`, `cel.bind(l, data.items.map(i, i.price), l.sort() + l)`,
	`data.?total.orValue(1.0)`, `data.?nothing.orValue(1.0)`, `data.?total.orValue(1.0) * 2.0`, `2.0 * data.?total.orValue(1.0)`, `{?"a": data.?total, ?"b": data.?nothing}`,
	`[?data.?total, ?data.?nothing]`, `data.customer.transformMap(k, v, string(v))`, `data.items.transformList(i, v, v.price)`, `data.items.transformList(i, v, v.price * double(i))`,
	`data.customer.transformMap(k, v, v)`, `sets.contains(data.tags, ["a"])`, `sets.contains([data.total], [44.98])`, `data.tags.reverse()`, `data.items.slice(0, 1)`,
	`[data.items, data.items].flatten()`, `lists.range(3).map(i, data.tags[i])`, `data.tags[lists.range(2)[1]]`, `data.items.sortBy(i, i.price).map(i, i.sku)`,
	`base64.encode(bytes(data.legacy_id))`, `json.encode({"a": [1, data.total]})`, `data.legacy_id.matches("^A-[0-9]+$")`, `regex.replace(data.legacy_id, "[0-9]", "x")`,
	`regex.extract(data.legacy_id, "([0-9]+)").orValue("")`, `type(data.total) == double`, `type(data.big) == int`, `dyn(data.total)`, `dyn(data.total) * 2.0`,
	`timestamp("2026-01-01T00:00:00Z") < time`, `time.getFullYear()`, `duration("90s")`, `time - duration("1h")`, `1 / 0`, `data.big / 0`, `int(data.legacy_id)`,
	`{data.legacy_id: 1}`, `{"a": {data.legacy_id: data.total}}`, `{1: "x", 2: "y"}`, `{true: 1}`, `data.items.map(i, i.missing)`, `-data.total`, `-data.big`, `data.total - data.items[1].price`,
	`data.total + data.big`, `[1, 2.5, data.total].map(x, x)`, `data.total < data.items[0].price`, `[[data.total]] == [[44.98]]`, `data.items.exists(i, i == data.items[1])`,
	`[data.items[0].price, data.items[1].price].distinct()`, `data.tags.last().orValue("")`, `data.items.first().value().price`, `data.huge == data.huge`, `data.tags.map(t, data[t])`, `data[data.tags[0]]`,
	`data.items.map(i, [i.price, {"p": i.price}])`, `!data.vip`, `data.legacy_id + data.order_status`, `data.none == null`, `data.none`, `data.big == 9007199254740993`, `data.big == 9007199254740992`,
	`data.items.map(i, i.price > 10.0, i.price)`, `optional.of(data.total).value()`, `optional.of(data.total).optMap(x, x * 2.0).orValue(0.0)`, `{"a": 1}.a`, `[1, 2][data.customer.id - 8811]`,
	`data.items[data.n]`, `data.d`, `data.d == 1`, `data.d + 1.0`, `[data.d, data.d2]`, `data.d == data.d2`, `data.o`, `size(data.o)`, `data.o.map(k, data.o[k]).sort()`,
}

var documents = []string{
	record, `{}`, `[]`, `null`, `1`, `"x"`, `1.50`, `{"a":{"b":null},"n":0,"items":[]}`, `{"n":-0,"d":1.0,"d2":1.00,"o":{"k":1,"k":2.0,"j":3}}`,
	`{"n":1.0,"items":[1,2,3],"tags":["a"]}`, `{"items":{"a":1},"total":"x","tags":[1,2.0,3.10],"customer":{"a":1.10,"b":2}}`,
	`{"a\u0062":1,"legacy_id":"\u00e9\ud83d\ude00","order_status":"\"\\\u0001","items":[{"price":1e2,"sku":"","quantity":1}],"total":1e+300}`,
	`{"vip":false,"big":18446744073709551615,"huge":-9223372036854775808,"total":0.1,"customer":{"id":9223372036854775807}}`,
	" {\"legacy_id\" : [ 1 , 2 ] ,\n \"order_status\" : { } }\n",
}

// same evaluates one expression on one document in all three ways.
func same(t testing.TB, w *ways, source, doc string) {
	t.Helper()
	v := newVars(t, doc)
	want, wantErr := w.byReference(doc)
	for name, way := range map[string]func(*vars) (string, error){"lazy": w.byLazy, "template": w.byTemplate} {
		got, err := way(v)
		if err != nil && strings.Contains(err.Error(), panicked) {
			t.Errorf("%s on %s: %s panicked", source, doc, name)
		}
		if wantErr == nil && isLimit(err) {
			continue // the reference has none
		}
		if (err == nil) != (wantErr == nil) {
			t.Errorf("%s on %s: %s gave %q, %v; the reference gave %q, %v", source, doc, name, got, err, want, wantErr)
			continue
		}
		if err == nil && !sameJSON(t, got, want) {
			t.Errorf("%s on %s: %s gave %s; the reference gave %s", source, doc, name, got, want)
		}
	}
}

// isLimit reports whether a limit of this package ended an evaluation.
func isLimit(err error) bool {
	if err == nil {
		return false
	}
	if code := fault.CodeOf(err); code == fault.TransformTimeout || code == fault.OutputTooLarge {
		return true
	}
	for _, limit := range []string{"steps that an expression has", celjson.ErrTooLarge.Error(), celjson.ErrOutput.Error(), "a function would do too much work on values this large"} {
		if strings.Contains(err.Error(), limit) {
			return true
		}
	}
	return false
}

// holdsBig reports whether a document has a number that CEL's numbers cannot hold: see TestProcess_keepsTheDigitsOfBigNumbers.
func holdsBig(doc string) bool {
	d := json.NewDecoder(strings.NewReader(doc))
	d.UseNumber()
	for {
		switch token, err := d.Token(); n := token.(type) {
		case json.Number:
			if _, err := strconv.ParseUint(strings.TrimPrefix(string(n), "-"), 10, 63); err == nil {
				continue
			}
			if f, err := n.Float64(); err != nil || !strings.ContainsAny(string(n), ".eE") && math.Abs(f) > 1<<63 {
				return true
			}
		default:
			if err != nil {
				return false
			}
		}
	}
}

func TestEvaluation_isTheSameDecodedLazyAndAsTemplate(t *testing.T) {
	for _, source := range expressions {
		w, err := newWays(source)
		if err != nil {
			t.Errorf("%s: %v", source, err)
			continue
		}
		for _, doc := range documents {
			same(t, w, source, doc)
		}
	}
}

func FuzzEvaluation(f *testing.F) {
	for i, source := range expressions {
		f.Add(source, documents[i%len(documents)])
	}
	f.Fuzz(func(t *testing.T, source, doc string) {
		if len(source) > 400 || len(doc) > 4000 || strings.Contains(source, "json") || !json.Valid([]byte(doc)) || holdsBig(doc) {
			return
		}
		w, err := newWays(source)
		if err != nil {
			return
		}
		same(t, w, source, doc)
	})
}

func BenchmarkTransform(b *testing.B) {
	w, err := newWays(example)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("decoded", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := w.byReference(record); err != nil {
				b.Fatal(err)
			}
		}
	})
	v := newVars(b, record)
	b.Run("lazy", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if v.doc.Parse([]byte(record)) != nil {
				b.Fatal()
			}
			if _, err := w.byLazy(v); err != nil {
				b.Fatal(err)
			}
		}
	})
	data := []byte(record)
	b.Run("template", func(b *testing.B) {
		b.ReportAllocs()
		var out []byte
		for b.Loop() {
			if v.doc.Parse(data) != nil {
				b.Fatal()
			}
			if out, err = w.template.write(out[:0], v, 1<<20); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("template-without-parse", func(b *testing.B) {
		b.ReportAllocs()
		var out []byte
		for b.Loop() {
			if out, err = w.template.write(out[:0], v, 1<<20); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkProcess(b *testing.B) {
	m := message(record)
	for _, row := range []struct {
		name string
		cfg  Config
	}{
		{"pass", Config{}},
		{"drop", Config{Filter: text(`data.region == "us"`), CEL: text(example)}},
		{"drop-by-cel-go", Config{Filter: text(`data.region.lowerAscii() == "us"`), CEL: text(example)}},
		{"example", Config{CEL: text(example)}},
		{"filter-and-example", Config{Filter: text(`has(data.region) && data.region in ["eu", "us"]`), CEL: text(example)}},
		{"attributes", Config{ID: text("data.legacy_id"), Type: text(`"order." + data.order_status`), Subject: text("data.customer.id")}},
	} {
		b.Run(row.name, func(b *testing.B) {
			p := mustNew(b, row.cfg)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := p.Process(b.Context(), m); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
