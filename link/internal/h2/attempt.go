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

	"github.com/lsm/fiso/common/callctx"
	"github.com/lsm/fiso/common/http1"
	"github.com/lsm/fiso/link/internal/call"
)

// attempt is one request to a target. Only run, in its own goroutine, calls the
// library, because the library's locks may block: net/http of Go 1.26 deadlocks when a
// window overflows. The call waits only for the pipe and returns when it ends, even if
// run does not. If run does not end within TransportConfig.ReleaseTimeout after that,
// its connection is given up (pooled.abandon).
type attempt struct {
	pipe      // the body of the answer; its mu guards the fields down to timer
	transport *Transport
	ctx       context.Context // of the call
	life      callctx.Context // of the library's request; ended by detach
	onEnd     callctx.Hook    // stops the pipe when ctx ends
	prepared  bool            // the library has the request
	resolved  bool            // head or failure is set
	stream    uint32          // the stream of the request; 0: its head is not written yet
	head      *http.Response
	failure   error
	trailer   http.Header
	announces string      // the trailer names that the head announces
	connLost  bool        // the connection was given up
	callLeft  bool        // the call does not wait any more
	finished  bool        // run has ended and holds nothing
	timer     *time.Timer // calls giveUp; nil: run ended before the call

	conn    atomic.Pointer[pooled] // the connection that is being reserved or used
	begun   atomic.Bool            // the request's head is being written
	sending *requestBodyReader     // of a streamed body; nil: there is none

	interim       func(int, http1.Header)
	informMu      sync.Mutex
	headCame      bool // the final answer has come, or none will
	interims      int
	interimCh     chan interimAnswer // to the goroutine that passes them on; nil: there were none
	interimSender sync.WaitGroup
}

func (t *Transport) attempt(ctx context.Context, interim func(int, http1.Header)) *attempt {
	a := &attempt{transport: t, ctx: ctx, interim: interim}
	a.cond.L = &a.mu
	a.life.Begin(ctx)
	a.onEnd.Do = a.stop
	a.onEnd.On(ctx)
	return a
}

// await waits for the head of the answer, a failure, or the end of the call.
func (a *attempt) await() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	for !a.resolved && !a.stopped {
		a.cond.Wait()
	}
	if a.resolved {
		return a.failure
	}
	return a.cutOffLocked(a.prepared)
}

var errHangs = errors.New("the connection to the target hung and was closed")

// cutOffLocked returns the failure of an attempt whose outcome the call did not wait
// for. The library may still write the head, so once it has the request, the request
// counts as sent. Called with the lock held.
func (a *attempt) cutOffLocked(sent bool) *http1.Error {
	if a.connLost {
		return &http1.Error{Reason: reasonOf(a.ctx, nil, http1.ReasonReset), Sent: sent, Err: errHangs}
	}
	return &http1.Error{Reason: reasonOf(a.ctx, nil, http1.ReasonGone), Sent: sent, Err: context.Cause(a.ctx)}
}

// run makes the attempt. The call may leave before any of its steps.
func (a *attempt) run(endpoint string, out *http1.Outgoing) {
	c, err := a.transport.pool.take(&a.life, endpoint, a)
	if err != nil {
		a.resolve(nil, &http1.Error{Reason: reasonOf(a.ctx, err, http1.ReasonConnect), Err: fmt.Errorf("connect to %s: %w", endpoint, http1.Plain(err))})
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
		a.announces = announced(r.Trailer) // before the library adds values while the body is read
		if err = checkHead(r, out.Method, length); err != nil {
			_ = r.Body.Close() // it is not wanted
		}
	}
	if err != nil {
		failed := a.failed(err)
		if failed.Reason == call.ReasonUnserved {
			c.leftUnserved()
		}
		a.release(c)
		a.resolve(nil, failed)
		return
	}
	err = io.EOF
	switch {
	case length == lengthMissing: // which checkHead allows here
	case out.Method == http.MethodHead, r.ContentLength == 0 && r.Header["Content-Length"] == nil: // the stream ended with the head
		err = a.copyFrom(r.Body, -1)
	default:
		a.resolve(r, nil)
		err = a.copyFrom(r.Body, -1)
	}
	_ = r.Body.Close() // it is read
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

// finish marks the end of run. Called with the lock held.
func (a *attempt) finish() {
	a.finished = true
	if a.timer != nil {
		a.timer.Stop()
	}
}

// prepareRequest makes the request for the library; nil: the call has left.
func (a *attempt) prepareRequest(out *http1.Outgoing) *http.Request {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.callLeft || a.stopped {
		return nil
	}
	a.prepared = true
	return a.request(a.transport.scheme, out)
}

// resolve sets the outcome of the attempt. Without a head, the attempt is over.
func (a *attempt) resolve(head *http.Response, failure error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.resolved, a.head, a.failure = true, head, failure
	if head == nil {
		a.ended = true
		a.finish()
	}
	a.cond.Broadcast()
}

// release returns what run holds.
func (a *attempt) release(c *pooled) {
	if a.sending != nil {
		_ = a.sending.Close() // the library may not have done so
	}
	c.release(a)
}

// detach ends the use of the attempt by its call, at once.
func (a *attempt) detach() {
	a.onEnd.Remove()
	a.stop()
	a.mu.Lock()
	a.callLeft = true
	if !a.finished {
		a.timer = time.AfterFunc(a.transport.cfg.ReleaseTimeout, a.giveUp)
	}
	prepared := a.prepared
	a.mu.Unlock()
	if prepared && a.sending != nil {
		_ = a.sending.Close() // the library ignores its context while it waits for a body
	}
	a.life.End(context.Canceled)
}

// cutOff is cutOffLocked without the lock held.
func (a *attempt) cutOff(sent bool) *http1.Error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.cutOffLocked(sent)
}

