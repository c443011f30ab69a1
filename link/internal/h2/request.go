package h2

import (
	"errors"
	"maps"
	"net/http"
	"net/textproto"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/lsm/fiso/common/http1"
	"github.com/lsm/fiso/link/internal/call"
)

// requestFault is a request that is refused before it reaches the handler.
type requestFault struct {
	code call.Code
	err  error
}

func (f *requestFault) Error() string { return f.err.Error() }

func newRequestFault(text string) error { return &requestFault{call.BadRequest, errors.New(text)} }

// maxFields limits the fields of a header list. fieldOverhead is what each field counts
// in addition to its bytes (RFC 9113, section 6.5.2).
const (
	maxFields     = 256
	fieldOverhead = 32
)

// request returns the request of a stream in the terms of package call. net/http has
// checked the pseudo-header fields, and the characters of names and values.
func (s *Server) request(hr *http.Request, st *stream) (*http1.Request, error) {
	switch {
	case hr.Method == http.MethodConnect:
		return nil, newRequestFault("CONNECT is not served here")
	case !http1.IsMethod(hr.Method):
		return nil, newRequestFault("the method is not a token")
	case !http1.IsTarget(hr.RequestURI):
		// "*", an absolute form, and a path without its slash, which slips past
		// rules that begin with one (CVE-2026-33186 of grpc-go).
		return nil, newRequestFault(":path is not a path: only /path?query is served here")
	case hr.Host == "" || !http1.IsHost(hr.Host):
		return nil, newRequestFault(":authority is missing or is no host")
	}
	if hosts, ok := hr.Header["Host"]; ok && (len(hosts) != 1 || !http1.Same(hosts[0], hr.Host)) {
		return nil, newRequestFault("Host is not the same as :authority")
	}
	r := &http1.Request{
		Method: hr.Method, Target: hr.RequestURI, Host: hr.Host, HTTP2: true, Length: hr.ContentLength,
		Interrupt: st.interrupt,
	}
	if e := hr.Header.Get("Expect"); e != "" && !http1.Same(e, "100-continue") {
		return nil, &requestFault{call.ExpectationFailed, http1.ErrExpect}
	}
	if hr.Trailer != nil { // net/http has only announced fields
		r.Trailer = func() http1.Header { return http1.LateFields(fromHTTP(hr.Trailer)) }
	}
	if err := checkLength(hr); err != nil {
		return nil, err
	}
	size := 0
	r.Header = make(http1.Header, 0, len(hr.Header)+2)
	for name, values := range hr.Header {
		if name == "Host" || name == "Content-Length" {
			continue
		}
		if http1.HopByHop(name) && (name != "Te" || len(values) != 1 || values[0] != "trailers") {
			return nil, newRequestFault("HTTP/2 does not allow header fields of HTTP/1.1 connections")
		}
		for _, v := range values {
			r.Header.Add(name, v)
			size += len(name) + len(v) + fieldOverhead
		}
	}
	if r.Trailer != nil {
		r.Header.Add("Trailer", announced(hr.Trailer)) // net/http has removed it from the header
	}
	if size > s.Limits.Head || len(r.Header) > maxFields {
		return nil, &requestFault{call.HeaderTooLarge, errors.New("the head of the request is larger than " + call.RequestHeadSetting)}
	}
	if !r.Header.IsGRPC() { // bodies of gRPC may pause for as long as their calls last
		st.read.timeout = max(s.Limits.Body, time.Duration(s.bodyIdle.Load()))
	}
	r.Body = &requestBody{Reader: hr.Body, stream: st}
	return r, nil
}

// checkLength refuses a content-length that net/http overlooks: one that is duplicate,
// is not a number, or belongs to a stream that has ended.
func checkLength(hr *http.Request) error {
	lengths, ok := hr.Header["Content-Length"]
	if !ok {
		return nil
	}
	if n, err := strconv.ParseUint(lengths[0], 10, 63); len(lengths) != 1 || err != nil || int64(n) != hr.ContentLength { //nolint:gosec // G115: of 63 bits
		return newRequestFault("Content-Length is not a single number that matches the body")
	}
	return nil
}

// announced returns the names of the announced trailer fields.
func announced(trailer http.Header) string {
	return strings.Join(slices.Sorted(maps.Keys(trailer)), ", ")
}

// toHTTP adds fields to a header of net/http. The values share one allocation.
func toHTTP(to http.Header, h http1.Header) {
	values := make([]string, 0, len(h))
	for _, f := range h {
		name := textproto.CanonicalMIMEHeaderKey(f.Name)
		if there, ok := to[name]; ok {
			to[name] = append(there, f.Value)
			continue
		}
		n := len(values)
		values = append(values, f.Value)
		to[name] = values[n : n+1 : n+1]
	}
}

func fromHTTP(h http.Header) http1.Header {
	out := make(http1.Header, 0, len(h))
	for name, values := range h {
		for _, v := range values {
			out.Add(name, v)
		}
	}
	return out
}
