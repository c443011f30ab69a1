package http

import (
	"encoding/json"
	nethttp "net/http"
	"strconv"
	"time"
)

// problem is an answer that refuses a request: application/problem+json
// (RFC 9457) with a code that stays the same. Detail never holds a secret, nor
// an error of the flow.
type problem struct {
	status     int
	code       string
	detail     string
	retryAfter time.Duration // 0: none
	header     [2]string     // one more header, such as Allow
	closing    bool          // the body was not read: close the connection
}

// Codes of problems.
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

// stopping is the answer while no source serves a path that had one.
func stopping() *problem {
	return &problem{
		status: 503, code: codeStopping, retryAfter: time.Second, closing: true,
		detail: "the source is stopping or restarting; send the request again",
	}
}

// busy is the answer while a source has as much as it may have.
func busy(why string) *problem {
	return &problem{
		status: 503, code: codeBusy, retryAfter: time.Second,
		detail: why + "; send this request again later",
	}
}

// reply is what is answered to a request.
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
	if p.closing && r.ProtoMajor < 2 { // over HTTP/2 the stream ends, and no other one with it
		h.Set("Connection", "close")
		// Of what was not read, as much is thrown away as comes at once, so that
		// a caller that still sends can read the answer.
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
	// A caller that went away does not read its answer; nothing is lost by it.
	_, _ = w.Write(body)
}
