package target

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/lsm/fiso/common/config"
	"github.com/lsm/fiso/common/http1"
	"github.com/lsm/fiso/link/spec"
)

// key makes a target whose records have a key.
func key(t *testing.T, expression string) *Target {
	t.Helper()
	program, err := spec.CompileKey(config.Text{Value: expression})
	if err != nil {
		t.Fatal(err)
	}
	return &Target{key: program}
}

func TestRecordKey(t *testing.T) {
	c := Request{
		Method: "POST", Path: "/orders/42", Query: "q=1", Body: []byte(`{"id": 9007199254740993, "big": 18446744073709551615, "huge": 1e999, "long": 12345678901234567890123, "half": 1.5, "two": 2.0, "name": "a", "none": null, "list": [{"x": 7}]}`),
		Header: http1.Header{{Name: "X-Id", Value: "first"}, {Name: "x-iD", Value: "last"}},
	}
	for name, test := range map[string]struct{ expression, want string }{
		"nothing":                  {"", "<nil>"},
		"a header":                 {`headers["x-id"]`, "last"},
		"a header that is missing": {`headers[?"x-no"].orValue("")`, "<nil>"},
		"a whole number":           {"data.id", "9007199254740993"},
		"one without a sign":       {"data.big", "18446744073709551615"},
		"beyond a double":          {"data.huge", "1e999"},
		"a long number":            {"data.long", "12345678901234567890123"},
		"a decimal":                {"data.half", "1.5"},
		"a decimal that is whole":  {"data.two", "2"},
		"a text":                   {"data.name", "a"},
		"null":                     {"data.none", "<nil>"},
		"within":                   {"data.list[0].x", "7"},
		"a part of the path":       {`path.split("/")[2]`, "42"},
		"put together":             {`method + query + string(data.id)`, "POSTq=19007199254740993"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := key(t, test.expression).RecordKey(t.Context(), c)
			if err != nil {
				t.Fatal(err)
			}
			if got == nil {
				got = []byte("<nil>")
			}
			if string(got) != test.want {
				t.Errorf("%s, want %s", got, test.want)
			}
		})
	}
}

// L10: errors do not show values of the call.
// https://github.com/hashicorp/go-retryablehttp/issues/206
func TestRecordKey_saysWhatTheCallLacks(t *testing.T) {
	for name, test := range map[string]struct{ expression, body, want string }{
		"a field":            {"data.customer", `{"canary": 1}`, "no such key: customer"},
		"a header":           {`headers["x-id"]`, "", "no such key: x-id"},
		"JSON":               {"data.customer", "canary", "the body is not JSON"},
		"nothing behind it":  {"data.customer", `{"customer": 1} canary`, "the body is not JSON"},
		"a bracket behind":   {"data.customer", `{"customer": 1}}`, "the body is not JSON"},
		"UTF-8":              {"data.customer", "{\"customer\": 1, \"b\": \"canary\xff\"}", "the body is not JSON"},
		"a field by a value": {"data[data.name]", `{"name": "canary"}`, "a value of the call does not fit the expression"},
		"a text":             {"data.customer", `{"customer": true}`, "and this is of type bool"},
		"a number":           {"int(data.customer)", `{"customer": "canary"}`, "a value of the call does not fit the expression"},
		"a short one":        {"data.customer", `{"customer": "` + strings.Repeat("a", 4097) + `"}`, "at most 4096 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := key(t, test.expression).RecordKey(t.Context(), Request{Body: []byte(test.body)})
			if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "canary") {
				t.Error(err)
			}
		})
	}
}

// F17: nested loops over a body end at the cost limit.
// https://github.com/cert-manager/approver-policy/issues/923
func TestF17_anEvaluationIsBounded(t *testing.T) {
	body := []byte(`{"l": [` + strings.TrimSuffix(strings.Repeat("1,", 2000), ",") + `]}`)
	e := key(t, `data.l.all(a, data.l.all(b, data.l.all(c, c == 1))) ? path : query`)
	began := time.Now()
	if _, err := e.RecordKey(t.Context(), Request{Body: body}); err == nil || time.Since(began) > 5*time.Second {
		t.Errorf("%v after %v", err, time.Since(began))
	}
	if _, err := recordKey(t.Context(), e.key, Request{Body: body}, time.Nanosecond); !errors.Is(err, errSlow) {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := e.RecordKey(ctx, Request{Body: body}); err == nil {
		t.Error("it does not end with its call")
	}
}

func FuzzRecordKey(f *testing.F) {
	for _, s := range []string{`data.id`, `headers["x-id"]`, `path.split("/")[2]`, `data.l.map(x, x)[0]`, `((((`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		program, err := spec.CompileKey(config.Text{Value: s})
		if err != nil {
			return
		}
		k, err := (&Target{key: program}).RecordKey(t.Context(), Request{Path: "/a", Body: []byte(`{"id":1,"l":[1,2]}`)})
		if err == nil && len(k) > maxKey {
			t.Errorf("a key of %d bytes", len(k))
		}
	})
}
