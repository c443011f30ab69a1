package outage

import "time"

// closeDelay is how late a server on a busy machine may notice that a caller has gone.
const closeDelay = 500 * time.Millisecond

// concurrency counts what is in flight at once.
type concurrency struct {
	n     int       // now
	most  int       // at once, since watch; more than one only if that lasted longer than closeDelay
	since time.Time // n was less than two until then
}

// watch restarts the count of most.
func (o *concurrency) watch(now time.Time) { o.most, o.since = min(o.n, 1), now }

// add changes what is in flight by d.
func (o *concurrency) add(d int, now time.Time) {
	switch {
	case o.n < 2:
		o.since = now
	case now.Sub(o.since) > closeDelay:
		o.most = max(o.most, o.n)
	}
	o.n += d
	o.most = max(o.most, min(o.n, 1))
}
