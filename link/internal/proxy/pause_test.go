package proxy

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lsm/fiso/common/http1"

	"github.com/lsm/fiso/link/internal/target"
)

// UL3: an application that paused for 22 s in the middle of an answer was cut off
// by a limit of the listener. Only timeout and timeouts.idle cut.
func TestStream_aConsumerThatPausesIsCutByItsCallAlone(t *testing.T) {
	body := strings.Repeat("0123456789abcdef", 16<<10) // 256 KiB; a pipe buffers nothing
	for _, row := range []struct {
		name, settings, kind string
		pause, cut           time.Duration // cut 0: never
	}{
		{"a download, 22 s", "timeout: 10m", "text/plain", 22 * time.Second, 0},
		{"a download, 40 s", "timeout: 10m", "text/plain", 40 * time.Second, 0},
		{"a download that its timeout ends", "timeout: 1s", "text/plain", 40 * time.Second, time.Second},
		{"events, 22 s", "timeout: 1s", "text/event-stream", 22 * time.Second, 0},
		{"events, as long as they may rest", "timeout: 1s", "text/event-stream", 5*time.Minute - time.Second, 0},
		{"events that idle ends", "timeouts: {idle: 30s}", "text/event-stream", 40 * time.Second, 30 * time.Second},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				to := newTargetOf(t, row.settings, target.Parts{Transport: trip(func(context.Context, string, *http1.Outgoing, func(int, http1.Header)) (*http1.Answer, error) {
					a := answer(200, body, "Content-Type", row.kind)
					a.Length = -1
					return a, nil
				})})
				var record CallRecord
				began, over := time.Now(), make(chan time.Duration, 1)
				app, served := net.Pipe()
				s := &http1.Server{Handler: &Proxy{Target: only(to), Observe: func(r CallRecord) { record = r }}}
				go func() {
					s.ServeConn(context.Background(), served)
					over <- time.Since(began)
				}()
				_, _ = io.WriteString(app, "GET /link/crm/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
				resp, err := http.ReadResponse(bufio.NewReaderSize(app, 16), nil)
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = resp.Body.Close() }() // the test is over
				if _, err := io.ReadFull(resp.Body, make([]byte, 1000)); err != nil {
					t.Fatal(err)
				}
				time.Sleep(row.pause) // virtual time: the application is slow
				n, err := io.Copy(io.Discard, resp.Body)
				switch took := <-over; {
				case row.cut == 0 && (err != nil || n+1000 != int64(len(body)) || record.Status != 200):
					t.Errorf("%d bytes came, %v, after %v: %+v", n+1000, err, took, record)
				case row.cut != 0 && (err == nil || took != row.cut):
					t.Errorf("it was cut after %v, want %v: %v", took, row.cut, err)
				}
			})
		})
	}
}
