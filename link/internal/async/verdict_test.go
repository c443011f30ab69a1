package async

import (
	"testing"
	"time"
)

// A target may ask for patience, and not for a year of it.
func TestJudge_waitsAnHourAtMostWhateverIsAsked(t *testing.T) {
	for asked, want := range map[string]time.Duration{"": 0, "3": 3 * time.Second, "999999999": time.Hour, "Fri, 31 Dec 2199 23:59:59 GMT": time.Hour} {
		a := &answer{status: 503, header: header("Retry-After", asked)}
		if v := judge(a, nil, false, false); v.after != want || (v.outcome == away) != (want > 0) {
			t.Errorf("%q: %+v", asked, v)
		}
	}
}
