// Package calls compares fiso-link with other proxies: nginx, the reverse proxy of the Go library,
// and a minimal Go proxy (floor). All do the same work: they remove /link/crm from the path, add a
// credential, and forward the call over kept connections. Each runs in its own process, one after
// the other, with the same load and the same upstream, which refuses calls that a proxy did not
// change as required.
package calls

// What every candidate removes and adds.
const (
	prefix        = "/link/crm"
	token         = "t0k3n-of-the-benchmark"
	authorization = "Bearer " + token
)

// Roles in which the benchmark starts itself, as first argument.
const (
	roleUpstream = "as-upstream"
	roleProxy    = "as-proxy"
)
