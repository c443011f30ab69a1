package kafkatest

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"
)

func TestHoldProduce_letsGoOnWhenReleased(t *testing.T) {
	c := Embedded(t, Options{Topics: map[string]int32{"t": 1}})
	hold := c.HoldProduce()
	produced := make(chan error, 1)
	go func() { produced <- c.Produce(t.Context(), &kgo.Record{Topic: "t", Value: []byte("held")}) }()
	<-hold.Began
	if rs, err := c.Records(t.Context(), "t"); err != nil || len(rs) != 0 {
		t.Errorf("%d records while produce requests are held, %v", len(rs), err)
	}
	hold.Release()
	hold.Release()
	if err := <-produced; err != nil {
		t.Error(err)
	}
	if rs, err := c.Records(t.Context(), "t"); err != nil || len(rs) != 1 {
		t.Errorf("%d records after the release, %v", len(rs), err)
	}
}

// A cluster that closes while a held request wakes left a goroutine behind on a busy
// machine.
func TestHoldProduce_closesWithARequestHeld(t *testing.T) {
	for range 20 {
		before := goleak.IgnoreCurrent()
		c, err := Start(Options{Topics: map[string]int32{"t": 1}})
		if err != nil {
			t.Fatal(err)
		}
		hold := c.HoldProduce()
		produced := make(chan struct{})
		go func() {
			defer close(produced)
			_ = c.Produce(t.Context(), &kgo.Record{Topic: "t", Value: []byte("held")}) // the cluster closes
		}()
		<-hold.Began
		c.Close()
		<-produced
		if err := goleak.Find(before); err != nil {
			t.Fatalf("goroutines are left behind: %v", err)
		}
	}
}
