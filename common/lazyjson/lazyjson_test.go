package lazyjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

var documents = []string{
	``, ` `, `{}`, `[]`, `null`, `true`, `false`, `nul`, `truex`, `tru`, `"`, `""`, `"a`, `"a\`, `"\u12`, `"\u12x4"`, `"\q"`,
	`0`, `-`, `-0`, `01`, `-01`, `1.`, `1.5`, `1e`, `1e+`, `1e+5`, `1E5`, `-1.5e-3`, `.5`, `+1`, `1x`, `1 2`,
	`{"a":1}`, `{"a":1,}`, `{,}`, `{"a"}`, `{"a":}`, `{"a":1 "b":2}`, `{"a" 1}`, `{a:1}`, `{"a":1]`, `{"a"`, `{"a":1`, `{`, `{"a":1,`,
	`[1,2,3]`, `[1,]`, `[,1]`, `[1 2]`, `[1}`, `[`, `[1`, `[[[[]]]]`, "\x00", "[\x00]", "\"a\x00b\"", "\"long enough \x01 for a word\"",
	"\"tab\there\"", "{\"a\":\n1\r\t}", "\xef\xbb\xbf{}", "\"\xff\xfe\"", "\"\u00e9 and more of it\"", `"\ud83d\ude00"`, `"\ud83d"`, `"\ud83dx"`,
	`"\ud83d\u0041"`, `"\ude00"`, `"a\u0062"`, `{"a\u0062":1,"ab":2}`, `{"ab":1,"a\u0062":2}`, `{"a":1,"a":{"b":[true,false,null]}}`,
	`{"n":12345678901234567890,"m":-9223372036854775808,"d":1.10,"z":-0}`, `"eight by" `, `"eight b\"" `, `"\\\\\\\\"`, `"\b\f\n\r\t\/"`,
	`{"legacy_id": "A-1", "order_status": "shipped", "items": [{"sku": "x", "price": 10.00}, {"sku": "y", "price": 1e2}]}`,
	strings.Repeat("[", 200) + strings.Repeat("]", 200), `{"é":1}`, "{\"\xff\":1}",
}

func FuzzLazyJSON(f *testing.F) {
	for _, doc := range documents {
		f.Add([]byte(doc))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var d Doc
		err := d.Parse(data)
		if valid := json.Valid(data) && utf8.Valid(data); valid != (err == nil) && !(valid && strings.Contains(err.Error(), "deeper than")) {
			t.Fatalf("%q: encoding/json and UTF-8 say %v, Parse says %v", data, valid, err)
		}
		if err != nil {
			checkFault(t, data, err)
			return
		}
		if n := len(d.nodes); n > len(data) {
			t.Fatalf("%d nodes for %d bytes", n, len(data))
		}
		dec := json.NewDecoder(bytes.NewReader(data))
		dec.UseNumber() // keeps the digits, and accepts numbers beyond the range of float64
		var want any
		if err := dec.Decode(&want); err != nil {
			t.Fatalf("%q: encoding/json cannot decode what it calls valid: %v", data, err)
		}
		if got := whole(d.Root()); !reflect.DeepEqual(got, want) {
			t.Fatalf("%q: got %v, want %v", data, got, want)
		}
	})
}

func FuzzParse_owesNothingToTheDocumentBefore(f *testing.F) {
	for i, doc := range documents {
		f.Add([]byte(documents[(i*7+1)%len(documents)]), []byte(doc))
	}
	f.Fuzz(func(t *testing.T, before, data []byte) {
		var warm, fresh Doc
		_ = warm.Parse(before)
		if got, want := warm.Parse(data), fresh.Parse(data); !reflect.DeepEqual(got, want) {
			t.Fatalf("%q after %q: %v, by itself: %v", data, before, got, want)
		}
		if !slices.Equal(warm.nodes, fresh.nodes) {
			t.Fatalf("%q after %q: %v, by itself: %v", data, before, warm.nodes, fresh.nodes)
		}
	})
}

func checkFault(t *testing.T, data []byte, err error) {
	t.Helper()
	var fault *SyntaxError
	if !errors.As(err, &fault) {
		t.Fatalf("%q: %T", data, err)
	}
	if fault.Offset < 0 || fault.Offset > len(data) {
		t.Fatalf("%q: fault at %d of %d bytes", data, fault.Offset, len(data))
	}
}

