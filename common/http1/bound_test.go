package http1

import (
	"context"
	"errors"
	"io"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lsm/fiso/common/callctx"
)

// limited bounds the writes of its answer by a context with that timeout.
func limited(after time.Duration, do func(ctx context.Context, w ResponseWriter, r *Request)) Handler {
	return handlerFunc(func(outer context.Context, w ResponseWriter, r *Request) {
		var limit callctx.Context
		limit.Begin(outer)
		defer limit.End(context.Canceled)
		w.Bound(&limit)
		defer w.Unbound()
		timer := time.AfterFunc(after, func() { limit.End(context.DeadlineExceeded) })
		defer timer.Stop()
		do(&limit, w, r)
	})
}

// UL3: only the context of a call ends a write that waits.
func TestServer_aCallsContextEndsAWriteThatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		failed := make(chan error, 1)
		c, gone := pipe(t, &Server{Limits: Limits{Write: time.Second}, Handler: limited(time.Hour, func(_ context.Context, w ResponseWriter, _ *Request) {
			_ = w.Head(200, nil, -1)
			_, err := w.Write(make([]byte, 2*writeBuffer))
			failed <- err
		})})
		_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		if took := after(gone); took != time.Hour {
			t.Errorf("it took %v", took)
		}
		if err := <-failed; !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Error(err)
		}
	})
}

// UL3: after the context of a call has ended, fiso-link can still write its own answer
// and the answers that follow, with the listener's timeout.
func TestServer_anAnswerThatFollowsACallsEndIsWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ends := limited(time.Second, func(ctx context.Context, w ResponseWriter, r *Request) {
			if r.Target == "/late" {
				<-ctx.Done()
			}
			if r.Target != "/late" {
				_ = reply(w, 200, r.Target)
			}
		})
		c, gone := pipe(t, &Server{Limits: Limits{Write: 8 * time.Second}, Handler: handlerFunc(func(ctx context.Context, w ResponseWriter, r *Request) {
			if ends.ServeCall(ctx, w, r); !w.Begun() {
				_ = reply(w, 504, "late")
			}
		})})
		a := newApp(t, c)
		_ = c.SetDeadline(time.Time{})
		for range 2 {
			a.say("GET /late HTTP/1.1\r\nHost: a\r\n\r\n")
			a.expect(504, "late")
			a.say("GET /fine HTTP/1.1\r\nHost: a\r\n\r\n")
			a.expect(200, "/fine")
			time.Sleep(time.Minute) // of fake time, longer than the timeout for writes
		}
		a.say("GET /late HTTP/1.1\r\nHost: a\r\n\r\n")
		if took := after(gone); took != 9*time.Second {
			t.Errorf("an answer that nobody reads was held for %v", took)
		}
	})
}

// UL3: the buffered part of an answer is written when its call ends, so that an
// application that still reads gets it.
func TestServer_writesWhatIsHeldBackWhenACallEnds(t *testing.T) {
	a := dial(t, serve(t, &Server{Handler: limited(time.Millisecond, func(ctx context.Context, w ResponseWriter, _ *Request) {
		_ = w.Head(200, nil, -1)
		_, _ = io.WriteString(w, "held back")
		<-ctx.Done()
		if err := w.Flush(); err != nil {
			t.Error(err)
		}
	})}))
	a.say("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	res, body, err := a.answer("GET")
	if res.StatusCode != 200 || body != "held back" || err == nil {
		t.Errorf("got %d %q, %v", res.StatusCode, body, err)
	}
}
