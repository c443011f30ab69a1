package fault_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/lsm/fiso/delivery/fault"
)

var errCause = errors.New("no such field")

func TestCodeOf_findsTheCodeHoweverItIsWrapped(t *testing.T) {
	f := fault.New(fault.TransformFailed, errCause)
	for name, tc := range map[string]struct {
		err  error
		want fault.Code
	}{
		"nil":              {nil, ""},
		"plain":            {errCause, ""},
		"bare":             {f, fault.TransformFailed},
		"wrapped":          {fmt.Errorf("field b: %w", f), fault.TransformFailed},
		"joined":           {errors.Join(errCause, f), fault.TransformFailed},
		"the first of two": {fault.New(fault.InterceptorFailed, f), fault.InterceptorFailed},
	} {
		t.Run(name, func(t *testing.T) {
			if got := fault.CodeOf(tc.err); got != tc.want {
				t.Errorf("CodeOf(%v) = %q, want %q", tc.err, got, tc.want)
			}
		})
	}
}

func TestError_isItsCauseInWordsAndInTheChain(t *testing.T) {
	err := fault.New(fault.DecodeFailed, errCause)
	if err.Error() != "no such field" || !errors.Is(err, errCause) {
		t.Errorf("%v", err)
	}
}

// The codes are part of the contract, spec section 3.5: a change breaks every
// alert, script and replay that names one.
func TestCodes_neverChange(t *testing.T) {
	for code, want := range map[fault.Code]string{
		fault.DecodeFailed:       "DECODE_FAILED",
		fault.SchemaMismatch:     "SCHEMA_MISMATCH",
		fault.TransformFailed:    "TRANSFORM_FAILED",
		fault.TransformTimeout:   "TRANSFORM_TIMEOUT",
		fault.OutputTooLarge:     "OUTPUT_TOO_LARGE",
		fault.InterceptorFailed:  "INTERCEPTOR_FAILED",
		fault.SinkDeliveryFailed: "SINK_DELIVERY_FAILED",
		fault.SinkRejected:       "SINK_REJECTED",
	} {
		if string(code) != want {
			t.Errorf("%q, want %q", code, want)
		}
	}
}

// U2: the value of a panic may be a part of an event, and is not shown.
func TestDescribePanic_tellsNoPayload(t *testing.T) {
	var m map[string]int
	for want, do := range map[string]func(){
		"assignment to entry in nil map": func() { m["canary"] = 1 },
		"panic(string)":                  func() { panic("canary") },
		"panic(*errors.errorString)":     func() { panic(errCause) },
	} {
		func() {
			defer func() {
				if got := fault.DescribePanic(recover()); got != want {
					t.Errorf("got %q, want %q", got, want)
				}
			}()
			do()
		}()
	}
}
