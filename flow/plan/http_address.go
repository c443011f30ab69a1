package plan

import (
	"cmp"
	"net"
	"net/netip"
	"net/url"
	"slices"
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
	return "path", listensAt(c.Listen, p.servers)
}

// listensAt reports whether a listener gets connections to one of the servers, as far as the
// addresses alone show it.
func listensAt(listen string, servers []string) bool {
	host, port, err := net.SplitHostPort(listen)
	if err != nil || port == "0" {
		return false
	}
	return slices.ContainsFunc(servers, func(server string) bool {
		to, toPort, err := net.SplitHostPort(server)
		return err == nil && port == toPort && listensFor(host, to)
	})
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

// portSource is a source that listens on an address, which sources of its type can share.
type portSource interface {
	listenAddress() string
	// obstacle returns what keeps the source from sharing a port with another one of its type, as
	// the key to change and a text that continues "listens there with", or "".
	obstacle(other portSource) (key, text string)
}

// refuseSharedPorts refuses flows whose sources cannot listen side by side, which run would find when
// it starts them. A paused flow does not listen.
func refuseSharedPorts(flows []*Plan) config.Errors {
	var (
		faults config.Errors
		before []*Plan
	)
	for _, p := range flows {
		if _, ok := p.source.(portSource); !ok || p.Paused() {
			continue
		}
		for _, other := range before {
			if fault := portConflict(p, other); fault != nil {
				faults = append(faults, fault)
				break
			}
		}
		before = append(before, p)
	}
	return faults
}

// portConflict returns the fault of a source that cannot listen beside that of another flow, or nil.
func portConflict(p, other *Plan) *config.Error {
	c, o := p.source.(portSource), other.source.(portSource)
	fault, listen, taken := p.Flow.Source.Config.Fault, c.listenAddress(), o.listenAddress()
	_, port, err := net.SplitHostPort(listen)
	if err != nil || port == "0" || canonicalListen(listen) != canonicalListen(taken) {
		return nil
	}
	if mine, theirs := p.Flow.Source.Type, other.Flow.Source.Type; mine != theirs {
		return fault("listen", "the flow %s (%s) listens there already, with a source of type %s; give this one another address", other.Name(), other.File, theirs)
	}
	if key, text := c.obstacle(o); key != "" {
		return fault(key, "the flow %s (%s) listens on %s with %s", other.Name(), other.File, taken, text)
	}
	if listen != taken {
		return fault("listen", "the flow %s (%s) listens there already and writes the address as %s; write both alike, so that they share the port",
			other.Name(), other.File, taken)
	}
	return nil
}

func (c *httpSource) listenAddress() string { return c.Listen }

func (c *httpSource) obstacle(other portSource) (key, text string) {
	o := other.(*httpSource)
	if c.Path == o.Path {
		return "path", "the path " + o.Path + " already; give this one a path of its own"
	}
	return differentSetting(c.ListenerDifference(&o.SourceConfig))
}

// differentSetting is the obstacle of a setting that is the same for all sources of a port.
func differentSetting(key string) (_, text string) {
	return key, "a different " + key + "; give both the same, or another address"
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
