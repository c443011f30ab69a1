package h2

import (
	"errors"
	"io"
	"net/http"
	"sync"

	"github.com/lsm/fiso/link/internal/call"
	"github.com/lsm/fiso/link/internal/h1"
)

// answer is the answer that a head begins.
func (a *attempt) answer(r *http.Response) (*call.Answer, error) {
	b := &answerBody{attempt: a, body: r.Body}
	if r.StatusCode < 200 || r.StatusCode > 999 {
		_ = b.Close() // it is not read
		return nil, &call.Error{Reason: call.Garbage, Sent: true, Err: errors.New("the status is not a number of three digits")}
	}
	h := endToEnd(r.Header)
	if names := (call.Header{{Name: "Trailer", Value: announced(r.Trailer)}}).Announced(nil); names != "" {
		h.Add("Trailer", names)
	}
	return &call.Answer{
		Status: r.StatusCode, Header: h, Length: r.ContentLength, Body: b,
		Trailer: func() call.Header { return h1.LateFields(fromHTTP(r.Trailer)) },
	}, nil
}

// endToEnd is what of an answer's header goes on. Fields that frame a message of
// HTTP/1.1 mean nothing here, and would be believed there.
func endToEnd(from http.Header) call.Header {
	h := fromHTTP(from)
	h.Del("Content-Length")
	h.Del("Transfer-Encoding")
	return h1.EndToEnd(h)
}

// answerBody is the body of an answer. Closing it before its end resets the stream.
type answerBody struct {
	attempt *attempt
	body    io.ReadCloser
	once    sync.Once
}

func (b *answerBody) Read(p []byte) (int, error) {
	n, err := b.body.Read(p)
	if err == nil || errors.Is(err, io.EOF) {
		return n, err
	}
	failed := b.attempt.failed(err)
	failed.Sent = true
	return n, failed
}

func (b *answerBody) Close() error {
	b.once.Do(func() {
		_ = b.body.Close() // nobody reads it any more
		b.attempt.end()
	})
	return nil
}
