package proxy

import (
	"strconv"
	"strings"

	"github.com/lsm/fiso/common/http1"
	"github.com/lsm/fiso/link/internal/call"
)

// TargetField names the target of a gRPC call, because gRPC clients cannot put
// /link/{target} before the path. On other calls it is ignored.
const TargetField = "fiso-target"

// grpcTarget returns the target that a gRPC call names in its metadata, exactly once.
func (c *Call) grpcTarget() (name string, ok bool) {
	if !c.HTTP2 || c.Method != "POST" || !c.Header.IsGRPC() {
		return "", false
	}
	n := 0
	for _, f := range c.Header {
		if http1.Same(f.Name, TargetField) {
			name = f.Value
			n++
		}
	}
	return name, n == 1
}

// httpStatus returns the HTTP status that an answer stands for. A gRPC answer may have
// its status in a head that is also its end.
func httpStatus(a *http1.Answer) int {
	if a.Status == 200 && a.Header.IsGRPC() {
		return statusOf(a.Header.Get("grpc-status"))
	}
	return a.Status
}

// statusOf returns the HTTP status that a gRPC status stands for, as in Envoy, if it
// concerns the target or its credential and not the call.
func statusOf(grpcStatus string) int {
	switch grpcStatus {
	case "2", "13", "15": // UNKNOWN, INTERNAL, DATA_LOSS
		return 500
	case "4": // DEADLINE_EXCEEDED
		return 504
	case "8": // RESOURCE_EXHAUSTED
		return 429
	case "14": // UNAVAILABLE
		return 503
	case "16": // UNAUTHENTICATED
		return 401
	}
	return 200
}

// grpcCodes are the gRPC statuses of problems, by HTTP status
// (https://grpc.github.io/grpc/core/md_doc_statuscodes.html).
var grpcCodes = map[int]int{400: 3, 403: 7, 404: 12, 408: 4, 413: 8, 429: 8, 431: 8, 500: 13, 502: 14, 503: 14, 504: 4}

// answerGRPC answers a gRPC call with a problem: a status in a head that is also the
// end, and fiso-error.
func answerGRPC(w http1.ResponseWriter, h http1.Header, p call.Problem) {
	h.Set("Content-Type", "application/grpc")
	h.Add("grpc-status", strconv.Itoa(grpcCodes[p.Status]))
	h.Add("grpc-message", percentEncode(string(p.Code)+": "+p.Detail))
	if w.Head(200, h, 0) == nil {
		_ = w.End(nil) // the application has left
	}
}

// percentEncode encodes a grpc-message: printable ASCII except "%" stays.
func percentEncode(s string) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if c := s[i]; c < 0x20 || c > 0x7e || c == '%' {
			b.WriteByte('%')
			b.WriteByte(hex[c>>4])
			b.WriteByte(hex[c&15])
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}
