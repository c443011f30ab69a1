package http

import (
	"encoding/json"
	nethttp "net/http"
	"strconv"
	"time"
)

// problem refuses a request: application/problem+json (RFC 9457) with a stable code.
// The detail never holds a secret or an error of the flow.
type problem struct {
	status     int
	code       string
	detail     string
	retryAfter time.Duration // 0: none
	header     [2]string     // an additional header, such as Allow; name and value
	closing    bool          // the body was not read: close the connection
}

// Codes of problems. They are stable.
const (
	codeNotFound     = "NOT_FOUND"
	codeMethod       = "METHOD_NOT_ALLOWED"
	codeForbidden    = "FORBIDDEN"
	codeUnauthorized = "UNAUTHORIZED"
	codeTooLarge     = "TOO_LARGE"
	codeReadFailed   = "READ_FAILED"
	codeContentType  = "UNSUPPORTED_CONTENT"
	codeBadEvent     = "BAD_EVENT"
	codeBusy         = "BUSY"
	codeStopping     = "STOPPING"
	codeNotSettled   = "NOT_SETTLED"
	codeFailed       = "FAILED"
)

// stopping is the answer while a path that had a source has none.
func stopping() *problem {
	return &problem{
		status: 503, code: codeStopping, retryAfter: time.Second, closing: true,
		detail: "the source is stopping or restarting; send the request again",
	}
}

// busy is the answer while a source is at one of its limits.
func busy(why string) *problem {
	return &problem{
		status: 503, code: codeBusy, retryAfter: time.Second,
		detail: why + "; send this request again later",
	}
}

// reply is the answer to a request.
type reply interface {
	write(w nethttp.ResponseWriter, r *nethttp.Request)
}

func (p *problem) write(w nethttp.ResponseWriter, r *nethttp.Request) {
	h := w.Header()
	h.Set("Content-Type", "application/problem+json")
	h.Set("Fiso-Error", p.code)
	if p.header[0] != "" {
		h.Set(p.header[0], p.header[1])
	}
	setRetryAfter(h, p.retryAfter)
	if p.closing && r.ProtoMajor < 2 { // over HTTP/2 only the stream ends
		h.Set("Connection", "close")
		// net/http discards the rest of the body for this long, so that a caller that
		// is still sending can read the answer.
		_ = nethttp.NewResponseController(w).SetReadDeadline(time.Now().Add(slowTimeout))
	}
	writeJSON(w, p.status, map[string]any{
		"type": "about:blank", "title": nethttp.StatusText(p.status), "status": p.status,
		"code": p.code, "detail": p.detail,
	})
}

// setRetryAfter writes whole seconds, rounded up.
func setRetryAfter(h nethttp.Header, d time.Duration) {
	if d > 0 {
		h.Set("Retry-After", strconv.FormatInt(int64((d+time.Second-1)/time.Second), 10))
	}
}

func writeJSON(w nethttp.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		status, body = 500, []byte("{}") // cannot happen: our own types
	}
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	// A caller that went away does not read its answer, so a failed write loses
	// nothing.
	_, _ = w.Write(body)
}
