package h2

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lsm/fiso/common/http1"
	"github.com/lsm/fiso/link/internal/call"
)

// attempt is one request on its way. Only run, in a goroutine of its own, calls
// the library, whose locks are not ours: net/http of Go 1.26 locks itself when a
// window overflows. The call waits for the pipe alone, and leaves at its end
// whether or not run comes back. Where run does not within Transport.release, its
// connection is given up (pooled.abandon).
type attempt struct {
	pipe      // the body of the answer; its mu guards what follows up to at
	transport *Transport
	ctx       context.Context // of the call
	life      call.Ending     // of the library's request: it ends when the call leaves
	detached  call.Hook       // on ctx
	prepared  bool            // the library has the request
	resolved  bool            // head or failure is there
	stream    uint32          // that the request's head was written on
	head      *http.Response
	failure   error
	trailer   http.Header
	announces string      // the names in Trailer of the head
	lost      bool        // the connection was given up
	gone      bool        // nobody waits for it any more
	over      bool        // run has ended, and holds nothing
	timer     *time.Timer // gives the connection up; nil: run was faster than the call

	at      atomic.Pointer[pooled] // the connection that is asked or used
	begun   atomic.Bool            // the request's head is being written
	sending *requestBodyReader     // of a body that streams; nil: none does

	interim  func(int, call.Header)
	informMu sync.Mutex
	headed   bool // the real answer is there, or none will be
	interims int
	informed chan informed // to the goroutine that passes them on; nil: there was none
	informs  sync.WaitGroup
}

func (t *Transport) attempt(ctx context.Context, interim func(int, call.Header)) *attempt {
	a := &attempt{transport: t, ctx: ctx, interim: interim}
	a.turn.L = &a.mu
	a.life.Begin(ctx)
	a.detached.Do = a.stop
	a.detached.On(ctx)
	return a
}

// await waits for the head of the answer, a failure, or the end of the call.
func (a *attempt) await() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	for !a.resolved && !a.shut {
		a.turn.Wait()
	}
	if a.resolved {
		return a.failure
	}
	return a.cutFailure(a.prepared)
}

var errHangs = errors.New("the connection to the target hangs, and was given up")

// cutFailure is the failure of an attempt whose outcome the call did not wait for. The
// library may write the head still, so that handing it over counts as sent.
// Called with the lock held.
func (a *attempt) cutFailure(sent bool) *call.Error {
	if a.lost {
		return &call.Error{Reason: reasonOf(a.ctx, nil, call.Reset), Sent: sent, Err: errHangs}
	}
	return &call.Error{Reason: reasonOf(a.ctx, nil, call.Gone), Sent: sent, Err: context.Cause(a.ctx)}
}

// run makes the attempt. The call may have left before any of its steps.
func (a *attempt) run(endpoint string, out *call.Outgoing) {
	c, err := a.transport.pool.take(&a.life, endpoint, a)
	if err != nil {
		a.resolve(nil, &call.Error{Reason: reasonOf(a.ctx, err, call.Connect), Err: fmt.Errorf("connect to %s: %w", endpoint, http1.Plain(err))})
		return
	}
	request := a.prepareRequest(out)
	if request == nil {
		c.http.Release()
		c.release(a)
		a.resolve(nil, a.cutOff(false))
		return
	}
	r, err := c.http.RoundTrip(request)
	var length lengthFault
	if err == nil {
		length = c.raw.heads.faultOf(a.streamID())
		a.announces = announced(r.Trailer) // the library fills it in while the body is read
		if err = checkHead(r, out.Method, length); err != nil {
			_ = r.Body.Close() // it is not read
		}
	}
	if err != nil {
		failed := a.failed(err)
		if failed.Reason == call.Unserved {
			c.tooManyUnserved()
		}
		a.release(c)
		a.resolve(nil, failed)
		return
	}
	err = io.EOF
	switch {
	case length == lengthMissing: // and rightly so
	case out.Method == http.MethodHead, r.ContentLength == 0 && r.Header["Content-Length"] == nil: // it ended with its head
		err = a.copyFrom(r.Body, -1)
	default:
		a.resolve(r, nil)
		err = a.copyFrom(r.Body, -1)
	}
	_ = r.Body.Close() // nobody reads it any more
	if errors.Is(err, io.EOF) {
		c.answered()
	}
	a.release(c)
	a.end(err, func() {
		if !a.resolved {
			a.resolved, a.head = true, r
		}
		a.trailer = r.Trailer
		a.finish()
	})
}

// finish is the end of run. Called with the lock held.
func (a *attempt) finish() {
	a.over = true
	if a.timer != nil {
		a.timer.Stop()
	}
}

// prepareRequest makes the request that the library gets; nil: the call has left.
func (a *attempt) prepareRequest(out *call.Outgoing) *http.Request {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.gone || a.shut {
		return nil
	}
	a.prepared = true
	return a.request(a.transport.scheme, out)
}

// resolve says what the attempt has come to; without a head, it is over.
func (a *attempt) resolve(head *http.Response, failure error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.resolved, a.head, a.failure = true, head, failure
	if head == nil {
		a.ended = true
		a.finish()
	}
	a.turn.Broadcast()
}

