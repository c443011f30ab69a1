package async

import (
	"context"
	"errors"
	"io"
	"strconv"

	"github.com/lsm/fiso/common/cloudevent"
	"github.com/lsm/fiso/connectors/kafka"
	"github.com/lsm/fiso/link/internal/call"
)

var (
	errBodyTooLarge = errors.New("the answer is larger than is kept")
	errUpgrade      = errors.New("nobody is there who could speak another protocol")
)

// responseWriter takes a target's answer in the application's place. It is a
// call.ResponseWriter.
type responseWriter struct {
	keep, most int // bytes of the body that are kept, and read
	status     int // 0: there was none
	header     call.Header
	body       []byte
	read       int
	whole      bool
	truncated  bool
}

// Inform drops interim answers.
func (*responseWriter) Inform(int, call.Header) error { return nil }

// Head takes the head.
func (a *responseWriter) Head(status int, h call.Header, _ int64) error {
	a.status, a.header = status, h
	return nil
}

// Write keeps the body while it is small enough, and ends the answer when it is
// not.
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

// Flush has nothing to do.
func (*responseWriter) Flush() error { return nil }

// End says that the answer is whole.
func (a *responseWriter) End(call.Header) error { a.whole = true; return nil }

// Begun reports whether there is a head.
func (a *responseWriter) Begun() bool { return a.status != 0 }

// Bound and Unbound change nothing: no write waits.
func (a *responseWriter) Bound(context.Context) {}
func (a *responseWriter) Unbound()              {}

// Upgrade is refused: only calls that ask for none are kept.
func (*responseWriter) Upgrade(call.Header) (io.ReadWriteCloser, error) { return nil, errUpgrade }

// secretFields are fields of an answer that prove something, or set what does.
var secretFields = []string{"Set-Cookie", "Set-Cookie2", "Authorization", "Proxy-Authorization", "WWW-Authenticate", "Proxy-Authenticate", "Authentication-Info", "Proxy-Authentication-Info"}

// reply is how a call ended, as an event. code is that of its dead letter, or "".
func reply(topic, target string, r *request, code string) kafka.Record {
	a := r.answer
	h := make(call.Header, 0, len(a.header))
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
