//go:build unix

package command

import (
	"context"
	"os"
	"syscall"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// U34: SIGHUP, which operators send to ask for a reload, ended the process without a
// drain.
func TestMain_endsWithSIGHUPInATerminalOnly(t *testing.T) {
	for _, row := range []struct {
		name     string
		terminal bool
		signals  []syscall.Signal
		cause    string
	}{
		{"in a terminal", true, []syscall.Signal{syscall.SIGHUP}, "hangup signal received"},
		{"elsewhere", false, []syscall.Signal{syscall.SIGHUP, syscall.SIGTERM}, "terminated signal received"},
	} {
		t.Run(row.name, func(t *testing.T) {
			ctx, stop := signalContext(row.terminal)
			defer stop()
			for _, s := range row.signals {
				if err := syscall.Kill(os.Getpid(), s); err != nil {
					t.Fatal(err)
				}
			}
			<-ctx.Done()
			if err := context.Cause(ctx); err == nil || err.Error() != row.cause {
				t.Errorf("it ended because of %v, want %s", err, row.cause)
			}
		})
	}
}