// whole decodes a value as encoding/json does: the last member of a name counts, and numbers
// keep their digits.
func whole(v Value) any {
	switch v.Kind() {
	case Null:
		return nil
	case True, False:
		return v.Kind() == True
	case Number, Integer:
		return json.Number(v.Raw())
	case String:
		if v.View() != v.Text() {
			return "a view that is not the text"
		}
		return v.Text()
	case Array:
		all := []any{}
		for e := v.First(); e.Kind() != Absent; e = e.Next(v) {
			all = append(all, whole(e))
		}
		return all
	default:
		all := map[string]any{}
		for e := v.First(); e.Kind() != Absent; e = e.Next(v) {
			if e.NameView() != e.Name() {
				return "a view that is not the name"
			}
			all[e.Name()] = whole(v.Member(e.Name()))
		}
		return all
	}
}

func TestParse_refusesWhatNestsTooDeeply(t *testing.T) {
	for _, envelope := range []int{0, 2} {
		for depth, sound := range map[int]bool{MaxDepth + envelope: true, MaxDepth + envelope + 1: false} {
			for _, brackets := range []string{"[]", `{"a":0}`} {
				data := strings.Repeat("[", depth-1) + brackets + strings.Repeat("]", depth-1)
				var d Doc
				err := d.ParseEnvelope([]byte(data), envelope)
				want := fmt.Sprintf("not valid JSON at byte %d: it nests deeper than %d levels", depth-1, MaxDepth)
				if (err == nil) != sound || err != nil && err.Error() != want {
					t.Errorf("depth %d of %s in an envelope of %d: %v", depth, brackets, envelope, err)
				}
			}
		}
	}
}

func TestHasLoneSurrogate(t *testing.T) {
	for data, want := range map[string]bool{
		`"plain"`: false, `"é\n"`: false, `7`: false, `"\ud83d\ude00"`: false, `"a\\ud83d"`: false, `"\u0041"`: false,
		`"\ud83d"`: true, `"\ude00"`: true, `"\ud83d\n"`: true, `"\ud83d\ud83d\ude00"`: true, `"\ud83d\ude00\ude00"`: true,
	} {
		var d Doc
		if err := d.Parse([]byte(data)); err != nil || d.Root().HasLoneSurrogate() != want {
			t.Errorf("%s: %v, want %v", data, err, want)
		}
	}
}

func TestParse_saysWhereAndWhatButNotTheData(t *testing.T) {
	for data, want := range map[string]string{
		`{"secret":1 "b":2}`:   "not valid JSON at byte 12: a comma or } is missing after a member",
		`["secret" 2]`:         "not valid JSON at byte 10: a comma or ] is missing after an element",
		`{"secret":tru }`:      "not valid JSON at byte 13: neither true, false nor null",
		`{"secret":1`:          "not valid JSON at byte 11: it ends too early",
		`{"secret" 1}`:         "not valid JSON at byte 10: a colon is missing after the name of a member",
		`{"secret"`:            "not valid JSON at byte 9: it ends too early",
		`{secret:1}`:           "not valid JSON at byte 1: the name of a member is missing",
		`{"a":1,`:              "not valid JSON at byte 7: it ends too early",
		`secret`:               "not valid JSON at byte 0: not the beginning of a value",
		`0123`:                 "not valid JSON at byte 1: a number with a leading zero",
		`1.x`:                  "not valid JSON at byte 2: a digit is missing in a number",
		`1.`:                   "not valid JSON at byte 2: it ends too early",
		`"\u00g0"`:             `not valid JSON at byte 5: \u needs four hexadecimal digits`,
		`"\secret"`:            "not valid JSON at byte 2: not an escape that JSON knows",
		"\"a\nb\"":             "not valid JSON at byte 2: a control character inside of a string",
		`{} {}`:                "not valid JSON at byte 3: there is more after the end of the value",
		``:                     "not valid JSON at byte 0: it ends too early",
		"\xef\xbb\xbf{}":       "not valid JSON at byte 0: a byte order mark, which JSON does not have",
		"\"secret é\xff\"":     "not valid JSON at byte 10: bytes that are not UTF-8",
		"{\"\xed\xa0\x80\":1}": "not valid JSON at byte 2: bytes that are not UTF-8",
		`tr`:                   "not valid JSON at byte 2: it ends too early",
	} {
		var d Doc
		err := d.Parse([]byte(data))
		if err == nil || err.Error() != want {
			t.Errorf("%s: got %v, want %s", data, err, want)
		}
		if strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: the error quotes the document", data)
		}
		if d.Root().Kind() != Absent {
			t.Errorf("%s: a document that does not parse has a root", data)
		}
	}
}

