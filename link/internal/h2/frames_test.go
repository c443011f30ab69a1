package h2

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"

	"github.com/lsm/fiso/common/http1"
)

// UL13: the failure of a target whose first settings are not valid is reported at once.
func TestTransport_doesNotWaitWhereTheSettingsAreInvalid(t *testing.T) {
	for name, frame := range map[string]string{
		"a window above the largest":  "\x00\x00\x06\x04\x00\x00\x00\x00\x00" + "\x00\x04\x80\x00\x00\x00",
		"a frame below the smallest":  "\x00\x00\x06\x04\x00\x00\x00\x00\x00" + "\x00\x05\x00\x00\x00\x01",
		"a frame above the largest":   "\x00\x00\x06\x04\x00\x00\x00\x00\x00" + "\x00\x05\xff\xff\xff\xff",
		"a push that is neither":      "\x00\x00\x06\x04\x00\x00\x00\x00\x00" + "\x00\x02\x00\x00\x00\x02",
		"a length that is none":       "\x00\x00\x05\x04\x00\x00\x00\x00\x00" + "\x00\x04\x00\x00\x00",
		"on a stream":                 "\x00\x00\x00\x04\x00\x00\x00\x00\x01",
		"an acknowledgement":          "\x00\x00\x00\x04\x01\x00\x00\x00\x00",
		"a frame larger than allowed": "\xff\xff\xff\x04\x00\x00\x00\x00\x00",
	} {
		t.Run(name, func(t *testing.T) {
			addr := plainTarget(t, func(c net.Conn) {
				_, _ = io.WriteString(c, frame) // a failure shows in the transport
				_, _ = io.Copy(io.Discard, c)   // until the connection ends
			})
			began := time.Now()
			_, err := transport(t, TransportConfig{ConnectTimeout: time.Minute}).RoundTrip(t.Context(), addr, out("GET"), nil)
			if r, sent := reason(t, err); r != http1.ReasonConnect || sent {
				t.Error(err, sent)
			}
			if took := time.Since(began); took > patience {
				t.Error("it took", took)
			}
		})
	}
}

// UL13: an answer whose content-length does not match its body is not taken for
// complete, and does not affect those beside it.
func TestTransport_refusesLengthsThatAreFalse(t *testing.T) {
	split := func(p *peer, s uint32, end bool, fields ...string) { // uses every form that a frame allows
		block := p.block(fields...)
		_ = p.WriteHeaders(http2.HeadersFrameParam{StreamID: s, BlockFragment: block[:1], PadLength: 7, EndStream: end, Priority: http2.PriorityParam{Weight: 5}}) // a failure shows in the answer
		_ = p.WriteContinuation(s, false, nil)                                                                                                                     // likewise
		_ = p.WriteContinuation(s, true, block[1:])                                                                                                                // likewise
	}
	whole := func(p *peer, s uint32, end bool, fields ...string) { p.headers(s, end, fields...) }
	for name, test := range map[string]struct {
		method string
		head   func(p *peer, s uint32, end bool, fields ...string)
		fields []string
		body   string
		fine   bool
	}{
		"too long, and no body":         {"POST", whole, []string{"content-length", "5"}, "", false},
		"in pieces":                     {"POST", split, []string{"content-length", "5"}, "", false},
		"two that differ":               {"POST", whole, []string{"content-length", "2", "content-length", "3"}, "hi", false},
		"two that differ, in pieces":    {"POST", split, []string{"content-length", "3", "content-length", "2"}, "hi", false},
		"no number":                     {"POST", whole, []string{"content-length", "two"}, "hi", false},
		"a list":                        {"POST", whole, []string{"content-length", "2, 2"}, "hi", false},
		"negative":                      {"POST", whole, []string{"content-length", "-1"}, "hi", false},
		"beyond numbers":                {"POST", whole, []string{"content-length", "99999999999999999999"}, "hi", false},
		"empty":                         {"POST", whole, []string{"content-length", ""}, "hi", false},
		"right":                         {"POST", whole, []string{"content-length", "2"}, "hi", true},
		"right, in pieces":              {"POST", split, []string{"content-length", "2"}, "hi", true},
		"twice the same":                {"POST", whole, []string{"content-length", "2", "content-length", "2"}, "hi", true},
		"nothing, of nothing":           {"POST", whole, []string{"content-length", "0"}, "", true},
		"none":                          {"POST", whole, nil, "hi", true},
		"of HEAD":                       {"HEAD", whole, []string{"content-length", "5"}, "", true},
		"of HEAD, and two differ":       {"HEAD", whole, []string{"content-length", "5", "content-length", "6"}, "", false},
		"an answer that did not change": {"GET", whole, []string{":status", "304", "content-length", "5"}, "", true},
	} {
		t.Run(name, func(t *testing.T) {
			addr := target(t, func(p *peer) {
				for {
					h, s := p.awaitHead()
					if s == 0 {
						return
					}
					if h.PseudoValue("path") == "/beside" {
						p.headers(s, true, ":status", "200")
						continue
					}
					fields := test.fields
					if len(fields) == 0 || fields[0] != ":status" {
						fields = append([]string{":status", "200"}, fields...)
					}
					p.headers(s, false, ":status", "103", "content-length", "17", "content-length", "4") // has no effect
					test.head(p, s, test.body == "", fields...)
					if test.body != "" {
						_ = p.WriteData(s, false, []byte(test.body))                // a failure shows in the answer
						p.headers(s, true, "content-length", "x", "x-t", "trailer") // has no effect
					}
				}
			})
			tr := transport(t, TransportConfig{})
			for range 2 { // over one connection
				a, err := tr.RoundTrip(t.Context(), addr, out(test.method), nil)
				if !test.fine {
					if r, sent := reason(t, err); r != http1.ReasonGarbage || !sent || !strings.Contains(err.Error(), "content-length is not") {
						t.Error(err, sent)
					}
				} else if body, err := read(t, a, err); body != test.body || err != nil {
					t.Errorf("%q %v", body, err)
				}
				o := out("GET")
				o.Path = "/beside"
				a, err = tr.RoundTrip(t.Context(), addr, o, nil)
				if _, err := read(t, a, err); err != nil {
					t.Error("the call beside it:", err)
				}
			}
		})
	}
}

