package async

import (
	"context"
	"errors"
	"io"
	"strconv"

	"github.com/lsm/fiso/common/cloudevent"
	"github.com/lsm/fiso/common/http1"
	"github.com/lsm/fiso/connectors/kafka"
)

var (
	errBodyTooLarge = errors.New("the answer is larger than maxBodyBytes")
	errUpgrade      = errors.New("a stored call cannot be upgraded")
)

// responseWriter records the answer of a target for the worker. It is a
// http1.ResponseWriter.
type responseWriter struct {
	keep, most int // bytes of the body to keep, and to read
	status     int // 0: no answer
	header     http1.Header
	body       []byte
	read       int
	whole      bool
	truncated  bool
}

// Inform drops interim answers.
func (*responseWriter) Inform(int, http1.Header) error { return nil }

// Head records status and header.
func (a *responseWriter) Head(status int, h http1.Header, _ int64) error {
	a.status, a.header = status, h
	return nil
}

// Write keeps the body up to keep bytes, and fails after most bytes.
func (a *responseWriter) Write(p []byte) (int, error) {
	if a.read += len(p); a.read > a.most {
		a.truncated, a.body = true, nil
		return 0, errBodyTooLarge
	}
	if a.read <= a.keep {
		a.body = append(a.body, p...)
	}
	return len(p), nil
}

func (*responseWriter) Flush() error { return nil }

// End marks the answer as complete.
func (a *responseWriter) End(http1.Header) error { a.whole = true; return nil }

// Begun reports whether the head has arrived.
func (a *responseWriter) Begun() bool { return a.status != 0 }

// Bound and Unbound do nothing: writes never block.
func (a *responseWriter) Bound(context.Context) {}
func (a *responseWriter) Unbound()              {}

// Upgrade fails: calls that ask for an upgrade are never stored.
func (*responseWriter) Upgrade(http1.Header) (io.ReadWriteCloser, error) { return nil, errUpgrade }

// secretFields are fields of an answer that carry or request credentials. They are not
// copied into replies.
var secretFields = []string{
	"Set-Cookie", "Set-Cookie2", "Authorization", "Proxy-Authorization",
	"WWW-Authenticate", "Proxy-Authenticate", "Authentication-Info", "Proxy-Authentication-Info",
}

// replyRecord returns the reply event of a call. code is that of its dead letter, or
// "".
func replyRecord(topic, target string, r *request, code string) kafka.Record {
	a := r.answer
	h := make(http1.Header, 0, len(a.header))
	h = append(h, a.header...)
	for _, name := range secretFields {
		h.Del(name)
	}
	e := cloudevent.Event{ID: r.event.ID + "-reply", Source: source(target), Type: typeReply, Time: r.ended, DataContentType: typeOf(h)}
	e.SetExtension("fisorequestid", r.event.ID)
	if a.status != 0 {
		e.SetExtension("fisostatus", strconv.Itoa(a.status))
	}
	if code != "" {
		e.SetExtension("fisoerrorcode", code)
	}
	body := a.body
	if a.truncated || a.status != 0 && !a.whole {
		e.SetExtension("fisotruncated", "true")
		body = nil
	}
	return kafka.Record{Topic: topic, Key: r.event.Key, Value: body, Headers: headers(&e, h), Time: r.ended}
}
