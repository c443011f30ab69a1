// Package calls measures fiso-link against other proxies: nginx, the reverse
// proxy of Go's library, and the least that a Go program could spend (floor).
// Each does the same work: it takes /link/crm off a path, puts a credential on,
// and passes the call on over connections that it keeps. All run as processes of
// their own, in turn, against the same upstream, which refuses calls that come
// otherwise, and under the same load.
package calls

// What every contestant adds, and where.
const (
	prefix        = "/link/crm"
	token         = "t0k3n-of-the-benchmark"
	authorization = "Bearer " + token
)

// Roles in which the benchmark starts itself again, as its first argument.
const (
	roleUpstream = "as-upstream"
	roleProxy    = "as-proxy"
)