// UL13: after a field about as long as the limit of a head, which the library accepts, lengths were not checked for the
// rest of the connection.
func TestTransport_refusesFalseLengthsAfterALongField(t *testing.T) {
	const most = 1 << 10
	for name, test := range map[string]struct {
		length int
		taken  bool
		behind string // part of the block
	}{
		"in a head that the library takes":   {most + 200, true, ""},
		"that ends the connection":           {most + 600, false, ""},
		"in a head that ends its call alone": {most + 256, false, ""},
		"before one that cannot be decoded":  {most + 256, false, "\x00\x01b\x81\x00"}, // which the library does not decode
	} {
		t.Run(name, func(t *testing.T) {
			var calls atomic.Int32
			addr := target(t, func(p *peer) {
				for {
					_, s := p.awaitHead()
					if s == 0 {
						return
					}
					if calls.Add(1) == 1 {
						block := append(p.block(":status", "200", "x-long", strings.Repeat("a", test.length)), test.behind...)
						_ = p.WriteHeaders(http2.HeadersFrameParam{StreamID: s, BlockFragment: block, EndHeaders: true, EndStream: true}) // a failure shows in the answer
						continue
					}
					p.headers(s, true, ":status", "200", "content-length", "5")
				}
			})
			tr := transport(t, TransportConfig{MaxHead: most})
			a, err := tr.RoundTrip(t.Context(), addr, out("GET"), nil)
			if err == nil {
				_, err = read(t, a, err)
			}
			if (err == nil) != test.taken {
				t.Error("the first:", err)
			}
			_, err = tr.RoundTrip(t.Context(), addr, out("GET"), nil)
			if r, _ := reason(t, err); r != http1.ReasonGarbage || !strings.Contains(err.Error(), "content-length is not") {
				t.Error("the second:", err)
			}
		})
	}
}

// floods are endless frames that cost their sender little.
var floods = map[string]func(p *peer, s uint32) error{
	"empty continuations": func(p *peer, s uint32) error { return p.WriteContinuation(s, false, nil) },
	"pings":               func(p *peer, _ uint32) error { return p.WritePing(true, [8]byte{1}) },
	"settings":            func(p *peer, _ uint32) error { return p.WriteSettings() },
	"resets":              func(p *peer, s uint32) error { return p.WriteRSTStream(s+1000, http2.ErrCodeCancel) },
	"data of nothing":     func(p *peer, s uint32) error { return p.WriteData(s, false, nil) },
	"priorities":          func(p *peer, s uint32) error { return p.WritePriority(s, http2.PriorityParam{StreamDep: 0}) },
	"unknown frames":      func(p *peer, s uint32) error { return p.WriteRawFrame(0xee, 0, s, nil) },
}

