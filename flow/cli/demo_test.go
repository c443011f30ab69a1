package cli

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/lsm/fiso/common/command"
)

func TestDemo_provesThatNothingIsLost(t *testing.T) {
	r := call(t, "demo", "--length", "4s")
	r.wants(t, 0, "nothing was lost", "")
	r.wants(t, 0, "Try next:", "")
	for _, says := range []string{"DECODE_FAILED", "TRANSFORM_FAILED", "the order service fails", "is the first order in the new form"} {
		r.wants(t, 0, says, "")
	}
}

func TestDemo_keepsRunningWhenAsked(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var out output
	code := make(chan int, 1)
	go func() {
		code <- Main(ctx, []string{"demo", "--length", "1s", "--keep"}, command.IO{In: strings.NewReader(""), Out: &out, Err: &out, Getenv: func(string) string { return "" }})
	}()
	until(t, "the demo to stay", func() bool { return strings.Contains(out.String(), "Still running, until Ctrl-C") })
	cancel()
	if c := <-code; c != 0 {
		t.Errorf("exit code %d\n%s", c, out.String())
	}
}