// release gives back what run holds.
func (a *attempt) release(c *pooled) {
	if a.sending != nil {
		_ = a.sending.Close() // where the library has not
	}
	c.release(a)
}

// detach ends the call's use of the attempt, at once.
func (a *attempt) detach() {
	a.detached.Remove()
	a.stop()
	a.mu.Lock()
	a.gone = true
	if !a.over {
		a.timer = time.AfterFunc(a.transport.cfg.LetGo, a.giveUp)
	}
	handed := a.prepared
	a.mu.Unlock()
	if handed && a.sending != nil {
		_ = a.sending.Close() // the library may not look at its context while it waits for a body
	}
	a.life.End(context.Canceled)
}

// cutOff is cut, without the lock.
func (a *attempt) cutOff(sent bool) *call.Error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.cutFailure(sent)
}

// giveUp gives the connection of an attempt up that has not come back.
func (a *attempt) giveUp() {
	a.mu.Lock()
	over := a.over
	a.mu.Unlock()
	if c := a.at.Load(); c != nil && !over {
		c.abandon()
	}
}

// connectionLost ends the call's wait for a connection that was given up.
func (a *attempt) connectionLost() {
	a.mu.Lock()
	a.lost = true
	a.mu.Unlock()
	a.stop()
}

// trailerAfterBody is the trailer, once the body was read.
func (a *attempt) trailerAfterBody() http.Header {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.trailer
}

// request is the request in the words of net/http. The path goes out as it is.
func (a *attempt) request(scheme string, out *call.Outgoing) *http.Request {
	r := &http.Request{
		Method: out.Method, Host: out.Host, Proto: "HTTP/2.0", ProtoMajor: 2, Header: make(http.Header, len(out.Header)+1), ContentLength: out.Length,
		URL: &url.URL{Scheme: scheme, Host: out.Host, Opaque: out.Path, RawQuery: out.Query, ForceQuery: out.ForceQuery},
	}
	toHTTP(r.Header, out.Header)
	if _, ok := r.Header["User-Agent"]; !ok {
		r.Header["User-Agent"] = []string{""} // none, and not net/http's
	}
	switch {
	case out.Body != nil:
		if out.Trailer != nil {
			r.Trailer = http.Header{}
		}
		a.sending = send(out, r.Trailer)
		r.Body = a.sending
	case len(out.Kept) > 0:
		if out.Trailer != nil { // the body was read to its end
			r.Trailer = http.Header{}
			r.Header.Del("Trailer") // the library announces what it has
			toHTTP(r.Trailer, http1.LateFields(append(call.Header(nil), out.Trailer()...)))
		}
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(out.Kept)), int64(len(out.Kept))
	default:
		r.ContentLength = 0
	}
	return r.WithContext(httptrace.WithClientTrace(&a.life, &httptrace.ClientTrace{
		WroteHeaderField: func(string, []string) { a.begun.Store(true) },
		WroteHeaders:     a.wroteHead,
		Got1xxResponse:   a.inform,
	}))
}

// wroteHead is called with the library's lock for writes.
func (a *attempt) wroteHead() {
	a.begun.Store(true)
	if c := a.at.Load(); c != nil {
		a.mu.Lock()
		a.stream = c.raw.stream
		a.turn.Broadcast()
		a.mu.Unlock()
	}
}

// streamID is the stream of the request, or 0 where the call has ended. The head of
// the answer may be here before the library says that it wrote that of the request.
func (a *attempt) streamID() uint32 {
	a.mu.Lock()
	defer a.mu.Unlock()
	for a.stream == 0 && !a.shut {
		a.turn.Wait()
	}
	return a.stream
}

// informed is an interim answer.
type informed struct {
	status int
	header call.Header
}

// fault is an answer that breaks the rules.
type fault string

func (f fault) Error() string { return string(f) }

const (
	errInterims = fault("the answer never got past interim (1xx) ones")
	errSwitch   = fault("the answer changes to a protocol that was not asked for")
)

// inform is called by the goroutine that reads for every call on the connection,
// which must wait for no application: another one passes interim answers on.
func (a *attempt) inform(status int, h textproto.MIMEHeader) error {
	if status == http.StatusSwitchingProtocols {
		return errSwitch
	}
	a.informMu.Lock()
	defer a.informMu.Unlock()
	if a.interims++; a.interims > maxInterim {
		return errInterims
	}
	if a.headed || a.interim == nil || status == http.StatusContinue {
		return nil
	}
	if a.informed == nil {
		a.informed = make(chan informed, maxInterim)
		a.informs.Go(func() {
			for i := range a.informed {
				a.interim(i.status, i.header)
			}
		})
	}
	a.informed <- informed{status, endToEnd(http.Header(h))} // there is room for all
	return nil
}

// passed waits until the interim answers were passed on.
func (a *attempt) passed() {
	a.informMu.Lock()
	a.headed = true
	if a.informed != nil {
		close(a.informed)
	}
	a.informMu.Unlock()
	a.informs.Wait()
}
