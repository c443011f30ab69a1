package server

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// framed is a target that completes the handshake and then handles each stream with
// treat.
func framed(t *testing.T, settings string, treat func(f *http2.Framer, stream uint32)) string {
	t.Helper()
	r := newRaw(t, func(p *peer) {
		if _, err := io.ReadFull(p.in, make([]byte, len(http2.ClientPreface))); err != nil {
			return
		}
		f := http2.NewFramer(p, p.in)
		f.AllowIllegalWrites = true
		if _, err := io.WriteString(p, settings); err != nil {
			return
		}
		for {
			frame, err := f.ReadFrame()
			if err != nil && !errors.As(err, new(http2.StreamError)) {
				return
			}
			if h, ok := frame.(*http2.HeadersFrame); ok {
				treat(f, h.StreamID)
			}
		}
	})
	return r.address
}

const plainSettings = "\x00\x00\x00\x04\x00\x00\x00\x00\x00"

func block(fields ...string) []byte {
	var b bytes.Buffer
	e := hpack.NewEncoder(&b)
	for i := 0; i+1 < len(fields); i += 2 {
		_ = e.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]}) // to a buffer
	}
	return b.Bytes()
}

// UL13: whatever an HTTP/2 target sends, its calls end in time with 502 or 504, the
// circuit counts them, their permits are returned, and the server stops.
func TestHTTP2_aHostileTargetHoldsNobodyUp(t *testing.T) {
	for name, test := range map[string]struct {
		settings string
		treat    func(f *http2.Framer, s uint32)
		code     string
	}{
		"a window that overflows": {plainSettings, func(f *http2.Framer, s uint32) {
			_ = f.WriteWindowUpdate(s, 1<<31-1) // the call sees it
			_ = f.WriteWindowUpdate(s, 1<<31-1) // the same
		}, "UPSTREAM_GARBAGE"},
		"settings that are none": {"\x00\x00\x06\x04\x00\x00\x00\x00\x00\x00\x04\x80\x00\x00\x00", func(*http2.Framer, uint32) {}, "CONNECT_FAILED"},
		"a false length": {plainSettings, func(f *http2.Framer, s uint32) {
			_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: s, BlockFragment: block(":status", "200", "content-length", "5"), EndHeaders: true, EndStream: true}) // the same
		}, "UPSTREAM_GARBAGE"},
		"two lengths": {plainSettings, func(f *http2.Framer, s uint32) {
			_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: s, BlockFragment: block(":status", "200", "content-length", "5", "content-length", "6"), EndHeaders: true, EndStream: true}) // the same
		}, "UPSTREAM_GARBAGE"},
		"empty continuations": {plainSettings, func(f *http2.Framer, s uint32) {
			err := f.WriteHeaders(http2.HeadersFrameParam{StreamID: s, BlockFragment: block(":status", "200")})
			for range 10_000 {
				if err == nil {
					err = f.WriteContinuation(s, false, nil)
				}
			}
		}, "UPSTREAM_GARBAGE"},
		"nothing": {plainSettings, func(*http2.Framer, uint32) {}, "UPSTREAM_TIMEOUT"},
	} {
		t.Run(name, func(t *testing.T) {
			l := start(t, fmt.Sprintf("targets:\n  - {name: h, protocol: h2c, host: crm.example, endpoints: ['%s'], timeout: 2s, retry: {maxAttempts: 1}, circuitBreaker: {failureThreshold: 5}}\n", framed(t, test.settings, test.treat)))
			var all sync.WaitGroup
			for range 5 {
				all.Go(func() {
					began := time.Now()
					r, err := http.Post("http://"+l.calls+"/link/h/a", "text/plain", strings.NewReader("x")) //nolint:forbidigo // a test on loopback, bounded by its own end
					if err != nil {
						t.Error(err)
						return
					}
					body, err := io.ReadAll(r.Body)
					_ = r.Body.Close() // it was read
					if r.Header.Get("fiso-error") != test.code || err != nil || time.Since(began) > 10*time.Second {
						t.Error(r.StatusCode, string(body), err, time.Since(began))
					}
				})
			}
			all.Wait()
			l.shows(`fiso_link_circuit_state{target="h"} 2`)
			stopped := make(chan error, 1)
			go func() { stopped <- l.stop() }()
			select {
			case err := <-stopped:
				if err != nil {
					t.Error(err)
				}
			case <-time.After(20 * time.Second):
				t.Fatal("the server does not stop")
			}
		})
	}
}
