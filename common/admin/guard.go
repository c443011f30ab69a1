package admin

import (
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/lsm/fiso/common/connlimit"
)

// bodyTimeout is how long an unwanted body is read, so that its sender has read
// the answer before the connection is closed.
const bodyTimeout = 500 * time.Millisecond

// refuseBodies answers a request with a body at once and closes its connection:
// no handler here reads one, and net/http would wait for it before it answers.
// Until then the connection may be closed for another.
func refuseBodies(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength == 0 {
			connlimit.Of(r.Context()).Working()
			next.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Connection", "close")
		// A server that cannot do this (httptest's recorder) waits for nobody.
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(bodyTimeout))
		serveText(w, http.StatusRequestEntityTooLarge, "content too large: send no body, this port takes none\n")
	})
}

// allowOnlyReads answers 405 to everything but GET and HEAD.
func allowOnlyReads(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			serveText(w, http.StatusMethodNotAllowed, "method not allowed: use GET or HEAD\n")
			return
		}
		next.ServeHTTP(w, r)
	})
}

// refuseWebPages keeps web pages out of a loopback listener, which the browser on
// this machine can reach: by a name that resolves to 127.0.0.1 (then Host is that
// name), or across sites (then Origin is another). Both are refused with 403.
// Hazard L9: https://github.com/golang/go/issues/23993.
func refuseWebPages(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case !loopbackHost(r.Host):
			serveText(w, http.StatusForbidden, "forbidden: this address answers to localhost and loopback addresses only\n")
		case crossSite(r):
			serveText(w, http.StatusForbidden, "forbidden: requests of other web pages are refused\n")
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// loopbackHost reports whether a Host, with or without a port, is localhost or
// a loopback address.
func loopbackHost(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

// crossSite reports whether a browser says that another page sent the request.
// Programs that are no browser send none of these headers. A person who follows
// a link to us from another page is let in: that page does not see the answer.
func crossSite(r *http.Request) bool {
	h := r.Header
	if site := h.Get("Sec-Fetch-Site"); site == "cross-site" || site == "same-site" {
		followed := h.Get("Sec-Fetch-Mode") == "navigate" && h.Get("Sec-Fetch-Dest") == "document"
		if !followed {
			return true
		}
	}
	for _, origin := range h.Values("Origin") {
		u, err := url.Parse(origin)
		if err != nil || !strings.EqualFold(u.Host, r.Host) {
			return true
		}
	}
	return false
}