func TestMember_takesTheLastOfANameAndDecodesEscapedNames(t *testing.T) {
	var d Doc
	for data, want := range map[string]string{
		`{"ab":1,"a\u0062":2}`: "2", `{"a\u0062":1,"ab":2}`: "2", `{"a":1}`: "", `[1]`: "", `{"ab":{"ab":3}}`: `{"ab":3}`,
		`{"x":{"ab":1}}`: "", `"ab"`: "",
	} {
		if err := d.Parse([]byte(data)); err != nil {
			t.Fatal(err)
		}
		if got := string(d.Root().Member("ab").Raw()); got != want {
			t.Errorf("%s: got %q, want %q", data, got, want)
		}
	}
}

func TestValue_isAbsentWhereThereIsNothing(t *testing.T) {
	var d Doc
	if v := d.Root(); v.Kind() != Absent || v.Raw() != nil || v.Len() != 0 || v.First().Kind() != Absent || v.Text() != "" {
		t.Error("the root of nothing is something")
	}
	if err := d.Parse([]byte(`{"a":[1,[2],"x"],"e":{}}`)); err != nil {
		t.Fatal(err)
	}
	a := d.Root().Member("a")
	for _, i := range []int{-1, 3} {
		if a.Index(i).Kind() != Absent {
			t.Errorf("element %d exists", i)
		}
	}
	if got := string(a.Index(2).Raw()); got != `"x"` || !a.Index(2).Plain() || a.Plain() {
		t.Errorf("element 2 is %s", got)
	}
	if d.Root().Index(0).Kind() != Absent || d.Root().Member("e").First().Kind() != Absent {
		t.Error("an object has elements, or an empty one has members")
	}
	d.Release(0)
	if d.Root().Kind() != Absent || d.nodes != nil {
		t.Error("a released document has a root or memory")
	}
}

func TestNumbers_keepWhatTheyAre(t *testing.T) {
	var d Doc
	if err := d.Parse([]byte(`[9223372036854775807,-9223372036854775808,9223372036854775808,-0,1.0,1e999,-42,true,0]`)); err != nil {
		t.Fatal(err)
	}
	v := d.Root()
	for i, want := range []struct {
		n  int64
		ok bool
		f  float64
	}{
		{math.MaxInt64, true, math.MaxInt64}, {math.MinInt64, true, math.MinInt64}, {0, false, 1 << 63}, {0, false, 0},
		{0, false, 1}, {0, false, math.Inf(1)}, {-42, true, -42}, {0, false, 0}, {0, true, 0},
	} {
		n, ok := v.Index(i).Int()
		if ok != want.ok || ok && n != want.n || v.Index(i).Float() != want.f {
			t.Errorf("element %d: %d %v %v", i, n, ok, v.Index(i).Float())
		}
	}
}

func TestKind_readsAsAWord(t *testing.T) {
	for kind, want := range map[Kind]string{Absent: "nothing", Null: "null", True: "a boolean", False: "a boolean",
		Number: "a number", Integer: "a number", String: "a string", Array: "a list", Object: "an object"} {
		if kind.String() != want {
			t.Errorf("%d: %s", kind, kind)
		}
	}
}

var record = func() []byte {
	s := `{"legacy_id":"A-10293","order_status":"shipped","customer":{"id":8812,"name":"Jane Miller","email":"jane@example.com"},` +
		`"items":[{"sku":"KX-1","quantity":2,"price":19.99},{"sku":"KX-22","quantity":1,"price":5.00}],"region":"eu","total":44.98,` +
		`"address":{"street":"Long Street 12","city":"Hamburg","zip":"20095","country":"DE"},"note":"leave it at the door, please",`
	return []byte(s + `"pad":"` + strings.Repeat("x", 500-len(s)-10) + `"}`)
}()

func TestParse_allocatesNothingOnceWarm(t *testing.T) {
	var d Doc
	if n := testing.AllocsPerRun(100, func() {
		if d.Parse(record) != nil || d.Root().Member("region").Kind() != String {
			t.Fatal("no region")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
