package proxy

import (
	"strconv"
	"strings"

	"github.com/lsm/fiso/link/internal/call"
)

// isGRPC reports whether a call is one of gRPC.
func isGRPC(h call.Header) bool {
	return strings.HasPrefix(h.Get("Content-Type"), "application/grpc")
}

// grpcCodes are the statuses of gRPC that say what a problem is
// (https://grpc.github.io/grpc/core/md_doc_statuscodes.html).
var grpcCodes = map[int]int{400: 3, 403: 7, 404: 12, 408: 4, 413: 8, 429: 8, 431: 8, 500: 13, 502: 14, 503: 14, 504: 4}

// answerGRPC answers a problem as a caller of gRPC understands it: with a
// status in a head that is also the end. fiso-error is there as ever.
func answerGRPC(w call.ResponseWriter, h call.Header, p call.Problem) {
	h.Set("Content-Type", "application/grpc")
	h.Add("grpc-status", strconv.Itoa(grpcCodes[p.Status]))
	h.Add("grpc-message", percentEncode(string(p.Code)+": "+p.Detail))
	if w.Head(200, h, 0) == nil {
		_ = w.End(nil) // the application is gone
	}
}

// percentEncode is the encoding of grpc-message: printable ASCII but "%" stays.
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
