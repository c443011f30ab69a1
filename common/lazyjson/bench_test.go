package lazyjson

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// benchmarks are documents of different shapes.
var benchmarks = []struct {
	name string
	data []byte
}{
	{"order-500B", record},
	{"orders-1MB", []byte("[" + strings.Repeat(string(record)+",", 2000) + "null]")},
	{"long-strings-10KB", []byte(`{"id":"x","body":"` + strings.Repeat("Nothing to escape here. ", 400) + `","n":1}`)},
	{"many-small-members", manyMembers(200)},
	{"numbers", []byte("[" + strings.Repeat("1,-27,1945.25,0,1e-7,1234567890123,", 100) + "0]")},
	{"escapes", []byte(`["` + strings.Repeat(`a \"quoted\" word\n\u00e9 and a path C:\\x `, 50) + `"]`)},
	{"non-ascii", []byte(`["` + strings.Repeat("Größe: 42 – 日本語テキスト ", 100) + `"]`)},
	{"indented", indented(record)},
}

func indented(data []byte) []byte {
	var b bytes.Buffer
	_ = json.Indent(&b, data, "", "      ") // the input is valid JSON
	return b.Bytes()
}

func manyMembers(n int) []byte {
	out := []byte{'{'}
	for i := range n {
		out = fmt.Appendf(out, `"k%d":%d,"s%d":"v%d",`, i, i, i, i)
	}
	return append(out, `"last":true}`...)
}

func BenchmarkParse(b *testing.B) {
	for _, doc := range benchmarks {
		b.Run(doc.name, func(b *testing.B) {
			b.SetBytes(int64(len(doc.data)))
			b.ReportAllocs()
			var d Doc
			for b.Loop() {
				if d.Parse(doc.data) != nil {
					b.Fatal("it is no JSON")
				}
			}
		})
	}
}

// BenchmarkValid is encoding/json on the same documents, which keeps no values.
func BenchmarkValid(b *testing.B) {
	for _, doc := range benchmarks {
		b.Run(doc.name, func(b *testing.B) {
			b.SetBytes(int64(len(doc.data)))
			for b.Loop() {
				if !json.Valid(doc.data) {
					b.Fatal("it is no JSON")
				}
			}
		})
	}
}

func BenchmarkMember(b *testing.B) {
	var d Doc
	if err := d.Parse(record); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if d.Root().Member("region").Kind() != String {
			b.Fatal("no region")
		}
	}
}
