package http1

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
)

// UL9: chunk extensions, padded sizes, empty lines before a request, raw UTF-8 in a
// query and digests in a trailer were refused or dropped.
func TestServer_readsBodies(t *testing.T) {
	addr := serve(t, &Server{Handler: echo})
	const chunked = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
	for _, row := range []struct {
		name, raw, want string
	}{
		{"a length", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello", "POST / hello"},
		{"a length with zeros before it", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0005\r\n\r\nhello", "POST / hello"},
		{"no length", "POST / HTTP/1.1\r\nHost: a\r\n\r\n", "POST / "},
		{"a GET with a body", "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi", "GET / hi"},
		{"chunks", chunked + "5\r\nhello\r\n0a\r\n0123456789\r\n0\r\n\r\n", "POST / hello0123456789"},
		{"chunks in capitals", strings.ToUpper(chunked) + "A\r\n0123456789\r\n0\r\n\r\n", "POST / 0123456789"},
		// RFC 9112, section 7.1.1: unknown extensions are ignored.
		{"extensions", chunked + "5;x\r\nhello\r\n1 ; a=b;c = \"d;\\\"\té\" ;e\r\n!\r\n0;last\r\n\r\n", "POST / hello!"},
		{"zeros before a size", chunked + "00000000000000000005\r\nhello\r\n0000\r\n\r\n", "POST / hello"},
		// RFC 9112, section 2.2: empty lines before the first one are ignored.
		{"an empty line before the request", "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "GET / "},
		{"an empty line after the body", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello\r\n", "POST / hello"},
		{"four empty lines", "\r\n\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "GET / "},
		{"a query beyond ASCII", "GET /?q=äß\xff HTTP/1.1\r\nHost: a\r\n\r\n", "GET /?q=äß\xff "},
		// RFC 9530: digests come in trailers.
		{"a digest in the trailer", chunked + "1\r\na\r\n0\r\nContent-Digest: sha-256=:eA==:\r\nRepr-Digest: b\r\n\r\n", "POST / a Content-Digest=sha-256=:eA==: Repr-Digest=b"},
		{"no chunk", chunked + "0\r\n\r\n", "POST / "},
		{"a trailer", chunked + "1\r\na\r\n0\r\nX-Sum: 1\r\nX-More:  2 \r\n\r\n", "POST / a X-Sum=1 X-More=2"},
		{"a trailer that poses as a header", chunked + "0\r\nAuthorization: x\r\nX-A: 1\r\nCookie: a\r\nContent-Type: b\r\nIf-Match: c\r\nX-Forwarded-For: d\r\nConnection: X-B\r\nX-B: 2\r\nTE: x\r\n\r\n", "POST /  X-A=1"},
	} {
		t.Run(row.name, func(t *testing.T) {
			a := dial(t, addr)
			for range 2 { // the connection stays usable
				a.say(row.raw)
				if res := a.expect(200, row.want); res.Close {
					t.Error("the connection ends")
				}
			}
		})
	}
}

// UL9: an empty line before a request is ignored, even if its two bytes come apart.
func TestServer_ignoresAnEmptyLineInTwoPieces(t *testing.T) {
	c, _ := pipe(t, &Server{Handler: echo})
	a := newApp(t, c)
	for range 2 { // before the first request, and between two
		a.say("\r\n\r")
		a.say("\nGET / HTTP/1.1\r\nHost: a\r\n\r\n")
		if res := a.expect(200, "GET / "); res.Close {
			t.Error("the connection ends")
		}
	}
}

func TestServer_failsBodiesThatBreakTheRules(t *testing.T) {
	addr := serve(t, &Server{Handler: echo})
	const chunked = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
	long := strings.Repeat("X: a\r\n", maxTrailer)
	for _, row := range []struct {
		name, raw string
		err       error
	}{
		{"truncated by length", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhel", io.ErrUnexpectedEOF},
		{"truncated in a chunk", chunked + "5\r\nhel", io.ErrUnexpectedEOF},
		{"truncated after a chunk", chunked + "3\r\nhel", io.ErrUnexpectedEOF},
		{"truncated before the last chunk", chunked + "3\r\nhel\r\n", io.ErrUnexpectedEOF},
		{"truncated in the trailer", chunked + "0\r\nA: b\r\n", io.ErrUnexpectedEOF},
		{"an extension without a name", chunked + "5;=y\r\nhello\r\n0\r\n\r\n", errChunk},
		{"an extension without a value", chunked + "5;x=\r\nhello\r\n0\r\n\r\n", errChunk},
		{"an extension without its quote", chunked + "5;x=\"y\r\nhello\r\n0\r\n\r\n", errChunk},
		{"a quote that a backslash hides", chunked + "5;x=\"y\\\"\r\nhello\r\n0\r\n\r\n", errChunk},
		{"a backslash at the end of a line", chunked + "5;x=\"y\\\r\nhello\r\n0\r\n\r\n", errChunk},
		{"something behind the quote", chunked + "5;x=\"y\"z\r\nhello\r\n0\r\n\r\n", errChunk},
		{"no semicolon before an extension", chunked + "5 x\r\nhello\r\n0\r\n\r\n", errChunk},
		{"a bare carriage return in an extension", chunked + "5;x=\"\ry\"\r\nhello\r\n0\r\n\r\n", errChunk},
		{"a bare line feed in an extension", chunked + "5;x=\"\ny\"\r\nhello\r\n0\r\n\r\n", errBare},
		{"a bare line feed after an extension", chunked + "5;x\nhello\r\n0\r\n\r\n", errBare},
		{"an extension that is too long", chunked + "5;" + strings.Repeat("x", maxChunkLine) + "\r\nhello\r\n0\r\n\r\n", errChunk},
		{"too many zeros before the size", chunked + strings.Repeat("0", maxChunkDigits) + "5\r\nhello\r\n0\r\n\r\n", errChunk},
		{"space before the size", chunked + " 5\r\nhello\r\n0\r\n\r\n", errChunk},
		{"space after the size", chunked + "5 \r\nhello\r\n0\r\n\r\n", errChunk},
		{"a size with plus", chunked + "+5\r\nhello\r\n0\r\n\r\n", errChunk},
		{"a size with 0x", chunked + "0x5\r\nhello\r\n0\r\n\r\n", errChunk},
		{"no size", chunked + "\r\nhello\r\n0\r\n\r\n", errChunk},
		{"a size that overflows", chunked + "10000000000000005\r\nhello\r\n0\r\n\r\n", errChunk},
		{"a size without an end", chunked + strings.Repeat("0", 2*maxChunkLine), errChunk},
		{"a bare line feed after the size", chunked + "5\nhello\r\n0\r\n\r\n", errBare},
		{"a bare line feed alone", chunked + "\n", errBare},
		{"a bare line feed after the data", chunked + "5\r\nhello\n0\r\n\r\n", errBare},
		{"a chunk longer than its size", chunked + "4\r\nhello\r\n0\r\n\r\n", errChunk},
		{"framing in the trailer", chunked + "0\r\nContent-Length: 5\r\n\r\n", errChunk},
		{"chunks in the trailer", chunked + "0\r\nTransfer-Encoding: chunked\r\n\r\n", errChunk},
		{"a host in the trailer", chunked + "0\r\nHost: b\r\n\r\n", errChunk},
		{"a bad name in the trailer", chunked + "0\r\nA : b\r\n\r\n", errName},
		{"a folded trailer", chunked + "0\r\nA: b\r\n c\r\n\r\n", errFold},
		{"a trailer that is too large", chunked + "0\r\n" + long[:maxTrailer+600] + "\r\n", errHeadTooLarge},
		{"one field of a trailer that is too large", chunked + "0\r\nA: " + strings.Repeat("a", 2*maxTrailer) + "\r\n\r\n", errChunk},
		{"too many fields in the trailer", chunked + "0\r\n" + strings.Repeat("a:\r\n", maxFields+1) + "\r\n", errFields},
	} {
		t.Run(row.name, func(t *testing.T) {
			a := dial(t, addr)
			a.say(row.raw)
			_ = a.Conn.(interface{ CloseWrite() error }).CloseWrite()
			_, body, err := a.answer("POST")
			if err != nil || !strings.HasSuffix(body, " failed: "+row.err.Error()) {
				t.Errorf("answered %q (%v), want %q", body, err, row.err)
			}
			a.over()
		})
	}
}

func TestServer_answersPipelinedRequestsInOrder(t *testing.T) {
	addr := serve(t, &Server{Handler: echo})
	a := dial(t, addr)
	a.say("GET /1 HTTP/1.1\r\nHost: a\r\n\r\nPOST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi" +
		"POST /3 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\nGET /4 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\nGET /5 HTTP/1.1\r\nHost: a\r\n\r\n")
	for _, want := range []string{"GET /1 ", "POST /2 hi", "POST /3 a", "GET /4 "} {
		a.expect(200, want)
	}
	a.over()
}

func TestServer_keepsOrEndsTheConnection(t *testing.T) {
	addr := serve(t, &Server{Handler: echo})
	for _, row := range []struct {
		name, head string
		keeps      bool
		says       string // Connection of the answer
	}{
		{"HTTP/1.1", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", true, ""},
		{"HTTP/1.1, close", "GET / HTTP/1.1\r\nHost: a\r\nConnection: x, Close\r\n\r\n", false, "close"},
		{"HTTP/1.0", "GET / HTTP/1.0\r\nHost: a\r\n\r\n", false, "close"},
		{"HTTP/1.0, keep-alive", "GET / HTTP/1.0\r\nHost: a\r\nConnection: Keep-Alive\r\n\r\n", true, "keep-alive"},
		{"HTTP/1.0, both", "GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive, close\r\n\r\n", false, "close"},
	} {
		t.Run(row.name, func(t *testing.T) {
			a := dial(t, addr)
			a.say(row.head)
			res := a.expect(200, "GET / ")
			if got := res.Header.Get("Connection"); got != row.says && !(row.says == "close" && res.Close) {
				t.Errorf("Connection: %q, want %q", got, row.says)
			}
			if row.keeps {
				a.say(row.head)
				a.expect(200, "GET / ")
				return
			}
			a.over()
		})
	}
}

// UL9: an answer that came instead of 100 (Continue) says that the connection ends (RFC
// 9110, section 10.1.1).
func TestServer_sends100OnlyWhenTheBodyIsRead(t *testing.T) {
	const head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-Continue\r\n\r\n"
	t.Run("read", func(t *testing.T) {
		a := dial(t, serve(t, &Server{Handler: echo}))
		for range 2 {
			a.say(head)
			if got := a.line() + a.line(); got != "HTTP/1.1 100 Continue\r\n\r\n" {
				t.Fatalf("got %q", got)
			}
			a.say("hello")
			a.expect(200, "POST / hello")
		}
	})
	t.Run("not read", func(t *testing.T) {
		a := dial(t, serve(t, &Server{Handler: handlerFunc(func(_ context.Context, w ResponseWriter, _ *Request) { _ = reply(w, 413, "no") })}))
		a.say(head)
		if res := a.expect(413, "no"); !res.Close {
			t.Error("nobody says that the connection ends")
		}
		// The body may come or not, so the start of the next request is unknown.
		_, _ = io.WriteString(a.Conn, "helloGET / HTTP/1.1\r\nHost: a\r\n\r\n")
		a.over()
	})
	t.Run("HTTP/1.0 knows none", func(t *testing.T) {
		a := dial(t, serve(t, &Server{Handler: echo}))
		a.say(strings.Replace(head, "1.1", "1.0", 1) + "hello")
		a.expect(200, "POST / hello")
	})
	t.Run("answered before it is read", func(t *testing.T) {
		a := dial(t, serve(t, &Server{Handler: handlerFunc(func(_ context.Context, w ResponseWriter, r *Request) {
			_ = reply(w, 401, "who?")
			if b, err := io.ReadAll(r.Body); err == nil && string(b) != "hello" {
				t.Errorf("read %q", b)
			}
		})}))
		a.say(head)
		if res := a.expect(401, "who?"); !res.Close {
			t.Error("nobody says that the connection ends")
		}
		a.say("hello")
		a.over()
	})
	t.Run("the application is gone", func(t *testing.T) {
		failed := make(chan error, 1)
		a := dial(t, serve(t, &Server{Handler: handlerFunc(func(_ context.Context, _ ResponseWriter, r *Request) {
			_, err := io.ReadAll(r.Body)
			failed <- err
		})}))
		a.say(head)
		a.line()
		_ = a.Close()
		if err := <-failed; err == nil {
			t.Error("the body came")
		}
	})
}

// UL12: an answer is not lost, however much of the body is unread.
func TestServer_readsAheadWhatWasNotWanted_upToABound(t *testing.T) {
	addr := serve(t, &Server{Handler: handlerFunc(func(_ context.Context, w ResponseWriter, _ *Request) { _ = reply(w, 413, "no") })})
	t.Run("little", func(t *testing.T) {
		a := dial(t, addr)
		a.say("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n" + strings.Repeat("x", 100000))
		a.expect(413, "no")
		a.say("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		a.expect(413, "no")
	})
	t.Run("much", func(t *testing.T) {
		a := dial(t, addr)
		a.say("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10000000\r\n\r\n" + strings.Repeat("x", 400_000))
		a.expect(413, "no") // a reset would have destroyed it
		a.over()
	})
	t.Run("all of much", func(t *testing.T) {
		a := dial(t, addr)
		a.say("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10000000\r\n\r\n" + strings.Repeat("x", 10_000_000))
		a.expect(413, "no")
		a.over()
	})
	t.Run("what breaks the rules", func(t *testing.T) {
		a := dial(t, addr)
		a.say("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n;\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n")
		a.expect(413, "no")
		a.over()
	})
}

func TestServer_interruptEndsTheReadingOfABody(t *testing.T) {
	reading := make(chan error, 1)
	addr := serve(t, &Server{Handler: handlerFunc(func(_ context.Context, w ResponseWriter, r *Request) {
		if r.Method == "GET" {
			r.Interrupt() // has no effect after the whole request was read
			_ = reply(w, 200, "fine")
			return
		}
		b := make([]byte, 5)
		if _, err := io.ReadFull(r.Body, b); err != nil {
			t.Error(err)
		}
		go func() {
			_, err := r.Body.Read(b)
			reading <- err
		}()
		_ = reply(w, 200, "enough")
		r.Interrupt()
		if err := <-reading; err == nil {
			t.Error("the read goes on")
		}
		if _, err := r.Body.Read(b); err == nil {
			t.Error("another read goes on")
		}
	})})
	a := dial(t, addr)
	a.say("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	a.expect(200, "fine")
	a.say("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhello")
	a.expect(200, "enough")
	a.over()
}

func TestServer_interruptAlsoEndsReadsOfWhatHasCome(t *testing.T) {
	addr := serve(t, &Server{Handler: handlerFunc(func(_ context.Context, w ResponseWriter, r *Request) {
		b := make([]byte, 2)
		_, _ = r.Body.Read(b)
		r.Interrupt()
		if _, err := r.Body.Read(b); !errors.Is(err, errCut) {
			t.Errorf("read on: %v", err)
		}
		_ = reply(w, 200, "enough")
	})})
	a := dial(t, addr)
	a.say("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n0123456789")
	a.expect(200, "enough")
	a.over()
}

func TestServer_interruptInTheMiddleOfTheLastReadChangesNothing(t *testing.T) {
	addr := serve(t, &Server{Handler: handlerFunc(func(ctx context.Context, w ResponseWriter, r *Request) {
		echo(ctx, w, r)
		w.(*writer).c.interrupted.Store(true) // as if the read had won the race
	})})
	a := dial(t, addr)
	for range 2 {
		a.say("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello")
		a.expect(200, "POST / hello")
	}
}

// A body behind the answer to a HEAD would be read as the next answer.
func TestServer_refusesAHeadRequestWithoutABody(t *testing.T) {
	addr := serve(t, &Server{Handler: echo})
	a := dial(t, addr)
	a.say("HEAD / HTTP/1.1\r\nHost: a\r\nExpect: miracles\r\n\r\n")
	text, err := io.ReadAll(a.in)
	if err != nil || !strings.HasPrefix(string(text), "HTTP/1.1 417 ") || !strings.HasSuffix(string(text), "\r\n\r\n") {
		t.Errorf("got %q, %v", text, err)
	}
}

func TestServer_frames(t *testing.T) {
	// status, method and length decide what frames an answer (RFC 9112, section 6.3).
	for _, row := range []struct {
		name, method, version string
		status                int
		length                int64
		body                  string
		want                  string // head without its first line, and body, as they come
		closes                bool
	}{
		{"a length", "GET", "1.1", 200, 2, "hi", "Content-Length: 2\r\n\r\nhi", false},
		{"a stream", "GET", "1.1", 200, -1, "hi", "Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", false},
		{"a stream, HTTP/1.0", "GET", "1.0", 200, -1, "hi", "Connection: close\r\n\r\nhi", true},
		{"HEAD with a length", "HEAD", "1.1", 200, 2, "hi", "Content-Length: 2\r\n\r\n", false},
		{"HEAD of a stream", "HEAD", "1.1", 200, -1, "hi", "\r\n", false},
		{"204", "DELETE", "1.1", 204, 0, "", "\r\n", false},
		{"204 with a body that nobody may send", "DELETE", "1.1", 204, -1, "hi", "\r\n", false},
		{"304 with the length it would have", "GET", "1.1", 304, 7, "", "Content-Length: 7\r\n\r\n", false},
		{"an empty body", "GET", "1.1", 200, 0, "", "Content-Length: 0\r\n\r\n", false},
	} {
		t.Run(row.name, func(t *testing.T) {
			addr := serve(t, &Server{Handler: handlerFunc(func(_ context.Context, w ResponseWriter, _ *Request) {
				if w.Begun() {
					t.Error("it has begun before it does")
				}
				_ = w.Head(row.status, nil, row.length)
				if !w.Begun() || w.Head(200, nil, 0) == nil || w.Inform(103, nil) != nil {
					t.Error("there can be two answers")
				}
				if _, err := w.Upgrade(nil); err == nil {
					t.Error("an answer became a tunnel")
				}
				_, _ = w.Write(nil)
				_, _ = w.Write([]byte(row.body))
				_ = w.Flush()
				if err := w.End(nil); err != nil {
					t.Error(err)
				}
			})})
			a := dial(t, addr)
			a.say(row.method + " / HTTP/" + row.version + "\r\nHost: a\r\nConnection: close\r\n\r\n")
			first := a.line()
			if want := "HTTP/1.1 "; !strings.HasPrefix(first, want) || !strings.HasSuffix(first, http.StatusText(row.status)+"\r\n") {
				t.Errorf("it begins with %q", first)
			}
			rest, _ := io.ReadAll(a.in)
			got := strings.Replace(string(rest), "Connection: close\r\n", "", 1)
			if want := strings.Replace(row.want, "Connection: close\r\n", "", 1); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

func TestServer_cutsOffAnswersThatAreNotWhole(t *testing.T) {
	for _, row := range []struct {
		name, version string
		handle        func(w ResponseWriter) error
	}{
		{"shorter than announced", "1.1", func(w ResponseWriter) error {
			_ = w.Head(200, nil, 5)
			_, _ = io.WriteString(w, "hel")
			_ = w.Flush()
			return w.End(nil)
		}},
		{"longer than announced", "1.1", func(w ResponseWriter) error {
			_ = w.Head(200, nil, 5)
			_ = w.Flush()
			_, _ = io.WriteString(w, "hello")
			_, err := io.WriteString(w, "hello")
			if w.End(nil) == nil || w.Flush() == nil {
				return nil
			}
			return err
		}},
		{"a stream without an end", "1.1", func(w ResponseWriter) error {
			_ = w.Head(200, nil, -1)
			_, _ = io.WriteString(w, "hel")
			_ = w.Flush()
			return io.EOF
		}},
		{"a stream without an end, HTTP/1.0", "1.0", func(w ResponseWriter) error {
			_ = w.Head(200, nil, -1)
			_, _ = io.WriteString(w, "hel")
			_ = w.Flush()
			return io.EOF
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			addr := serve(t, &Server{Handler: handlerFunc(func(_ context.Context, w ResponseWriter, _ *Request) {
				if row.handle(w) == nil {
					t.Error("nothing is wrong, it says")
				}
			})})
			a := dial(t, addr)
			a.say("GET / HTTP/" + row.version + "\r\nHost: a\r\n\r\n")
			b, err := io.ReadAll(a.in)
			if err == nil { // without a reset, the end must be inside the body
				res, body, rerr := (&app{t: t, in: newReader(string(b))}).answer("GET")
				if rerr == nil {
					t.Errorf("it looks whole: %d %q", res.StatusCode, body)
				}
			}
		})
	}
	t.Run("no answer at all", func(t *testing.T) {
		ended := make(chan error, 1)
		a := dial(t, serve(t, &Server{Handler: handlerFunc(func(_ context.Context, w ResponseWriter, _ *Request) { ended <- w.End(nil) })}))
		a.say("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		a.over()
		if <-ended == nil {
			t.Error("there was an answer to end")
		}
	})
}

func TestServer_sendsInterimAnswersButNotToHTTP10(t *testing.T) {
	addr := serve(t, &Server{Handler: handlerFunc(func(_ context.Context, w ResponseWriter, _ *Request) {
		_ = w.Inform(103, Header{{Name: "Link", Value: "</a>"}})
		_ = reply(w, 200, "done")
	})})
	a := dial(t, addr)
	a.say("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	if got := a.line() + a.line() + a.line(); got != "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" {
		t.Errorf("got %q", got)
	}
	a.expect(200, "done")
	a.say("GET / HTTP/1.0\r\nHost: a\r\n\r\n")
	a.expect(200, "done")
}

func TestServer_writesLargeBodiesWhole(t *testing.T) {
	part := strings.Repeat("0123456789", 1000)
	for _, length := range []int64{-1, 100_000} {
		addr := serve(t, &Server{Handler: handlerFunc(func(_ context.Context, w ResponseWriter, _ *Request) {
			_ = w.Head(200, nil, length)
			for range 10 {
				if length > 0 {
					_ = w.Flush()
				}
				_, _ = io.WriteString(w, part)
			}
			_ = w.End(Header{{Name: "X-A", Value: "b"}})
		})})
		a := dial(t, addr)
		for range 2 {
			a.say("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
			res, body, err := a.answer("GET")
			if err != nil || body != strings.Repeat(part, 10) || (res.Trailer.Get("X-A") == "b") != (length < 0) {
				t.Errorf("length %d: got %d bytes, %v, %v", length, len(body), res.Trailer, err)
			}
		}
	}
}

// 100 (Continue) must not get into an answer that begins while another goroutine reads
// the body of the request. The race detector checks it, too.
func TestServer_anEarlyAnswerAnd100DoNotMix(t *testing.T) {
	addr := serve(t, &Server{Handler: handlerFunc(func(_ context.Context, w ResponseWriter, r *Request) {
		done := make(chan struct{})
		go func() {
			defer close(done)
			_, _ = io.ReadAll(r.Body)
		}()
		_ = w.Inform(103, nil)
		_ = reply(w, 200, "early")
		r.Interrupt()
		<-done
	})})
	for range 50 {
		a := dial(t, addr)
		a.say("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
		b, _ := io.ReadAll(a.in)
		ends := "Connection: close\r\n"
		text, asked := string(b), "HTTP/1.1 100 Continue\r\n\r\n"
		if strings.Contains(text, asked) {
			text, ends = strings.Replace(text, asked, "", 1), ""
		}
		if text != "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n"+ends+"\r\nearly" {
			t.Fatalf("got %q", b)
		}
		_ = a.Close()
	}
}

func TestServer_failsWritesToAnApplicationThatLeft(t *testing.T) {
	failed := make(chan error, 1)
	var n atomic.Int64
	addr := serve(t, &Server{Handler: handlerFunc(func(_ context.Context, w ResponseWriter, _ *Request) {
		_ = w.Head(200, nil, -1)
		for {
			if _, err := io.WriteString(w, strings.Repeat("x", 10_000)); err != nil {
				_, again := w.Write([]byte("x"))
				failed <- errors.Join(err, again)
				return
			}
			n.Add(1)
		}
	})})
	a := dial(t, addr)
	a.say("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	a.line()
	_ = a.Close()
	if err := <-failed; err == nil {
		t.Error("no error")
	}
}

// Under TLS, close_notify would say that a body without a length is complete.
func TestServer_underTLSAnIncompleteAnswerDoesNotEndWell(t *testing.T) {
	pair := httptest.NewUnstartedServer(nil)
	pair.StartTLS() // has a certificate
	cfg := pair.TLS.Clone()
	pair.Close()
	cfg.NextProtos = nil
	s := &Server{Handler: handlerFunc(func(_ context.Context, w ResponseWriter, _ *Request) {
		_ = w.Head(200, nil, -1)
		_, _ = io.WriteString(w, "half")
	})}
	addr := listen(t, func(c net.Conn) { s.ServeConn(context.Background(), tls.Server(c, cfg)) }, func() {})
	c, err := tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // G402: a test
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	_, _ = io.WriteString(c, "GET / HTTP/1.0\r\nHost: a\r\n\r\n")
	if text, err := io.ReadAll(c); err == nil {
		t.Errorf("%q ended well", text)
	}
}
