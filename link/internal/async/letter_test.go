package async

import (
	"testing"
	"time"

	"github.com/lsm/fiso/common/connector"
)

// U5: with the time of its record, a dead letter of a long outage could be deleted as
// soon as it was stored.
func TestLetter_isDatedWhenItIsWrittenAndKeepsTheTimeOfItsRecord(t *testing.T) {
	for name, tc := range map[string]struct {
		at   time.Time
		want string // "": no header
	}{
		"of last year":         {time.UnixMilli(1700000000123), "2023-11-14T22:13:20.123Z"},
		"without a time":       {time.Time{}, ""},
		"beyond all calendars": {time.UnixMilli(1700000000000000), "1700000000000000"},
	} {
		t.Run(name, func(t *testing.T) {
			m := &connector.Message{Time: tc.at, Headers: []connector.Header{{Key: "fiso-original-timestamp", Value: []byte("of an earlier death")}}}
			r := letter("calls-dlq", "crm", m, death{code: rejected}, time.Now())
			got, n := "", 0
			for _, h := range r.Headers {
				if h.Key == "fiso-original-timestamp" {
					got, n = string(h.Value), n+1
				}
			}
			if got != tc.want || n > 1 || !r.Time.IsZero() {
				t.Errorf("header %q, %d of them; dated %v, want by the producer", got, n, r.Time)
			}
		})
	}
}