// giveUp gives up the connection of an attempt whose run has not ended.
func (a *attempt) giveUp() {
	a.mu.Lock()
	finished := a.finished
	a.mu.Unlock()
	if c := a.conn.Load(); c != nil && !finished {
		c.abandon()
	}
}

// connectionLost ends the call's wait on a connection that was given up.
func (a *attempt) connectionLost() {
	a.mu.Lock()
	a.connLost = true
	a.mu.Unlock()
	a.stop()
}

// trailerAfterBody returns the trailer. It is complete once the body has been read.
func (a *attempt) trailerAfterBody() http.Header {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.trailer
}

// request returns the request as net/http has it. The path is sent unchanged.
func (a *attempt) request(scheme string, out *http1.Outgoing) *http.Request {
	r := &http.Request{
		Method: out.Method, Host: out.Host, Proto: "HTTP/2.0", ProtoMajor: 2, Header: make(http.Header, len(out.Header)+1), ContentLength: out.Length,
		URL: &url.URL{Scheme: scheme, Host: out.Host, Opaque: out.Path, RawQuery: out.Query, ForceQuery: out.ForceQuery},
	}
	toHTTP(r.Header, out.Header)
	if _, ok := r.Header["User-Agent"]; !ok {
		r.Header["User-Agent"] = []string{""} // sends none; net/http would add its own
	}
	switch {
	case out.Body != nil:
		if out.Trailer != nil {
			r.Trailer = http.Header{}
		}
		a.sending = send(out, r.Trailer)
		r.Body = a.sending
	case len(out.Kept) > 0:
		if out.Trailer != nil { // the body has been read to its end
			r.Trailer = http.Header{}
			r.Header.Del("Trailer") // the library announces it itself
			toHTTP(r.Trailer, http1.LateFields(append(http1.Header(nil), out.Trailer()...)))
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

// wroteHead records the stream of the request. It is called with the library's write
// lock held.
func (a *attempt) wroteHead() {
	a.begun.Store(true)
	if c := a.conn.Load(); c != nil {
		a.mu.Lock()
		a.stream = c.raw.stream
		a.cond.Broadcast()
		a.mu.Unlock()
	}
}

// streamID returns the stream of the request, or 0 if the call has ended. The head of
// the answer may arrive before the library reports that it wrote the head of the
// request.
func (a *attempt) streamID() uint32 {
	a.mu.Lock()
	defer a.mu.Unlock()
	for a.stream == 0 && !a.stopped {
		a.cond.Wait()
	}
	return a.stream
}

// interimAnswer is an interim (1xx) answer.
type interimAnswer struct {
	status int
	header http1.Header
}

// fault is an answer that breaks the rules of HTTP.
type fault string

func (f fault) Error() string { return string(f) }

const (
	errInterims = fault("the answer never got past interim (1xx) ones")
	errSwitch   = fault("the answer changes to a protocol that was not asked for")
)

// inform is called by the goroutine that reads for all calls on the connection and must
// not wait for an application. So another goroutine passes interim answers on.
func (a *attempt) inform(status int, h textproto.MIMEHeader) error {
	if status == http.StatusSwitchingProtocols {
		return errSwitch
	}
	a.informMu.Lock()
	defer a.informMu.Unlock()
	if a.interims++; a.interims > maxInterim {
		return errInterims
	}
	if a.headCame || a.interim == nil || status == http.StatusContinue {
		return nil
	}
	if a.interimCh == nil {
		a.interimCh = make(chan interimAnswer, maxInterim)
		a.interimSender.Go(func() {
			for i := range a.interimCh {
				a.interim(i.status, i.header)
			}
		})
	}
	a.interimCh <- interimAnswer{status, endToEnd(http.Header(h))} // the channel has room for all
	return nil
}

// passed waits until the interim answers were passed on.
func (a *attempt) waitInterim() {
	a.informMu.Lock()
	a.headCame = true
	if a.interimCh != nil {
		close(a.interimCh)
	}
	a.informMu.Unlock()
	a.interimSender.Wait()
}
