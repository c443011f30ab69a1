package http1

import (
	"errors"
	"io"
	"net"
	"net/http"
	"time"
)

// writer writes the answer to one request at a time, through the connection's buffer.
// begun, and the connection until the answer has begun, are guarded by conn.began:
// reading the request's body sends 100 (Continue) while the answer may begin in another
// goroutine.
type writer struct {
	c        *serverConn
	buf      []byte
	timed    bool // a write deadline is set
	keep     bool // the connection stays after this answer
	headOnly bool // the request is a HEAD
	minor    int
	begun    bool
	ended    bool
	upgraded bool
	chunked  bool
	bodiless bool
	endless  bool  // the answer is a stream of events
	awaited  bool  // the application waits for 100 (Continue) before it sends a body
	left     int64 // bytes left of the Content-Length; -1: there is none
	err      error // sticky
}

// begin prepares for the next answer.
func (w *writer) begin(keep, headOnly bool, minor int) {
	*w = writer{c: w.c, buf: w.buf[:0], timed: w.timed, keep: keep, headOnly: headOnly, minor: minor}
}

func (w *writer) Begun() bool { return w.begun }

// start reports false if an answer has begun before.
func (w *writer) start(endless bool) bool {
	w.c.began.Lock()
	defer w.c.began.Unlock()
	if w.begun {
		return false
	}
	w.begun, w.endless = true, endless
	return true
}

// sendContinue sends 100 (Continue), unless an answer has begun. It reports whether it
// did.
func (w *writer) sendContinue() (bool, error) {
	w.c.began.Lock()
	defer w.c.began.Unlock()
	if w.begun {
		return false, nil
	}
	w.awaited = false
	return true, w.inform(100, nil)
}

// Inform sends nothing in HTTP/1.0, which has no interim answers.
func (w *writer) Inform(status int, h Header) error {
	w.c.began.Lock()
	defer w.c.began.Unlock()
	if w.minor == 0 || w.begun {
		return w.err
	}
	return w.inform(status, h)
}

func (w *writer) inform(status int, h Header) error {
	w.buf = appendStatus(w.buf, status)
	w.buf = append(appendFields(w.buf, h), "\r\n"...)
	return w.Flush()
}

var errHeadTwice = errors.New("the answer has a head already")

func (w *writer) Head(status int, h Header, length int64) error {
	if !w.start(h.IsEventStream()) {
		return errHeadTwice
	}
	// An application that got no 100 (Continue) may send its body or not, so the start of
	// the next request is unknown (RFC 9110, section 10.1.1).
	w.keep = w.keep && !w.awaited
	w.left = length
	w.bodiless = w.headOnly || status/100 == 1 || status == http.StatusNoContent || status == http.StatusNotModified
	w.buf = appendStatus(w.buf, status)
	w.buf = appendFields(w.buf, h)
	switch {
	case status == http.StatusNoContent || status/100 == 1:
	case length >= 0 && !(w.minor == 1 && !w.bodiless && h.Has("Trailer")): // a trailer needs chunks
		w.buf = appendLength(w.buf, length)
	case w.bodiless:
	case w.minor == 1:
		w.chunked = true
		w.buf = append(w.buf, "Transfer-Encoding: chunked\r\n"...)
	default:
		w.keep = false // the end of the connection ends the body
	}
	switch {
	case !w.keep || w.c.server.stopping.Load():
		w.keep = false
		w.buf = append(w.buf, "Connection: close\r\n"...)
	case w.minor == 0:
		w.buf = append(w.buf, "Connection: keep-alive\r\n"...)
	}
	w.buf = append(w.buf, "\r\n"...)
	return w.err
}

func (w *writer) Write(p []byte) (int, error) {
	if w.err != nil {
		return 0, w.err
	}
	if w.bodiless {
		return len(p), nil
	}
	if len(p) == 0 {
		return 0, nil // an empty chunk would end the body
	}
	if w.left >= 0 {
		if int64(len(p)) > w.left {
			w.err = errLong
			return 0, w.err
		}
		w.left -= int64(len(p))
	}
	if w.chunked {
		w.buf = appendChunkSize(w.buf, len(p))
	}
	if len(w.buf)+len(p) <= cap(w.buf) {
		w.buf = append(w.buf, p...)
	} else if w.writeBoth(p); w.err != nil {
		return 0, w.err
	}
	if w.chunked {
		w.buf = append(w.buf, "\r\n"...)
	}
	return len(p), nil
}

// Flush writes the buffer.
func (w *writer) Flush() error {
	if w.err == nil && len(w.buf) > 0 {
		w.writeBoth(nil)
	}
	return w.err
}

// writeBoth writes the buffer and p in one system call.
func (w *writer) writeBoth(p []byte) {
	w.deadline()
	defer w.wrote()
	switch {
	case len(w.buf) == 0:
		_, w.err = w.c.nc.Write(p)
	case len(p) == 0:
		_, w.err = w.c.nc.Write(w.buf)
	default:
		bufs := net.Buffers{w.buf, p}
		_, w.err = bufs.WriteTo(w.c.nc)
	}
	w.buf = w.buf[:0]
}

var (
	errShort = errors.New("the body is shorter than its Content-Length")
	errLong  = errors.New("the body is longer than its Content-Length")
)

func (w *writer) End(trailer Header) error {
	switch {
	case w.err != nil:
		return w.err
	case !w.begun:
		return errors.New("there is no answer to end")
	case w.left > 0 && !w.bodiless:
		return errShort
	case w.chunked:
		w.buf = appendLastChunk(w.buf, trailer)
	}
	w.ended = true
	return w.Flush()
}

// complete reports whether the whole answer was written.
func (w *writer) complete() bool { return w.ended && w.err == nil }

// untilClose reports whether the end of the connection ends the body.
func (w *writer) untilClose() bool { return w.begun && w.left < 0 && !w.chunked && !w.bodiless }

func (w *writer) Upgrade(h Header) (io.ReadWriteCloser, error) {
	if !w.start(false) {
		return nil, errHeadTwice
	}
	w.upgraded = true
	w.c.watch.stop(w.c) // what follows belongs to the other protocol
	if err := w.inform(http.StatusSwitchingProtocols, h); err != nil {
		return nil, err
	}
	_ = w.c.nc.SetDeadline(time.Time{}) // the new owner sets its own
	return &readAhead{w.c.nc, &w.c.in}, nil
}
