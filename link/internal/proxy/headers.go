package proxy

import (
	"strings"

	"github.com/lsm/fiso/common/http1"
)

// outgoingHeader returns the application's header fields to forward: without those of
// its connection, those that Connection names, those that rules remove, and those that
// the target's credential replaces. The credential is added afterwards, so that
// "Connection: authorization" cannot remove it
// (https://github.com/golang/go/issues/50580).
func (c *Call) outgoingHeader() http1.Header {
	return append(c.Forwarded(), c.Target.SetFields()...)
}

// Forwarded is outgoingHeader without the fields that rules set, which may be secret:
// the part of the header that may be stored for a later call.
func (c *Call) Forwarded() http1.Header {
	var room [4]string
	named := room[:0]
	for member := range c.Header.Tokens("Connection") {
		named = append(named, member)
	}
	out := make(http1.Header, 0, len(c.Header)+len(c.Target.SetFields())+4)
next:
	for _, f := range c.Header {
		if isConnectionField(f.Name) || c.Target.Removes(f.Name) || c.grpcNamed && http1.Same(f.Name, TargetField) {
			continue
		}
		if isTraceField(f.Name) {
			if c.span == nil { // with a span it is replaced below
				out = append(out, f)
			}
			continue
		}
		for _, n := range named {
			if http1.Same(n, f.Name) {
				continue next
			}
		}
		out = append(out, f)
	}
	if c.span != nil {
		c.setTraceContext(&out, c.record.Traceparent, c.state)
	}
	return out
}

// trailer returns the application's trailer fields to forward. The rules of the header
// hold for them too; otherwise the application could send its own credential behind the
// target's.
func (c *Call) trailer() http1.Header {
	all := c.Trailer()
	kept := make(http1.Header, 0, len(all))
	for _, f := range all {
		if !isConnectionField(f.Name) && !c.Target.Removes(f.Name) {
			kept = append(kept, f)
		}
	}
	return kept
}

// announce names the fields of trailer in Trailer, as far as the application did: an
// HTTP/2 server may read no others (RFC 9110, section 6.6.2).
func (c *Call) announce(out *http1.Header) {
	names := c.Header.Announced(func(name string) bool { return !isConnectionField(name) && !c.Target.Removes(name) })
	if names != "" {
		out.Add("Trailer", names)
	}
}

// isConnectionField reports whether a field concerns only the application's connection
// to fiso-link. TE is forwarded in the one form that has meaning end to end:
// "trailers", which gRPC requires.
func isConnectionField(name string) bool {
	switch len(name) {
	case 2:
		return http1.Same(name, "te")
	case 4:
		return http1.Same(name, "host")
	case 6:
		return http1.Same(name, "expect")
	case 7:
		return http1.Same(name, "upgrade") || http1.Same(name, "trailer")
	case 10:
		return http1.Same(name, "connection") || http1.Same(name, "keep-alive")
	case 14:
		return http1.Same(name, "content-length") || http1.Same(name, "http2-settings")
	case 16:
		return http1.Same(name, "proxy-connection")
	case 17:
		return http1.Same(name, "transfer-encoding")
	case 19:
		return http1.Same(name, "proxy-authorization")
	}
	return false
}

// websocket reports whether the call asks for a WebSocket. No other upgrade is
// supported, because its traffic would bypass every rule
// (https://github.com/golang/go/issues/80416).
func (c *Call) websocket() bool { return strings.EqualFold(c.Upgrade, "websocket") }

// upgradeAnswer returns the header of an answer that switches protocols.
func upgradeAnswer(h http1.Header, to string) http1.Header {
	out := make(http1.Header, 0, len(h)+2)
	out = append(out, http1.Field{Name: "Connection", Value: "Upgrade"}, http1.Field{Name: "Upgrade", Value: to})
	return append(out, h...)
}
