package kafka

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestDeadlines_giveEachRecordAllOfItsTimeAndLittleMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := deadlines{timeout: 32 * time.Second}
		defer d.close()
		begun := time.Now()
		for time.Since(begun) < 5*time.Minute {
			at, ctx := time.Now(), d.next()
			ends, ok := ctx.Deadline()
			if given := ends.Sub(at); !ok || given < 32*time.Second || given > 33*time.Second {
				t.Fatalf("a record after %v was given %v", at.Sub(begun), given)
			}
			if ctx.Err() != nil {
				t.Fatal("a record was given a context that is over")
			}
			if len(d.older) > 2*sharesPerTimeout {
				t.Fatalf("%d contexts are kept", len(d.older))
			}
			time.Sleep(700 * time.Millisecond)
		}
	})
}

func TestDeadlines_areSharedByRecordsOfTheSameSecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := deadlines{timeout: 32 * time.Second}
		first := d.next()
		time.Sleep(time.Second)
		if d.next() != first {
			t.Error("a record a second later got a context of its own")
		}
		time.Sleep(time.Millisecond)
		second := d.next()
		if second == first {
			t.Error("a record of later shares the first one's context")
		}
		d.close()
		if first.Err() == nil || second.Err() == nil {
			t.Error("close left a timer running")
		}
	})
}