// flood sends a flood until the connection ends.
func flood(t *testing.T, p *peer, s uint32, one func(p *peer, s uint32) error) {
	var out bytes.Buffer
	part := newPeer(t, p.Conn)
	part.Framer = http2.NewFramer(&out, nil)
	part.AllowIllegalWrites = true
	for range 1000 {
		_ = one(part, s) // a buffer never fails
	}
	for i := 0; ; i++ {
		if _, err := p.Conn.Write(out.Bytes()); err != nil {
			return
		}
		if i > 10_000 {
			t.Error("ten million frames were taken")
			return
		}
	}
}

// UL13: a target that floods fiso-link is cut off. The clock stands still while frames
// come: by a real one, a busy machine may send them slower than the rate of a flood.
func TestTransport_endsFloods(t *testing.T) {
	for name, one := range floods {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				near, far := pair(t)
				var serving sync.WaitGroup
				defer serving.Wait()
				serving.Go(func() {
					beTarget(t, far, func(p *peer) {
						_, s := p.awaitHead()
						var reading sync.WaitGroup
						defer reading.Wait()
						reading.Go(func() { _, _ = io.Copy(io.Discard, p.Conn) }) // until the connection ends
						if name == "empty continuations" {
							_ = p.WriteHeaders(http2.HeadersFrameParam{StreamID: s, BlockFragment: p.block(":status", "200")}) // a failure shows in what follows
						} else {
							p.headers(s, false, ":status", "200", "content-length", "5")
						}
						flood(t, p, s, one)
						_ = p.Close() // ends the reading
					})
				})
				tr := transport(t, TransportConfig{Dial: func(context.Context, string, string) (net.Conn, error) { return near, nil }})
				a, err := tr.RoundTrip(t.Context(), "x:1", out("GET"), nil)
				if err == nil {
					_, err = read(t, a, err)
				}
				if err == nil {
					t.Fatal("an answer that did not end ended well")
				}
				if r, sent := reason(t, err); r != http1.ReasonGarbage || !sent {
					t.Error(err, sent)
				}
			})
		})
	}
}

// UL13: an application that floods fiso-link is cut off, too.
func TestServer_endsFloods(t *testing.T) {
	for name, one := range floods {
		t.Run(name, func(t *testing.T) {
			if testing.Short() && name != "settings" && name != "empty continuations" {
				t.Skip("takes seconds: left out with -short, which check does not set")
			}
			synctest.Test(t, func(t *testing.T) {
				p := piped(t, &Server{Handler: handler(func(ctx context.Context, _ http1.ResponseWriter, _ *http1.Request) { <-ctx.Done() })})
				var reading sync.WaitGroup
				reading.Go(func() { _, _ = io.Copy(io.Discard, p.Conn) }) // until the connection ends
				if name == "empty continuations" {
					_ = p.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: p.block(get("/")...)}) // a failure shows in what follows
				} else {
					p.headers(1, false, get("/")...)
				}
				began := time.Now()
				flood(t, p, 1, one)
				if took := time.Since(began); took >= patience {
					t.Error("it was not cut off: its writes timed out")
				}
				_ = p.Close() // ends the reading
				reading.Wait()
			})
		})
	}
}

