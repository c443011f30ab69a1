package h2

import (
	"slices"
	"time"
)

// track adds or removes a connection from the set of open ones.
func (s *Server) track(c *conn, open bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open == nil {
		s.open = map[*conn]struct{}{}
	}
	if open {
		s.open[c] = struct{}{}
	} else {
		delete(s.open, c)
	}
}

// evictedShare: one in this many idle connections is closed at a time.
const evictedShare = 32

// MakeRoom closes connections without a call under way, in the order of
// http1.Server.MakeRoom: first those that never had a call, then those that have been
// idle for longest.
func (s *Server) MakeRoom() {
	type candidate struct {
		c     *conn
		asked bool
		since time.Time
	}
	var all []candidate
	s.mu.Lock()
	for c := range s.open {
		c.mu.Lock()
		if c.busy == 0 && !c.isClosed {
			all = append(all, candidate{c, c.asked, c.since})
		}
		c.mu.Unlock()
	}
	s.mu.Unlock()
	slices.SortFunc(all, func(a, b candidate) int {
		if a.asked != b.asked {
			if b.asked {
				return -1
			}
			return 1
		}
		return a.since.Compare(b.since)
	})
	for _, a := range all[:(len(all)+evictedShare-1)/evictedShare] {
		a.c.evict()
	}
}
