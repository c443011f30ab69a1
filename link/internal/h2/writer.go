package h2

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"

	"github.com/lsm/fiso/common/http1"
)

// writer answers one stream.
type writer struct {
	http     http.ResponseWriter
	stream   *stream
	headOnly bool // the request is a HEAD
	begun    bool
	ended    bool
	bodiless bool
	left     int64 // bytes left of the announced length; -1: none was announced
	err      error // sticky
}

var (
	errHeadTwice = errors.New("the answer has a head already")
	errNoUpgrade = errors.New("HTTP/2 has no upgrade")
	errLong      = errors.New("the body is longer than its Content-Length")
	errShort     = errors.New("the body is shorter than its Content-Length")
)

func (w *writer) Begun() bool { return w.begun }

// Bound and Unbound implement http1.ResponseWriter.
func (w *writer) Bound(ctx context.Context) { w.stream.boundBy(ctx) }
func (w *writer) Unbound()                  { w.stream.unbound() }

// Inform sends an interim answer.
func (w *writer) Inform(status int, h http1.Header) error {
	if w.begun || status < 102 || status > 199 {
		return w.err // net/http sends 100 when the body is read, and HTTP/2 has no 101
	}
	w.set(h)
	w.http.WriteHeader(status)
	clear(w.http.Header())
	return w.err
}

func (w *writer) set(h http1.Header) {
	kept := make(http1.Header, 0, len(h))
	for _, f := range h {
		if !http1.HopByHop(f.Name) || http1.Same(f.Name, "Trailer") {
			kept = append(kept, f)
		}
	}
	toHTTP(w.http.Header(), kept)
}

func (w *writer) Head(status int, h http1.Header, length int64) error {
	if w.begun {
		return errHeadTwice
	}
	w.begun, w.left = true, length
	w.bodiless = w.headOnly || status == http.StatusNoContent || status == http.StatusNotModified
	w.set(h)
	to := w.http.Header()
	// A nil value keeps net/http from adding the field itself.
	for _, name := range [...]string{"Content-Type", "Date", "Content-Length"} {
		if _, ok := to[name]; !ok {
			to[name] = nil
		}
	}
	// A head that ends the stream says that there is no body. gRPC expects no
	// Content-Length in such a head.
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

// Flush sends what has been written. A head that is the whole answer waits for End:
// gRPC treats a head that does not end the stream differently.
func (w *writer) Flush() error {
	if w.err == nil && w.begun && w.left != 0 {
		w.err = w.stream.writing(w.stream.http.Flush)
	}
	return w.err
}

// End ends the answer. net/http sends the rest and the trailer once the handler has
// returned.
func (w *writer) End(trailer http1.Header) error {
	switch {
	case w.err != nil:
		return w.err
	case !w.begun:
		return errors.New("there is no answer to end")
	case w.left > 0 && !w.bodiless:
		w.err = errShort
		return w.err
	}
	clear(w.http.Header()) // net/http would send fields of the head that Trailer names again
	for _, f := range trailer {
		w.http.Header().Add(http.TrailerPrefix+f.Name, f.Value)
	}
	w.ended = true
	w.err = w.stream.boundFinalWrite()
	return w.err
}

// Upgrade fails: HTTP/2 has no upgrade.
func (w *writer) Upgrade(http1.Header) (io.ReadWriteCloser, error) { return nil, errNoUpgrade }
