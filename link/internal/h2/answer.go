package h2

import (
	"errors"
	"io"
	"net/http"
	"sync"

	"github.com/lsm/fiso/common/http1"
)

// answer returns the answer that begins with the head.
func (a *attempt) answer() *http1.Answer {
	r := a.head
	h := endToEnd(r.Header)
	if names := (http1.Header{{Name: "Trailer", Value: a.announces}}).Announced(nil); names != "" {
		h.Add("Trailer", names)
	}
	return &http1.Answer{
		Status: r.StatusCode, Header: h, Length: r.ContentLength, Body: &answerBody{attempt: a},
		Trailer: func() http1.Header { return http1.LateFields(fromHTTP(a.trailerAfterBody())) },
	}
}

const (
	errStatus = fault("the status is not a number of three digits")
	errLength = fault("the content-length is not a single number that matches the body")
)

// checkHead refuses a head that is not valid or contradicts itself.
func checkHead(r *http.Response, method string, length lengthFault) error {
	switch {
	case r.StatusCode < 200 || r.StatusCode > 999:
		return errStatus
	case length == lengthFalse, length == lengthMissing && !bodiless(method, r.StatusCode):
		return errLength
	}
	return nil
}

// bodiless reports whether an answer has no body, even if it has a content-length.
func bodiless(method string, status int) bool {
	return method == http.MethodHead || status == http.StatusNoContent || status == http.StatusNotModified
}

// endToEnd returns the fields of an answer's header that are passed on. HTTP/1.1
// framing fields mean nothing here, but a HTTP/1.1 caller would believe them.
func endToEnd(from http.Header) http1.Header {
	h := fromHTTP(from)
	h.Del("Content-Length")
	h.Del("Transfer-Encoding")
	return http1.EndToEnd(h)
}

// answerBody is the body of an answer. Closing it before its end resets the stream.
type answerBody struct {
	attempt *attempt
	once    sync.Once
}

func (b *answerBody) Read(p []byte) (int, error) {
	n, err := b.attempt.read(p, func() {})
	if err == nil || errors.Is(err, io.EOF) {
		return n, err
	}
	if errors.Is(err, io.ErrClosedPipe) {
		return n, b.attempt.cutOff(true)
	}
	failed := b.attempt.failed(err)
	failed.Sent = true
	return n, failed
}

func (b *answerBody) Close() error {
	b.once.Do(b.attempt.detach)
	return nil
}
