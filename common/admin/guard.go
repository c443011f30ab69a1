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

// bodyTimeout bounds how long the body of a refused request is read, so that its
// sender can read the answer before the connection is closed.
const bodyTimeout = 500 * time.Millisecond

// refuseBodies answers a request with a body at once and closes its connection: no
// handler reads a body, and net/http would wait for it before the answer. Until then
// the connection may be closed to make room for another one.
func refuseBodies(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength == 0 {
			connlimit.Of(r.Context()).Working()
			next.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Connection", "close")
		// An error means that the writer has no connection, as httptest's recorder.
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

// refuseWebPages refuses requests of web pages to a loopback listener, with 403. A
// browser on this machine lets a page reach it in two ways: by a name that resolves
// to 127.0.0.1 (Host is then that name), or across sites (Origin is then another).
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

// loopbackHost reports whether host, with or without a port, is localhost or a
// loopback address.
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

// crossSite reports whether a browser says that another page sent the request. Other
// programs send none of these headers. A link from another page is allowed, because
// that page does not see the answer.
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
