package temporal

import (
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestSDKLogger_isBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &lines{}
		l := newSDKLogger(out.logger()).With("TaskQueue", "events")
		for range 100 {
			l.Warn("RecordActivityHeartbeat with error", "Error", errNotDone)
		}
		if got := out.count("RecordActivityHeartbeat with error"); got != logLines {
			t.Errorf("%d lines are written, want %d", got, logLines)
		}
		time.Sleep(logWindow)
		l.Info("Started Worker")
		l.Debug("polls")
		l.Error("Activity panic.")
		if got := out.count(`msg="temporal sdk log lines omitted" TaskQueue=events lines=80`); got != 1 {
			t.Errorf("the omitted lines are counted %d times, want once: %q", got, out.all)
		}
		want := `level=INFO msg="temporal sdk" TaskQueue=events event="Started Worker"`
		if out.count(want) != 1 {
			t.Errorf("no line has %s: %q", want, out.all)
		}
	})
}

func TestSDKLogger_writesNoLineBelowTheLevel(t *testing.T) {
	var out strings.Builder
	l := newSDKLogger(slog.New(slog.NewTextHandler(&out, nil)))
	for range 2 * logLines {
		l.Debug("polls")
	}
	l.Warn("at last")
	if got := out.String(); strings.Contains(got, "polls") || !strings.Contains(got, "at last") {
		t.Errorf("the log is %q, want the warning alone", got)
	}
}
