package http1

import (
	"errors"
	"net"
	"slices"
)

// Plain is err without the addresses that net adds, which differ for every connection.
func Plain(err error) error {
	var op *net.OpError
	if errors.As(err, &op) && op.Err != nil {
		return op.Err
	}
	return err
}

// hopByHop are the fields that concern one connection only.
var hopByHop = []string{"connection", "keep-alive", "proxy-authenticate", "proxy-connection", "te", "trailer", "upgrade"}

// HopByHop reports whether a field must not be forwarded, framing included.
func HopByHop(name string) bool {
	return isOneOf(hopByHop, name) || Same(name, "transfer-encoding") || Same(name, "http2-settings")
}

func isOneOf(names []string, name string) bool {
	return slices.ContainsFunc(names, func(n string) bool { return Same(n, name) })
}

// EndToEnd removes hop-by-hop fields, and those that Connection names, in place.
func EndToEnd(h Header) Header {
	var room [4]string
	named := room[:0]
	for member := range h.Tokens("Connection") {
		named = append(named, member)
	}
	return slices.DeleteFunc(h, func(f Field) bool { return isOneOf(hopByHop, f.Name) || isOneOf(named, f.Name) })
}
