package resilience

import (
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestTimeouts_endWhatTakesLonger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ts, begin := NewTimeouts(10*time.Second), time.Now()
		var mu sync.Mutex
		var ended []time.Duration
		note := func(d time.Duration) {
			mu.Lock()
			defer mu.Unlock()
			ended = append(ended, d)
		}
		var all [5]Timeout
		for i := range all {
			ts.Start(&all[i], time.Now(), func() { note(time.Duration(i)*time.Hour + time.Since(begin)) })
			time.Sleep(time.Second)
		}
		// The first, one between and the last are over in time.
		ts.Stop(&all[0])
		ts.Stop(&all[2])
		ts.Stop(&all[4])
		ts.Stop(&all[4])
		time.Sleep(time.Minute)
		synctest.Wait()
		if want := []time.Duration{time.Hour + 11*time.Second, 3*time.Hour + 13*time.Second}; !slices.Equal(ended, want) {
			t.Errorf("ended %v, want %v", ended, want)
		}
		ts.Stop(&all[1]) // it has expired
		again := time.Now()
		var more Timeout
		ts.Start(&more, again, func() { note(time.Since(again)) })
		time.Sleep(time.Minute)
		synctest.Wait()
		if len(ended) != 3 || ended[2] != 10*time.Second {
			t.Errorf("after a rest: %v", ended)
		}
	})
}

func TestTimeouts_endTogetherWhatBeganTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ts, n := NewTimeouts(time.Second), 0
		var all [3]Timeout
		for i := range all {
			ts.Start(&all[i], time.Now(), func() { n++ })
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if n != 3 {
			t.Errorf("%d ended", n)
		}
	})
}
