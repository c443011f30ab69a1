package http

import (
	"errors"
	"io"
	"net"
	nethttp "net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

func (s *Source) checkRequest(r *nethttp.Request, loopback bool) *problem {
	if !s.allowedHost(r.Host, loopback) {
		return &problem{status: 403, code: codeForbidden, detail: "this source does not answer to the host of the request; see its configuration key hosts"}
	}
	if s.browsers.Check(r) != nil {
		return &problem{status: 403, code: codeForbidden, detail: "a page of another site must not send events"}
	}
	switch r.Method {
	case nethttp.MethodPost:
	case nethttp.MethodOptions:
		return nil
	default:
		return &problem{status: 405, code: codeMethod, header: [2]string{"Allow", "OPTIONS, POST"}, detail: "send events with POST"}
	}
	if p := s.denied(s.auth.checkHeader(r.Header)); p != nil {
		return p
	}
	if p := refuseEncoded(r.Header); p != nil {
		return p
	}
	if s.full() {
		return busy(tooManyRequests)
	}
	return nil
}

// refuseEncoded refuses an encoded body, and a duplicate Content-Type, of which readers
// could pick different ones.
func refuseEncoded(h nethttp.Header) *problem {
	for _, encodings := range h.Values("Content-Encoding") {
		for encoding := range strings.SplitSeq(encodings, ",") {
			if encoding = strings.TrimSpace(encoding); encoding != "" && !strings.EqualFold(encoding, "identity") {
				return unsupported("content encoding " + encoding + " is not supported; send the body as it is")
			}
		}
	}
	if len(h.Values("Content-Type")) > 1 {
		return unsupported("the header Content-Type is there more than once; send it once")
	}
	return nil
}

// allowedHost checks the host of the request. On a loopback address it keeps out
// browsers that were led there by a foreign name (DNS rebinding).
func (s *Source) allowedHost(host string, loopback bool) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.ToLower(strings.Trim(host, "[]"))
	if len(s.cfg.Hosts) > 0 {
		return slices.ContainsFunc(s.cfg.Hosts, func(h string) bool { return strings.EqualFold(h, host) })
	}
	return !loopback || host == "localhost" || net.ParseIP(host).IsLoopback()
}

// denied returns the answer for a failed credential check; nil: it passed.
func (s *Source) denied(err error) *problem {
	var unreadable errUnreadable
	switch {
	case err == nil:
		return nil
	case errors.As(err, &unreadable):
		s.logger.Error("http source cannot read its credential", "path", s.cfg.Path, "error", err)
		return &problem{status: 503, code: codeFailed, retryAfter: time.Second, detail: "the source cannot check credentials now"}
	}
	return &problem{
		status: 401, code: codeUnauthorized, detail: err.Error(),
		header: [2]string{"WWW-Authenticate", s.auth.challenge()},
	}
}

func (s *Source) readFailed(err error) *problem {
	var tooLarge *nethttp.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return s.tooLarge()
	case errors.Is(err, os.ErrDeadlineExceeded):
		return &problem{status: 408, code: codeReadFailed, closing: true, detail: "the body did not arrive in time"}
	case errors.Is(err, io.ErrUnexpectedEOF):
		return &problem{status: 400, code: codeReadFailed, closing: true, detail: "the body ended early"}
	}
	return &problem{status: 400, code: codeReadFailed, closing: true, detail: "the body cannot be read"}
}

func (s *Source) tooLarge() *problem {
	return &problem{
		status: 413, code: codeTooLarge, closing: true,
		detail: "the body is larger than " + s.cfg.MaxBodyBytes.String() + " (maxBodyBytes)",
	}
}

// handshake answers OPTIONS, the abuse protection of CloudEvents webhooks, in which a
// sender asks for permission. Every sender is allowed, because each request is checked
// by its credential.
type handshake struct{}

func (handshake) write(w nethttp.ResponseWriter, r *nethttp.Request) {
	h := w.Header()
	h.Set("Allow", "OPTIONS, POST")
	if origin := r.Header.Get("WebHook-Request-Origin"); origin != "" {
		h.Set("WebHook-Allowed-Origin", origin)
		if rate := r.Header.Get("WebHook-Request-Rate"); rate != "" {
			h.Set("WebHook-Allowed-Rate", allowedRate(rate))
		}
	}
	w.WriteHeader(nethttp.StatusOK)
}

// allowedRate grants the rate that the sender asks for, in requests a minute.
func allowedRate(asked string) string {
	if n, err := strconv.ParseUint(asked, 10, 31); err == nil && n > 0 {
		return asked
	}
	return "*"
}
