package proxy

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/lsm/fiso/common/http1"
	"github.com/lsm/fiso/link/internal/target"
)

func members(n int) string {
	var all []string
	for i := range n {
		all = append(all, fmt.Sprintf("bar%02d=%02d", i, i))
	}
	return strings.Join(all, ",")
}

// UL16: the inputs of the W3C Trace Context test suite, and what must be forwarded
// (https://github.com/w3c/trace-context/blob/main/test/test.py).
func TestTrace_carriesTheTracestateByTheRulesOfW3C(t *testing.T) {
	const keys = "abcdefghijklmnopqrstuvwxyz0123456789_-*/"
	printable := ""
	for c := byte(' '); c <= '~'; c++ {
		if c != ',' && c != '=' {
			printable += string(c)
		}
	}
	for name, test := range map[string]struct {
		fields []string // fields named tracestate
		want   string
	}{
		"one member":                      {[]string{"foo=1"}, "foo=1"},
		"two members":                     {[]string{"foo=1,bar=2"}, "foo=1,bar=2"},
		"an empty field":                  {[]string{""}, ""},
		"an empty field behind another":   {[]string{"foo=1", ""}, "foo=1"},
		"an empty field before another":   {[]string{"", "foo=1"}, "foo=1"},
		"several fields":                  {[]string{"foo=1,bar=2", "rojo=1,congo=2", "baz=3"}, "foo=1,bar=2,rojo=1,congo=2,baz=3"},
		"a member twice":                  {[]string{"foo=1,foo=1"}, "foo=1"},
		"a key twice":                     {[]string{"foo=1,bar=3,foo=2"}, "foo=1,bar=3"},
		"a key twice, and 32 of them":     {[]string{members(32), "bar00=1"}, members(32)},
		"a member in two fields":          {[]string{"foo=1", "foo=1"}, "foo=1"},
		"a key in two fields":             {[]string{"foo=1", "foo=2"}, "foo=1"},
		"every character of a key":        {[]string{keys + "=" + printable}, keys + "=" + printable},
		"every character, with a vendor":  {[]string{keys + "@a-z0-9_-*/=" + printable}, keys + "@a-z0-9_-*/=" + printable},
		"a key that begins with a digit":  {[]string{"0foo=1"}, "0foo=1"},
		"white space":                     {[]string{"foo=1 \t , \t bar=2, \t baz=3"}, "foo=1,bar=2,baz=3"},
		"tabs":                            {[]string{"\t foo=1 \t"}, "foo=1"},
		"members of white space":          {[]string{"foo=1, ,\t,bar=2,"}, "foo=1,bar=2"},
		"a value that begins with spaces": {[]string{"foo=  1 "}, "foo=  1"},
		"a space in a key":                {[]string{"foo =1"}, ""},
		"upper case in a key":             {[]string{"FOO=1"}, ""},
		"a dot in a key":                  {[]string{"foo.bar=1"}, ""},
		"a key that ends with @":          {[]string{"foo@=1,bar=2"}, "foo@=1,bar=2"},
		"a key that begins with @":        {[]string{"@foo=1,bar=2"}, ""},
		"@ twice in a row":                {[]string{"foo@@bar=1,bar=2"}, "foo@@bar=1,bar=2"},
		"@ twice":                         {[]string{"foo@bar@baz=1,bar=2"}, "foo@bar@baz=1,bar=2"},
		"32 members":                      {[]string{members(10), members(32)[10*len("bar00=00,"):]}, members(32)},
		"33 members":                      {[]string{members(33)}, ""},
		"a long key":                      {[]string{"foo=1", strings.Repeat("z", 256) + "=1"}, "foo=1," + strings.Repeat("z", 256) + "=1"},
		"a key that is too long":          {[]string{"foo=1", strings.Repeat("z", 257) + "=1"}, ""},
		"a long tenant":                   {[]string{"foo=1", strings.Repeat("t", 242) + "@v=1"}, "foo=1," + strings.Repeat("t", 242) + "@v=1"},
		"a long vendor":                   {[]string{"foo=1", "t@" + strings.Repeat("v", 15) + "=1"}, "foo=1,t@" + strings.Repeat("v", 15) + "=1"},
		"a long value":                    {[]string{"foo=" + strings.Repeat("v", 256)}, "foo=" + strings.Repeat("v", 256)},
		"a value that is too long":        {[]string{"foo=" + strings.Repeat("v", 257)}, ""},
		"= in a value":                    {[]string{"foo=bar=baz"}, ""},
		"no value":                        {[]string{"foo=,bar=3"}, ""},
		"no =":                            {[]string{"foo,bar=3"}, ""},
		"a value beyond ASCII":            {[]string{"foo=\u00e4"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			var sent http1.Header
			up := trip(func(_ context.Context, _ string, out *http1.Outgoing, _ func(int, http1.Header)) (*http1.Answer, error) {
				sent = out.Header
				return answer(200, ""), nil
			})
			fields := []string{"traceparent", sampled}
			for _, f := range test.fields {
				fields = append(fields, "tracestate", f)
			}
			traced(t, "", target.Parts{Transport: up}, request("GET", "/link/crm/", "", fields...))
			if got := sent.Get("tracestate"); got != test.want {
				t.Errorf("got  %q\nwant %q", got, test.want)
			}
			if parent := sent.Get("traceparent"); !strings.HasPrefix(parent, "00-"+aTrace+"-") {
				t.Errorf("the trace is %q", parent)
			}
		})
	}
}

// UL16: the tracestate of a trace that is not continued is dropped.
func TestTrace_dropsTheTracestateOfAnotherTrace(t *testing.T) {
	for name, parent := range map[string]string{
		"none": "", "malformed": "00-1-2-01", "a version that cannot be": "ff-" + aTrace + "-" + aParent + "-01",
		"text behind it": sampled + "-more", "no trace": "00-00000000000000000000000000000000-" + aParent + "-01",
	} {
		t.Run(name, func(t *testing.T) {
			var sent http1.Header
			up := trip(func(_ context.Context, _ string, out *http1.Outgoing, _ func(int, http1.Header)) (*http1.Answer, error) {
				sent = out.Header
				return answer(200, ""), nil
			})
			fields := []string{"tracestate", "foo@=1,bar=2"}
			if parent != "" {
				fields = append(fields, "traceparent", parent)
			}
			traced(t, "", target.Parts{Transport: up}, request("GET", "/link/crm/", "", fields...))
			if state, of := sent.Get("tracestate"), sent.Get("traceparent"); state != "" || of == "" || strings.Contains(of, aTrace) {
				t.Errorf("tracestate %q of %q", state, of)
			}
		})
	}
}
