package proxy

import (
	"net"
	"net/netip"
	"net/url"
	"strings"

	"github.com/lsm/fiso/common/http1"
	"github.com/lsm/fiso/link/internal/call"
)

// Guard refuses calls of web pages. A listener that only this machine can reach is
// still reachable by its browsers: a page can call a loopback listener by its own host
// name that resolves to 127.0.0.1, or across sites
// (https://github.com/golang/go/issues/23993,
// https://github.com/modelcontextprotocol/go-sdk/issues/760).
type Guard struct {
	Loopback bool     // the listener is on loopback, so Host must be too
	Hosts    []string // further hosts under which a loopback listener may be called
	Origins  []string // origins whose pages may call
}

// refuse returns why a request is refused because of where it comes from, if it is. It
// uses only Host, Origin and fields that browsers set: the caller can forge
// X-Forwarded-Host and similar fields.
func (g *Guard) refuse(r *http1.Request) (call.Code, string) {
	if g.Loopback && !g.isKnownHost(r.Host) {
		return call.HostNotAllowed, "this address answers to localhost and loopback addresses only; other names go into allowedHosts"
	}
	allowed, crossed := false, false
	for i := range r.Header {
		switch name, value := r.Header[i].Name, r.Header[i].Value; {
		case len(name) == 6 && http1.Same(name, "origin"):
			if g.allows(value) {
				allowed = true
			} else if !sameHost(value, r.Host) {
				return call.OriginNotAllowed, originRefused
			}
		case len(name) == 14 && http1.Same(name, "sec-fetch-site"):
			crossed = crossed || value != "same-origin" && value != "none" // none: the user typed it
		}
	}
	if crossed && !allowed {
		return call.OriginNotAllowed, originRefused
	}
	return "", ""
}

const originRefused = "requests of web pages of another origin are refused; origins that may call go into allowedOrigins"

// isKnownHost reports whether a Host is loopback or configured.
func (g *Guard) isKnownHost(host string) bool {
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	name = strings.TrimSuffix(strings.TrimPrefix(name, "["), "]")
	if strings.EqualFold(name, "localhost") {
		return true
	}
	for _, known := range g.Hosts {
		if strings.EqualFold(known, name) || strings.EqualFold(known, host) {
			return true
		}
	}
	ip, err := netip.ParseAddr(name)
	return err == nil && ip.Unmap().IsLoopback()
}

func (g *Guard) allows(origin string) bool {
	for _, known := range g.Origins {
		if strings.EqualFold(known, origin) {
			return true
		}
	}
	return false
}

func sameHost(origin, host string) bool {
	u, err := url.Parse(origin)
	return err == nil && u.Host != "" && strings.EqualFold(u.Host, host)
}
