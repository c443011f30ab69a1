package calls

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// load describes the calls.
type load struct {
	addr      string
	path      string // path for the candidate
	post      int    // size of the request body in bytes; 0: GET
	size      int    // size of the response body
	conns     int
	authorize bool // set the credential, because no proxy does
}

// request returns the encoded request, for one write.
func (l load) request() []byte {
	method, extra := "GET", ""
	if l.post > 0 {
		method, extra = "POST", "Content-Type: application/json\r\nContent-Length: "+strconv.Itoa(l.post)+"\r\n"
	}
	if l.authorize {
		extra += "Authorization: " + authorization + "\r\n"
	}
	head := fmt.Sprintf("%s %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: bench/1\r\nAccept: application/json\r\nX-Request-Id: 8d7c1a52-0000-4000-8000-000000000000\r\n%s\r\n",
		method, l.path, l.addr, extra)
	return append([]byte(head), body(l.post)...)
}

// caller makes sequential calls over one connection.
type caller struct {
	l     load
	c     net.Conn
	in    *bufio.Reader
	out   []byte
	want  []byte
	got   []byte
	took  []time.Duration
	calls *atomic.Int64
}

func (l load) dial(ctx context.Context, calls *atomic.Int64) (*caller, error) {
	c, err := new(net.Dialer).DialContext(ctx, "tcp", l.addr)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	return &caller{l: l, c: c, in: bufio.NewReaderSize(c, 16<<10), out: l.request(), want: body(l.size), got: make([]byte, l.size), calls: calls}, nil
}

// call makes one call and checks every byte of the response.
func (c *caller) call() error {
	if _, err := c.c.Write(c.out); err != nil {
		return fmt.Errorf("call: %w", err)
	}
	status, length := "", -1
	for first := true; ; first = false {
		line, err := c.in.ReadSlice('\n')
		if err != nil {
			return fmt.Errorf("read the answer: %w", err)
		}
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 {
			break
		}
		if first {
			status = string(line)
			continue
		}
		if name, value, _ := bytes.Cut(line, []byte(": ")); len(name) == 14 && bytes.EqualFold(name, []byte("content-length")) {
			if length, err = strconv.Atoi(string(value)); err != nil {
				return fmt.Errorf("read the answer: %w", err)
			}
		}
	}
	if status != "HTTP/1.1 200 OK" || length != c.l.size {
		rest, _ := c.in.Peek(c.in.Buffered())
		return fmt.Errorf("the answer is %q with %d bytes: %s", status, length, rest)
	}
	if _, err := io.ReadFull(c.in, c.got); err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	if !bytes.Equal(c.got, c.want) {
		return errors.New("the response body differs")
	}
	return nil
}

// run makes calls until the time is over. It records the duration of calls that begin while
// measured is true.
func (c *caller) run(ctx context.Context, measured *atomic.Bool) error {
	for ctx.Err() == nil {
		keep, began := measured.Load(), time.Now()
		if err := c.call(); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		if keep {
			c.took = append(c.took, time.Since(began))
			c.calls.Add(1)
		}
	}
	return nil
}

// run runs the load after a warm-up. It calls sample at the start and at the end of the
// measurement.
func (l load) run(ctx context.Context, warm, measure time.Duration, sample func() error) (n int64, took []time.Duration, elapsed time.Duration, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var calls atomic.Int64
	callers := make([]*caller, l.conns)
	for i := range callers {
		if callers[i], err = l.dial(ctx, &calls); err != nil {
			return 0, nil, 0, err
		}
		defer callers[i].c.Close() //nolint:errcheck // the run is over
	}
	var measured atomic.Bool
	var working sync.WaitGroup
	failures := make(chan error, l.conns)
	for _, c := range callers {
		working.Go(func() {
			if err := c.run(ctx, &measured); err != nil {
				failures <- err
				cancel()
			}
		})
	}
	n, elapsed, err = window(ctx, warm, measure, sample, &measured, &calls)
	cancel()
	working.Wait()
	select {
	case failure := <-failures:
		return 0, nil, 0, failure
	default:
	}
	for _, c := range callers {
		took = append(took, c.took...)
	}
	return n, took, elapsed, err
}

// window waits for the warm-up and the measurement.
func window(ctx context.Context, warm, measure time.Duration, sample func() error, measured *atomic.Bool, calls *atomic.Int64) (n int64,
	elapsed time.Duration, err error) {
	pause(ctx, warm)
	if err := sample(); err != nil {
		return 0, 0, err
	}
	began := time.Now()
	measured.Store(true)
	pause(ctx, measure)
	for calls.Load() == 0 && ctx.Err() == nil {
		pause(ctx, measure/10) // on a busy machine, the first call may take longer than that
	}
	n, elapsed = calls.Load(), time.Since(began)
	return n, elapsed, sample()
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// hold opens connections, makes a call on each, and keeps them open while do runs.
func (l load) hold(ctx context.Context, do func() error) error {
	var calls atomic.Int64
	for range l.conns {
		c, err := l.dial(ctx, &calls)
		if err != nil {
			return err
		}
		defer c.c.Close() //nolint:errcheck // the run is over
		if err := c.call(); err != nil {
			return err
		}
	}
	return do()
}
