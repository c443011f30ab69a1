package calls

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http/httputil"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// stream reads events from one connection until ctx ends.
func (l load) stream(ctx context.Context, measured *atomic.Bool, events *atomic.Int64) (took []time.Duration, err error) {
	c, err := new(net.Dialer).DialContext(ctx, "tcp", l.addr)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	defer c.Close() //nolint:errcheck // the run is over
	defer context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })()
	if _, err := c.Write(l.request()); err != nil {
		return nil, fmt.Errorf("call: %w", err)
	}
	in := bufio.NewReaderSize(c, 16<<10)
	for first := true; ; first = false {
		line, err := in.ReadString('\n')
		if ctx.Err() != nil {
			return nil, nil // with many streams, one may not even begin in time
		}
		if err != nil || first && !strings.HasPrefix(line, "HTTP/1.1 200 ") {
			return nil, fmt.Errorf("the answer is %q: %w", line, err)
		}
		if line == "\r\n" {
			break
		}
	}
	lines := bufio.NewReaderSize(httputil.NewChunkedReader(in), 16<<10)
	for {
		line, err := lines.ReadSlice('\n')
		if ctx.Err() != nil {
			return took, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read events: %w", err)
		}
		if len(line) < 8 || !measured.Load() {
			continue
		}
		events.Add(1)
		if l.path == prefix+"/api/v2/paced" || l.path == "/api/v2/paced" {
			var at int64
			for _, d := range line[len(`data: {"at": `):] {
				if d < '0' || d > '9' {
					break
				}
				at = 10*at + int64(d-'0')
			}
			took = append(took, time.Duration(time.Now().UnixNano()-at))
		}
	}
}

// streams reads events from all connections.
func (l load) streams(ctx context.Context, warm, measure time.Duration, sample func() error) (n int64, took []time.Duration, elapsed time.Duration, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var measured atomic.Bool
	var events atomic.Int64
	var mu sync.Mutex
	var failure error
	var reading sync.WaitGroup
	for range l.conns {
		reading.Go(func() {
			mine, err := l.stream(ctx, &measured, &events)
			mu.Lock()
			defer mu.Unlock()
			if took = append(took, mine...); err != nil {
				failure = err
				cancel()
			}
		})
	}
	n, elapsed, err = window(ctx, warm, measure, sample, &measured, &events)
	cancel()
	reading.Wait()
	if failure != nil {
		err = failure
	}
	return n, took, elapsed, err
}
