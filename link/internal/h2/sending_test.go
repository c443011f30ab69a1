package h2

import (
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"github.com/lsm/fiso/common/http1"
)

var errBroken = errors.New("broken")

// broken is a body that fails after its bytes.
type broken struct{ io.Reader }

func (b broken) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if errors.Is(err, io.EOF) {
		err = errBroken
	}
	return n, err
}

func TestSending_aBodyThatBreaksIsNoFaultOfTheTarget(t *testing.T) {
	for name, test := range map[string]struct {
		body io.Reader
		head bool // the answer has begun
	}{
		"at once":         {broken{strings.NewReader("")}, false},
		"midway":          {broken{strings.NewReader("hello")}, false},
		"shorter":         {strings.NewReader("hell"), false},
		"amid the answer": {broken{io.MultiReader(strings.NewReader("hello"), slow{})}, true},
	} {
		t.Run(name, func(t *testing.T) {
			how := make(chan string, 1)
			addr := target(t, func(p *peer) {
				_, s := p.awaitHead()
				if test.head {
					p.headers(s, false, ":status", "200")
				}
				h, _, _ := p.ending(s)
				how <- h
			})
			o := out("POST")
			body := newBody(test.body)
			o.Body, o.Length = body, 100
			a, err := transport(t, TransportConfig{}).RoundTrip(t.Context(), addr, o, nil)
			if test.head {
				_, err = read(t, a, err)
			}
			if r, _ := reason(t, err); r != http1.ReasonBody {
				t.Error(err)
			}
			await(t, "the body to be closed", body.closed)
			if h := <-how; !strings.HasPrefix(h, "reset") {
				t.Error("the target saw a whole request:", h)
			}
		})
	}
}

// slow is a body that ends after a short time.
type slow struct{}

func (slow) Read([]byte) (int, error) {
	<-time.After(50 * time.Millisecond)
	return 0, io.EOF
}

// beforeRead calls a function before each read.
type beforeRead struct {
	io.Reader
	call func()
}

func (r beforeRead) Read(p []byte) (int, error) {
	r.call()
	return r.Reader.Read(p)
}

// Neither an answer nor its end waits for a body that the application has yet to send.
// The read of that body goes on until its owner interrupts it.
func TestSending_nothingWaitsForAReadThatWaits(t *testing.T) {
	for name, test := range map[string]struct {
		do     func(p *peer, s uint32)
		reason http1.Reason // "": no failure
	}{
		"an answer, whole": {func(p *peer, s uint32) { p.headers(s, true, ":status", "200") }, ""},
		"an answer, and a reset": {func(p *peer, s uint32) {
			p.headers(s, true, ":status", "200")
			_ = p.WriteRSTStream(s, http2.ErrCodeNo) // a failure shows in the transport
		}, ""},
		"413":     {func(p *peer, s uint32) { p.headers(s, true, ":status", "413") }, ""},
		"a reset": {func(p *peer, s uint32) { _ = p.WriteRSTStream(s, http2.ErrCodeInternal) }, http1.ReasonReset},
		"closing": {func(p *peer, _ uint32) { _ = p.Close() }, http1.ReasonReset},
	} {
		t.Run(name, func(t *testing.T) {
			reading := make(chan struct{})
			addr := target(t, func(p *peer) { _, s := p.awaitHead(); <-reading; test.do(p, s); p.drain() })
			waiting, interrupt := io.Pipe()
			body := newBody(beforeRead{waiting, sync.OnceFunc(func() { close(reading) })})
			o := out("POST")
			o.Body, o.Length = body, -1
			a, err := transport(t, TransportConfig{}).RoundTrip(t.Context(), addr, o, nil)
			if test.reason != "" {
				if r, _ := reason(t, err); r != test.reason {
					t.Error(err)
				}
			} else if _, err := read(t, a, err); err != nil {
				t.Error(err)
			}
			select {
			case <-body.closed:
				t.Error("a body was given back while it is read")
			default:
			}
			_ = interrupt.CloseWithError(errBroken) // never fails
			await(t, "the body to be closed", body.closed)
		})
	}
}