// UL13: a header block has ten seconds, even if other frames keep the connection alive.
func TestBounded_endsHeadsThatDoNotEnd(t *testing.T) {
	for name, test := range map[string]struct {
		begin func(p *peer)
		slow  []byte // sent after begin, one byte each second
	}{
		"a block without its end": {func(p *peer) {
			_ = p.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: p.block(":status", "200")})
		}, nil},
		"a frame that trickles":          {func(p *peer) { _, _ = p.Write([]byte("\x00\x01\x00\x01\x04\x00\x00\x00\x01")) }, bytes.Repeat([]byte{1}, 256)},
		"a frame whose bytes never come": {func(p *peer) { _, _ = p.Write([]byte("\x00\x01\x00\x01\x04\x00\x00\x00\x01")) }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				near, far := pair(t)
				b := newGuardedConn(near, 0)
				p := newPeer(t, far)
				_ = far.SetDeadline(time.Now().Add(time.Hour)) // a failure shows in what follows
				var writing sync.WaitGroup
				writing.Go(func() {
					_ = p.WriteSettings() // a failure shows in the reader
					test.begin(p)
					for _, c := range test.slow {
						time.Sleep(time.Second)
						if _, err := far.Write([]byte{c}); err != nil {
							return
						}
					}
				})
				began := time.Now()
				_, err := io.Copy(io.Discard, b)
				if took := time.Since(began); !errors.Is(err, errSlowHead) || took < headTimeout || took > headTimeout+2*time.Second {
					t.Error(err, took)
				}
				if _, again := b.Read(make([]byte, 1)); !errors.Is(again, errSlowHead) {
					t.Error("the error does not stick:", again)
				}
				_ = near.Close() // ends the writer
				writing.Wait()
			})
		})
	}
}

// A connection may pause between heads for any time.
func TestBounded_leavesConnectionsThatRestAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := pair(t)
		b := newGuardedConn(near, 0)
		p := newPeer(t, far)
		_ = far.SetDeadline(time.Now().Add(time.Hour)) // a failure shows in what follows
		go func() {
			for s := uint32(1); s < 9; s += 2 {
				block := p.block(":status", "200")
				_ = p.WriteHeaders(http2.HeadersFrameParam{StreamID: s, BlockFragment: block[:1]}) // the reader counts
				time.Sleep(headTimeout / 2)
				_ = p.WriteContinuation(s, true, block[1:]) // likewise
				time.Sleep(2 * headTimeout)
				_ = p.WriteData(s, true, []byte("hello")) // likewise
			}
			_ = far.Close() // the end
		}()
		if n, err := io.Copy(io.Discard, b); err != nil || n != 4*(3*frameHeader+int64(len(p.block(":status", "200")))+5) {
			t.Error(n, err)
		}
	})
}

// In whatever pieces the bytes come, they are complete and mean the same.
func FuzzBounded_meansTheSameInAnyPieces(f *testing.F) {
	var buf bytes.Buffer
	fr := http2.NewFramer(&buf, nil)
	_ = fr.WriteSettings()                                                                                                                                 // a buffer never fails
	_ = fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: []byte("\x88\x0f\x0d\x015"), PadLength: 3, EndStream: true, EndHeaders: true}) // likewise: 200, and content-length: 5
	_ = fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 3, BlockFragment: []byte("\x88"), Priority: http2.PriorityParam{Weight: 1}})                     // likewise
	_ = fr.WriteContinuation(3, true, []byte("\x0f\x0d\x01x"))                                                                                             // likewise
	f.Add(buf.Bytes(), 1)
	f.Add(buf.Bytes(), 10)
	f.Add(bytes.Repeat([]byte("\x00\x00\x00\x09\x00\x00\x00\x00\x01"), maxContinuations+1), 7)
	f.Fuzz(func(t *testing.T, data []byte, size int) {
		seen := func(size int) string {
			b := newGuardedConn(&pieces{b: bytes.NewReader(data), size: size}, 0)
			b.heads = newResponseHeadChecker(1 << 10)
			got, err := io.ReadAll(b)
			if err == nil && !bytes.Equal(got, data) {
				t.Error("bytes were lost")
			}
			return fmt.Sprint(err, b.heads.lengths)
		}
		if in, whole := seen(max(size, 1)), seen(len(data)+1); in != whole {
			t.Errorf("in pieces %s, whole %s", in, whole)
		}
	})
}

// UL35: after a thousand false heads of streams that nobody queried, the heads of a
// connection were no longer checked.
func TestHeads_forgetWhatNobodyAskedForAndNotWhatComes(t *testing.T) {
	h := newResponseHeadChecker(1 << 10)
	last := uint32(2*maxBadHeads + 1)
	for stream := uint32(1); stream <= last; stream += 2 {
		h.status, h.bad = "200", true
		h.done(stream)
	}
	if n := len(h.lengths); n != maxBadHeads {
		t.Errorf("%d are kept", n)
	}
	if first, latest := h.faultOf(1), h.faultOf(last); first != lengthFine || latest != lengthFalse {
		t.Errorf("of the first %d, of the last %d", first, latest)
	}
}
