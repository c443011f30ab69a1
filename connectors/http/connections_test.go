package http

import (
	"context"
	"math"
	"testing"

	"github.com/lsm/fiso/common/connector"
)

// U15: connections without a limit took all descriptors. Beyond the limit, idle
// connections are closed first, then slow ones.
func TestSource_boundsItsConnections(t *testing.T) {
	for _, row := range []struct{ name, said string }{
		{"idle", ""},
		{"idle after a request", begin(1) + "x"},
		{"half a head", "POST / HTTP/1.1\r\nHost:"},
		{"half a body", begin(2) + "x"},
	} {
		t.Run(row.name, func(t *testing.T) {
			cfg := sourceConfig()
			cfg.MaxConnections = 8
			s := startSource(t, cfg, SourceOptions{}, new(collect).handle)
			for range 12 {
				dialRaw(t, s.url, nil).say(row.said)
			}
			l := s.listener(t)
			eventually(t, "all places are taken", func() bool { return l.bounded.Len() == 8 })
			c := dialRaw(t, s.url, nil)
			c.say(begin(1) + "x")
			c.answer().want(t, 200, "")
			if n := l.bounded.Len(); n > 8 {
				t.Errorf("%d connections", n)
			}
		})
	}
}

// U15: a caller that waits for its answer keeps its connection.
func TestSource_aConnectionThatIsWorkedOnStays(t *testing.T) {
	cfg := sourceConfig()
	cfg.MaxConnections = 2
	messages := make(chan *connector.Message, 4)
	s := startSource(t, cfg, SourceOptions{}, func(_ context.Context, m *connector.Message) { messages <- m })
	var all []*raw
	for range 4 {
		c := dialRaw(t, s.url, nil)
		c.say(begin(1) + "x")
		all = append(all, c)
	}
	first, second := <-messages, <-messages
	if !all[0].silent() || len(messages) != 0 {
		t.Error("a third connection was taken")
	}
	first.Settle(nil)
	second.Settle(nil)
	(<-messages).Settle(nil)
	(<-messages).Settle(nil)
	for _, c := range all {
		c.answer().want(t, 200, "")
	}
}

func TestConnections_leavesDescriptorsForTheRest(t *testing.T) {
	if n := connections(math.MaxInt); n != descriptors()/2 {
		t.Errorf("%d of %d descriptors", n, descriptors())
	}
	if n := connections(1); n != 1 {
		t.Errorf("%d; want 1", n)
	}
}
