package h2

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"

	"github.com/lsm/fiso/common/http1"
	"github.com/lsm/fiso/link/internal/call"
)

// writer answers one stream.
type writer struct {
	http     http.ResponseWriter
	stream   *stream
	headOnly bool // a HEAD is answered
	begun    bool
	ended    bool
	bodiless bool
	left     int64 // of the announced length; -1: none was
	err      error // sticky
}

var (
	errHeadTwice = errors.New("the answer has a head already")
	errNoUpgrade = errors.New("HTTP/2 has no upgrade")
	errLong      = errors.New("the body is longer than its Content-Length")
	errShort     = errors.New("the body is shorter than its Content-Length")
)

func (w *writer) Begun() bool { return w.begun }

// Bound and Unbound are those of call.ResponseWriter.
func (w *writer) Bound(ctx context.Context) { w.stream.boundBy(ctx) }
func (w *writer) Unbound()                  { w.stream.unbound() }

// Inform sends an interim answer.
func (w *writer) Inform(status int, h call.Header) error {
	if w.begun || status < 102 || status > 199 {
		return w.err // 100 is sent when the body is read, and 101 is not known here
	}
	w.set(h)
	w.http.WriteHeader(status)
	clear(w.http.Header())
	return w.err
}

func (w *writer) set(h call.Header) {
	kept := make(call.Header, 0, len(h))
	for _, f := range h {
		if !http1.HopByHop(f.Name) || http1.Same(f.Name, "Trailer") {
			kept = append(kept, f)
		}
	}
	toHTTP(w.http.Header(), kept)
}

func (w *writer) Head(status int, h call.Header, length int64) error {
	if w.begun {
		return errHeadTwice
	}
	w.begun, w.left = true, length
	w.bodiless = w.headOnly || status == http.StatusNoContent || status == http.StatusNotModified
	w.set(h)
	to := w.http.Header()
	// A nil value keeps net/http from adding what nobody said.
	for _, name := range [...]string{"Content-Type", "Date", "Content-Length"} {
		if _, ok := to[name]; !ok {
			to[name] = nil
		}
	}
	// A head that is also the end says that there is no body; gRPC knows no
	// other, and expects no length.
	if length > 0 && status != http.StatusNoContent || length == 0 && !w.bodiless && !h.IsGRPC() {
		to["Content-Length"] = []string{strconv.FormatInt(length, 10)}
	}
	w.http.WriteHeader(status)
	return w.err
}

func (w *writer) Write(p []byte) (int, error) {
	switch {
	case w.err != nil:
		return 0, w.err
	case w.bodiless || len(p) == 0:
		return len(p), nil
	case w.left >= 0 && int64(len(p)) > w.left:
		w.err = errLong
		return 0, w.err
	case w.left >= 0:
		w.left -= int64(len(p))
	}
	var n int
	w.err = w.stream.writing(func() (err error) {
		n, err = w.http.Write(p)
		return err
	})
	return n, w.err
}

// Flush sends what there is. A head that is the whole answer waits for End: gRPC
// takes one that is not the end for another thing.
func (w *writer) Flush() error {
	if w.err == nil && w.begun && w.left != 0 {
		w.err = w.stream.writing(w.stream.http.Flush)
	}
	return w.err
}

// End ends the answer; net/http sends what is left, and the trailer, once the
// handler returns.
func (w *writer) End(trailer call.Header) error {
	switch {
	case w.err != nil:
		return w.err
	case !w.begun:
		return errors.New("there is no answer to end")
	case w.left > 0 && !w.bodiless:
		w.err = errShort
		return w.err
	}
	clear(w.http.Header()) // or net/http would send a field of the head again, whose name Trailer has
	for _, f := range trailer {
		w.http.Header().Add(http.TrailerPrefix+f.Name, f.Value)
	}
	w.ended = true
	w.err = w.stream.boundFinalWrite()
	return w.err
}

// Upgrade fails: HTTP/2 has none.
func (w *writer) Upgrade(call.Header) (io.ReadWriteCloser, error) { return nil, errNoUpgrade }
