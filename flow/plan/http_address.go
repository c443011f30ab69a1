package plan

import (
	"cmp"
	"net"
	"net/netip"
	"net/url"
	"strings"

	"github.com/lsm/fiso/common/config"
)

// writes returns the address and path that the sink posts to. A source takes no other method.
func (c *httpSink) writes() place {
	u, err := url.Parse(c.URL)
	if err != nil || c.Method != "POST" {
		return place{}
	}
	port := cmp.Or(u.Port(), map[string]string{"http": "80", "https": "443"}[u.Scheme])
	return place{u.Scheme, cmp.Or(u.Path, "/"), []string{net.JoinHostPort(u.Hostname(), port)}}
}

// reads reports whether the source listens at p, as far as the addresses alone show it.
func (c *httpSource) reads(p place) (key string, ok bool) {
	protocol := "http"
	if c.TLS.CertFile != "" {
		protocol = "https"
	}
	if p.protocol != protocol || p.name != c.Path {
		return "", false
	}
	host, port, err := net.SplitHostPort(c.Listen)
	if err != nil || port == "0" {
		return "", false
	}
	for _, server := range p.servers {
		if to, toPort, err := net.SplitHostPort(server); err == nil && port == toPort && listensFor(host, to) {
			return "path", true
		}
	}
	return "", false
}

// listensFor reports whether a listener on a host gets connections to another. It resolves no
// name but localhost.
func listensFor(host, to string) bool {
	listen, errListen := hostAddress(host)
	target, errTarget := hostAddress(to)
	if errListen != nil || errTarget != nil {
		return strings.EqualFold(host, to)
	}
	if target.IsUnspecified() { // a connection to it goes to the loopback address
		target = loopbackOf(target)
	}
	switch {
	case !listen.IsUnspecified():
		return listen == target
	case listen.Is4():
		return target.Is4() && target.IsLoopback()
	}
	return target.IsLoopback() // [::] listens for IPv4 too
}

// hostAddress returns the address of a literal host; "" is any address.
func hostAddress(host string) (netip.Addr, error) {
	switch strings.ToLower(strings.TrimSuffix(host, ".")) {
	case "":
		return netip.IPv6Unspecified(), nil
	case "localhost":
		return loopbackOf(netip.IPv4Unspecified()), nil
	}
	address, err := netip.ParseAddr(host)
	return address.Unmap(), err
}

func loopbackOf(a netip.Addr) netip.Addr {
	if a.Is4() {
		return netip.AddrFrom4([4]byte{127, 0, 0, 1})
	}
	return netip.IPv6Loopback()
}

// refuseSharedPaths refuses flows whose http sources cannot listen side by side, which run would
// find when it starts them. A paused flow does not listen.
func refuseSharedPaths(flows []*Plan) config.Errors {
	var (
		faults config.Errors
		before []*Plan
	)
	for _, p := range flows {
		c, ok := p.source.(*httpSource)
		if !ok || p.Paused() {
			continue
		}
		for _, other := range before {
			if fault := c.conflict(p, other); fault != nil {
				faults = append(faults, fault)
				break
			}
		}
		before = append(before, p)
	}
	return faults
}

// conflict returns the fault of a source that cannot listen beside that of another flow, or nil.
func (c *httpSource) conflict(p, other *Plan) *config.Error {
	o := other.source.(*httpSource)
	fault := p.Flow.Source.Config.Fault
	_, port, err := net.SplitHostPort(c.Listen)
	switch {
	case err != nil || port == "0" || canonicalListen(c.Listen) != canonicalListen(o.Listen):
		return nil
	case c.Path == o.Path:
		return fault("path", "the flow %s (%s) listens on %s with the path %s already; give this one a path of its own", other.Name(), other.File, o.Listen, o.Path)
	case c.Listen != o.Listen:
		return fault("listen", "the flow %s (%s) listens there already and writes the address as %s; write both alike, so that they share the port",
			other.Name(), other.File, o.Listen)
	}
	if key := c.ListenerDifference(&o.SourceConfig); key != "" {
		return fault(key, "the flow %s (%s) listens on %s with a different %s; give both the same, or another address",
			other.Name(), other.File, o.Listen, key)
	}
	return nil
}

// canonicalListen returns the address that a listener gets, in one spelling.
func canonicalListen(listen string) string {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return listen
	}
	if a, err := hostAddress(host); err == nil {
		host = a.String()
	}
	return net.JoinHostPort(strings.ToLower(host), port)
}
