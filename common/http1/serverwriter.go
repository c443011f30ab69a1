package http1

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/lsm/fiso/common/callctx"
)

// writer answers one request at a time, through the connection's buffer.
type writer struct {
	c        *serverConn
	buf      []byte
	until    time.Time // the write deadline that stands
	keep     bool      // the connection stays after this answer
	headOnly bool      // a HEAD is answered
	minor    int
	begun    bool
	ended    bool
	upgraded bool
	chunked  bool
	bodiless bool
	endless  bool  // a stream of events was begun
	awaited  bool  // the application waits for 100 (Continue) before it sends a body
	left     int64 // of the announced length; -1: none was
	err      error // sticky
}

// Begun and the writes before it may come from two goroutines: who reads the
// request's body sends 100 (Continue), while the answer may begin. conn.began
// guards begun, and the connection until then.

// begin makes it the writer of the next answer.
func (w *writer) begin(keep, headOnly bool, minor int) {
	*w = writer{c: w.c, buf: w.buf[:0], until: w.until, keep: keep, headOnly: headOnly, minor: minor}
}

func (w *writer) Begun() bool { return w.begun }

// start begins the one answer; false if there is one.
func (w *writer) start(endless bool) bool {
	w.c.began.Lock()
	defer w.c.began.Unlock()
	if w.begun {
		return false
	}
	w.begun, w.endless = true, endless
	return true
}

// sendContinue asks for the request's body by 100 (Continue), and reports whether it
// did: not once an answer has begun.
func (w *writer) sendContinue() (bool, error) {
	w.c.began.Lock()
	defer w.c.began.Unlock()
	if w.begun {
		return false, nil
	}
	w.awaited = false
	return true, w.inform(100, nil)
}

// Inform sends an interim answer; HTTP/1.0 knows none.
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
	return w.flush()
}

var errHeadTwice = errors.New("the answer has a head already")

func (w *writer) Head(status int, h Header, length int64) error {
	if !w.start(h.IsEventStream()) {
		return errHeadTwice
	}
	// An application that was not told to send its body may send it all the same, so
	// that it is not known where the next request begins (RFC 9110, section 10.1.1).
	w.keep = w.keep && !w.awaited
	w.left = length
	w.bodiless = w.headOnly || status/100 == 1 || status == http.StatusNoContent || status == http.StatusNotModified
	w.buf = appendStatus(w.buf, status)
	w.buf = appendFields(w.buf, h)
	switch {
	case status == http.StatusNoContent || status/100 == 1:
	case length >= 0 && !(w.minor == 1 && !w.bodiless && h.Has("Trailer")): // which has a place behind chunks alone
		w.buf = append(strconv.AppendInt(append(w.buf, "Content-Length: "...), length, 10), "\r\n"...)
	case w.bodiless:
	case w.minor == 1:
		w.chunked = true
		w.buf = append(w.buf, "Transfer-Encoding: chunked\r\n"...)
	default:
		w.keep = false // the end of the connection is the end of the body
	}
	switch {
	case !w.keep || w.c.server.isStopping():
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
		return 0, nil // a chunk of nothing would be the last one
	}
	if w.left >= 0 {
		if int64(len(p)) > w.left {
			w.err = errLong
			return 0, w.err
		}
		w.left -= int64(len(p))
	}
	if w.chunked {
		w.buf = append(strconv.AppendInt(w.buf, int64(len(p)), 16), "\r\n"...)
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

// writeBoth writes what is held back and p in one system call.
func (w *writer) writeBoth(p []byte) {
	w.deadline()
	defer w.wrote()
	if len(w.buf) == 0 {
		_, w.err = w.c.nc.Write(p)
		return
	}
	bufs := net.Buffers{w.buf, p}
	_, w.err = bufs.WriteTo(w.c.nc)
	w.buf = w.buf[:0]
}

func (w *writer) Flush() error { return w.flush() }

func (w *writer) flush() error {
	if w.err != nil || len(w.buf) == 0 {
		return w.err
	}
	w.deadline()
	defer w.wrote()
	_, w.err = w.c.nc.Write(w.buf)
	w.buf = w.buf[:0]
	return w.err
}

// writeBound is the end of a call's context, which ends a write of its answer.
type writeBound struct {
	hook *callctx.Hook
	mu   sync.Mutex // guards what follows, and the deadline while on
	on   bool       // written with conn.began held as well, and read with either
	late bool       // it has come
	busy bool       // a write is under way
}

// lastWrite is how long a write may take that begins after the end of its call: an
// application that still reads gets the bytes that were held back.
const lastWrite = 250 * time.Millisecond

// Bound is that of ResponseWriter. While ctx bounds the writes they have no
// deadline, so that a call that is in time moves none.
func (w *writer) Bound(ctx context.Context) {
	c := w.c
	c.began.Lock()
	defer c.began.Unlock()
	b := &c.writeBound
	if b.hook == nil {
		b.hook = &callctx.Hook{Do: c.cutWrite}
	}
	if !w.until.IsZero() {
		w.until = time.Time{}
		_ = c.nc.SetWriteDeadline(w.until) // a failure shows in the write
	}
	b.set(true)
	b.hook.On(ctx)
}

// Unbound ends what Bound began.
func (w *writer) Unbound() {
	c := w.c
	c.began.Lock()
	defer c.began.Unlock()
	b := &c.writeBound
	if b.hook == nil {
		return
	}
	removed := b.hook.Remove()
	if b.set(false); !removed {
		b.hook = nil // a hook that was done is not used again
		_ = c.nc.SetWriteDeadline(time.Time{})
	}
}

func (b *writeBound) set(on bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.on, b.late = on, false
}

// cutWrite ends the write under way.
func (c *serverConn) cutWrite() {
	b := &c.writeBound
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.on {
		return
	}
	if b.late = true; b.busy {
		_ = c.nc.SetWriteDeadline(time.Unix(1, 0)) // on a closed connection nothing is left to end
	}
}

// wrote says that a write has ended.
func (w *writer) wrote() {
	if b := &w.c.writeBound; b.on {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.busy = false
	}
}

// deadline gives a write its time, unless a call's context bounds it. Moving a
// deadline costs as much as a small write, so one that has at least three quarters of
// its time left stays.
func (w *writer) deadline() {
	if b := &w.c.writeBound; b.on {
		b.mu.Lock()
		defer b.mu.Unlock()
		if b.busy = true; b.late {
			_ = w.c.nc.SetWriteDeadline(time.Now().Add(lastWrite)) // the same
		}
		return
	}
	now, most := time.Now(), w.c.limits.Write
	if w.until.Sub(now) < most-most/4 {
		w.until = now.Add(most)
		_ = w.c.nc.SetWriteDeadline(w.until) // a failure shows in the write
	}
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
		w.buf = append(w.buf, "0\r\n"...)
		w.buf = append(appendFields(w.buf, trailer), "\r\n"...)
	}
	w.ended = true
	return w.flush()
}

// finish reports whether the answer is whole. One that is not is cut off with
// its connection, so that nobody takes it for whole.
func (w *writer) finish() bool { return w.ended && w.err == nil }

// untilClose reports whether the body ends with the connection.
func (w *writer) untilClose() bool { return w.begun && w.left < 0 && !w.chunked && !w.bodiless }

func (w *writer) Upgrade(h Header) (io.ReadWriteCloser, error) {
	if !w.start(false) {
		return nil, errHeadTwice
	}
	w.upgraded = true
	w.c.watch.stop(w.c) // what is read from here on is the other protocol's
	w.buf = appendStatus(w.buf, http.StatusSwitchingProtocols)
	w.buf = append(appendFields(w.buf, h), "\r\n"...)
	if err := w.flush(); err != nil {
		return nil, err
	}
	_ = w.c.nc.SetDeadline(time.Time{}) // whoever takes it sets its own
	return &tunnel{conn: w.c.nc, in: &w.c.in}, nil
}

// tunnel is a connection after an upgrade; what was read ahead comes first.
type tunnel struct {
	conn net.Conn
	in   *buffer
}

func (t *tunnel) Read(p []byte) (int, error)  { return t.in.Read(p) }
func (t *tunnel) Write(p []byte) (int, error) { return t.conn.Write(p) }
func (t *tunnel) Close() error                { return t.conn.Close() }

// CloseWrite ends what is written and leaves the other direction open: by a FIN,
// or under TLS by close_notify.
func (t *tunnel) CloseWrite() error {
	if half, ok := t.conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return t.conn.Close()
}

func appendStatus(b []byte, status int) []byte {
	b = strconv.AppendInt(append(b, "HTTP/1.1 "...), int64(status), 10)
	b = append(append(b, ' '), http.StatusText(status)...)
	return append(b, "\r\n"...)
}

func appendFields(b []byte, h Header) []byte {
	for i := range h {
		b = append(append(b, h[i].Name...), ": "...)
		b = append(append(b, h[i].Value...), "\r\n"...)
	}
	return b
}
