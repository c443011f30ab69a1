package proxy

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lsm/fiso/common/callctx"
	"github.com/lsm/fiso/common/http1"
)

// newBody returns the body of a request that comes through a pipe.
func newBody(t *testing.T, length int64, most int) (*resendableBody, *io.PipeWriter) {
	t.Helper()
	in, from := io.Pipe()
	r := &http1.Request{Body: in, Length: length, Interrupt: func() { _ = from.CloseWithError(errBroken) }}
	b := &resendableBody{limit: &callLimit{began: time.Now()}}
	err := b.readSmallBody(t.Context(), r, most, false)
	if err != nil {
		t.Fatal(err)
	}
	return b, from
}

func send(t *testing.T, to io.Writer, s string) {
	t.Helper()
	if _, err := io.WriteString(to, s); err != nil {
		t.Error(err)
	}
}

func read(t *testing.T, from io.Reader, want string) {
	t.Helper()
	p := make([]byte, len(want))
	if _, err := io.ReadFull(from, p); err != nil || string(p) != want {
		t.Errorf("read %q, %v; want %q", p, err, want)
	}
}

func open(b *resendableBody) io.ReadCloser {
	var out http1.Outgoing
	b.attachBody(&out)
	return out.Body
}

// A transport may still read after it failed. Its read must not block the call if the
// application sends nothing.
func TestBody_thatWaitsBlocksNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, from := newBody(t, -1, 16)
		first := open(b)
		var late sync.WaitGroup
		late.Go(func() {
			defer func() { _ = first.Close() }() // the test is over
			read(t, first, "abc")
			if _, err := first.Read(make([]byte, 1)); !errors.Is(err, errAttemptOver) {
				t.Error(err)
			}
		})
		synctest.Wait() // the read waits for the application
		if !b.canResend() || !b.detachAttempt() {
			t.Fatal("nothing was read yet")
		}
		second := open(b)
		late.Go(func() { read(t, second, "abcdef") })
		synctest.Wait()
		send(t, from, "abc") // read by the first attempt, and kept for the second
		send(t, from, "def")
		late.Wait()
		_ = second.Close()
		b.finish()
	})
}

// The last read of a failed attempt may bring more than the limit; all of it is kept.
func TestBody_losesNothingToTheLastReadOfAnEarlierAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, from := newBody(t, -1, 4)
		first := open(b)
		var late sync.WaitGroup
		late.Go(func() {
			defer func() { _ = first.Close() }() // the test is over
			read(t, first, "abcdefgh")
		})
		synctest.Wait()
		b.detachAttempt()
		second := open(b)
		late.Go(func() {
			defer func() { _ = second.Close() }() // the test is over
			if got, err := io.ReadAll(second); string(got) != "abcdefghij" || err != nil {
				t.Errorf("%q, %v", got, err)
			}
		})
		send(t, from, "abcdefgh")
		send(t, from, "ij")
		_ = from.Close()
		late.Wait()
		if b.canResend() || b.detachAttempt() || b.kept != nil {
			t.Errorf("another attempt may have it, and %d bytes are kept", len(b.kept))
		}
		b.finish()
	})
}

func TestBody_isKeptUpToItsBound(t *testing.T) {
	for _, most := range []int{0, 3, 8} {
		b, from := newBody(t, -1, most)
		go func() { send(t, from, "abcdefgh"); _ = from.Close() }()
		h := open(b)
		read(t, h, "abcdefgh")
		if _, err := h.Read(make([]byte, 1)); err != io.EOF {
			t.Error(err)
		}
		_ = h.Close()
		if b.canResend() != (most == 8) {
			t.Errorf("bound %d: again is %v", most, b.canResend())
		}
		b.finish()
	}
}

func TestBody_readsASmallOneOfKnownLengthAtOnce(t *testing.T) {
	r := request("POST", "/", "abc")
	b := &resendableBody{limit: &callLimit{}}
	err := b.readSmallBody(t.Context(), r, 3, false)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		var out http1.Outgoing
		if b.attachBody(&out); string(out.Kept) != "abc" || out.Length != 3 || out.Body != nil {
			t.Errorf("%+v", out)
		}
	}
	b.finish()
}

