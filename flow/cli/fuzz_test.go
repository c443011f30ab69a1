package cli

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/lsm/fiso/common/cloudevent"
	"github.com/lsm/fiso/common/config"
	"github.com/lsm/fiso/flow/plan"
)

// FuzzParseTests: a test file that parses gives records that can be built and compared; otherwise
// the error has a position.
func FuzzParseTests(f *testing.F) {
	f.Add([]byte(good))
	f.Add([]byte("tests: [{name: a, input: \"\\xff\", output: 1e999}]\n"))
	f.Add([]byte("flow: ../x.yaml\ntests:\n- {name: a, filtered: true, headers: {a: b}, offset: -1}\n"))
	f.Add([]byte("tests: [{name: a}]\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		tests, err := parseTests("f_test.yaml", data)
		if err != nil {
			var faults config.Errors
			if !errors.As(err, &faults) || !strings.Contains(err.Error(), "f_test.yaml") {
				t.Fatalf("an error without its place: %v", err)
			}
			return
		}
		for i := range tests.Tests {
			c := &tests.Tests[i]
			m, err := c.message()
			if err != nil {
				continue
			}
			if c.Filtered && c.compareOutcome(nil, nil) != "" || c.Error != "" && c.compareOutcome(nil, nil) == "" {
				t.Errorf("%+v was judged wrongly", c)
			}
			c.compareOutcome([]plan.Delivery{{Sink: "s", Event: &cloudevent.Event{Data: cloudevent.Bytes(m.Value)}}}, nil)
		}
	})
}

// FuzzSameJSON: every document equals itself, whatever its numbers are, and the comparison is
// symmetric.
func FuzzSameJSON(f *testing.F) {
	for _, s := range []string{`{"a":1,"b":[1.0,1e2]}`, `1e999999999`, `-0`, `0e-999999999`, `[{"a":null}]`, `""`} {
		f.Add([]byte(s), []byte(`1`))
	}
	f.Fuzz(func(t *testing.T, a, b []byte) {
		if sameJSON(a, b) != sameJSON(b, a) {
			t.Errorf("%q and %q are the same one way only", a, b)
		}
		if !json.Valid(a) {
			return
		}
		if !sameJSON(a, a) {
			t.Errorf("%q is not what it is", a)
		}
	})
}
