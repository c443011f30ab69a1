package outage

import (
	"testing"
	"time"
)

func TestConcurrency_countsMoreThanOneOnlyIfItLasts(t *testing.T) {
	const short, long = closeDelay / 2, 2 * closeDelay
	for name, tc := range map[string]struct {
		steps []int // added one after the other
		last  time.Duration
		want  int
	}{
		"nothing":                      {nil, long, 0},
		"one":                          {[]int{1, -1, 1}, long, 1},
		"two for a moment":             {[]int{1, 1, -1}, short, 1},
		"two that last":                {[]int{1, 1}, long, 2},
		"three of which one goes soon": {[]int{1, 1, 1, -1}, long, 3},
	} {
		t.Run(name, func(t *testing.T) {
			var o concurrency
			now := time.Now()
			for _, d := range tc.steps {
				o.add(d, now)
				now = now.Add(tc.last)
			}
			o.add(0, now)
			if o.most != tc.want {
				t.Errorf("at most %d at once, want %d", o.most, tc.want)
			}
			if o.watch(now); o.most > 1 {
				t.Errorf("%d at once right after a new watch, want one at most", o.most)
			}
		})
	}
}