func TestBody_thatBreaksCannotBeHadAgain(t *testing.T) {
	b, from := newBody(t, -1, 8)
	go func() { send(t, from, "abc"); _ = from.CloseWithError(errBroken) }()
	h := open(b)
	if got, err := io.ReadAll(h); string(got) != "abc" || !errors.Is(err, errBroken) {
		t.Errorf("%q %v", got, err)
	}
	if b.canResend() {
		t.Error("it can")
	}
	_ = h.Close()
	b.finish()
}

func TestBody_finishInterruptsAReadThatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, _ := newBody(t, -1, 8)
		first := open(b)
		var late sync.WaitGroup
		late.Go(func() {
			defer func() { _ = first.Close() }() // the test is over
			if _, err := first.Read(make([]byte, 1)); !errors.Is(err, errBroken) {
				t.Error(err)
			}
		})
		synctest.Wait()
		b.detachAttempt()
		second := open(b)
		late.Go(func() {
			defer func() { _ = second.Close() }() // the test is over
			if _, err := second.Read(make([]byte, 1)); !errors.Is(err, errAttemptOver) {
				t.Error(err)
			}
		})
		synctest.Wait()
		b.finish()
		late.Wait()
		b.finish() // no reader is left
	})
}

func TestBody_finishWaitsForThoseWhoRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, _ := newBody(t, -1, 8)
		h := open(b)
		done := false
		go func() { b.finish(); done = true }()
		synctest.Wait()
		if done {
			t.Error("it did not wait")
		}
		if _, err := h.Read(make([]byte, 1)); !errors.Is(err, errAttemptOver) {
			t.Error(err)
		}
		_ = h.Close()
		_ = h.Close() // a second Close has no effect
		synctest.Wait()
		if !done {
			t.Error("it waits on")
		}
	})
}

// Attempts may begin and fail at any time: each gets the body from its beginning.
func TestBody_isTheSameForEveryAttempt(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	for range 200 {
		text := strings.Repeat("0123456789", 1+random.IntN(20))
		b, from := newBody(t, -1, random.IntN(250))
		go func() {
			for rest := text; rest != ""; {
				n := min(1+len(rest)/3, len(rest))
				if _, err := io.WriteString(from, rest[:n]); err != nil {
					return // it was interrupted
				}
				rest = rest[n:]
			}
			_ = from.Close()
		}()
		var late sync.WaitGroup
		for range 3 {
			h, most := open(b), random.IntN(len(text)+20)
			half := make(chan struct{})
			late.Go(func() {
				reached := sync.OnceFunc(func() { close(half) })
				defer reached()
				defer func() { _ = h.Close() }() // the test is over
				var got bytes.Buffer
				for p := make([]byte, 7); got.Len() < most; {
					n, err := h.Read(p)
					if got.Write(p[:n]); err != nil {
						if err == io.EOF && got.Len() != len(text) {
							t.Errorf("it ended after %d of %d bytes", got.Len(), len(text))
						}
						break
					}
					if got.Len() > len(text)/2 {
						reached()
					}
				}
				if !strings.HasPrefix(text, got.String()) {
					t.Errorf("%q is no beginning of %q", got.String(), text)
				}
			})
			<-half
			if !b.detachAttempt() {
				break
			}
		}
		b.finish()
		b.r.Interrupt() // ends the writer
		late.Wait()
	}
}

// If the timeout fires just as the body is complete, the interruption comes late: by
// then the connection may read the next request, which must not be hit.
func TestBody_aLateEndDoesNotInterruptTheNextRequest(t *testing.T) {
	var ctx callctx.Context
	ctx.Begin(t.Context())
	begun, release, ended := make(chan struct{}), make(chan struct{}), make(chan struct{})
	before := callctx.Hook{Do: func() { close(begun); <-release }}
	interrupted := false
	body := readerFunc(func(p []byte) (int, error) {
		before.On(&ctx) // runs before the hook of the body
		go func() {
			defer close(ended)
			ctx.End(context.DeadlineExceeded)
		}()
		<-begun
		return len(p), nil
	})
	err := (&resendableBody{limit: &callLimit{}}).readSmallBody(&ctx, &http1.Request{Body: body, Length: 4, Interrupt: func() { interrupted = true }}, 10, false)
	close(release)
	<-ended
	if err != nil || interrupted {
		t.Errorf("err = %v, interrupted = %v", err, interrupted)
	}
}

type readerFunc func(p []byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }
