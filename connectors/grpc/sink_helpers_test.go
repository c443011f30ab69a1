package grpc

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lsm/fiso/common/connector"
)

// eventually waits for a condition that another goroutine fulfils.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	deadline := time.After(10 * time.Second)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("never: %s", what)
		}
	}
}

// throughout watches a condition for a while.
func throughout(t testing.TB, what string, holds func() bool) {
	t.Helper()
	end := time.After(50 * time.Millisecond)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		if !holds() {
			t.Fatalf("did not stay true: %s", what)
		}
		select {
		case <-tick.C:
		case <-end:
			return
		}
	}
}

func wantError(t testing.TB, err error, class connector.Class, text string) {
	t.Helper()
	if err == nil {
		t.Errorf("no error; want a %v one with %q", class, text)
		return
	}
	if got := connector.ClassOf(err); got != class {
		t.Errorf("class of %q is %v; want %v", err, got, class)
	}
	if !strings.Contains(err.Error(), text) {
		t.Errorf("got  %v\nwant %s", err, text)
	}
}

func wantIDs(t testing.TB, s *session, want ...string) {
	t.Helper()
	var got []string
	eventually(t, "the stream has "+strings.Join(want, " "), func() bool {
		got = s.ids()
		return len(got) >= len(want)
	})
	if !slices.Equal(got, want) {
		t.Errorf("the stream has %v; want %v", got, want)
	}
}
