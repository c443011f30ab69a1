package spec

import (
	"net"
	"strconv"
	"strings"
)

// Authority returns the Host that the target sees (RFC 9110, section 7.2): its host,
// with an IPv6 address in brackets and without its zone, and its port unless that is
// the default.
func (t *Target) Authority() string {
	host, port := t.Address()
	host, _, _ = strings.Cut(host, "%")
	if usual := map[bool]int{false: 80, true: 443}[t.UsesTLS()]; port != usual {
		return net.JoinHostPort(host, strconv.Itoa(port))
	}
	if strings.Contains(host, ":") {
		return "[" + host + "]"
	}
	return host
}
