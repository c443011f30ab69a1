package calls

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"
)

// addresses are the addresses of the upstream.
type addresses struct{ HTTP, GRPC string }

// upstream answers calls until ctx ends, and writes its addresses to out. It uses little CPU, so
// that the two cores are left for the proxy.
func upstream(ctx context.Context, out io.Writer) error {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("start the upstream: %w", err)
	}
	defer context.AfterFunc(ctx, func() { _ = l.Close() })()
	rpc, err := serveRPC(ctx)
	if err != nil {
		return err
	}
	if err := json.NewEncoder(out).Encode(addresses{l.Addr().String(), rpc}); err != nil {
		return fmt.Errorf("write the addresses of the upstream: %w", err)
	}
	for {
		c, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("upstream: %w", err)
		}
		go serve(c)
	}
}

// body returns the response body of the given size.
func body(size int) []byte {
	return bytes.Repeat([]byte(`{"id": 12345678}`), size/16+1)[:size]
}

var answers = map[string][]byte{
	"/api/v2/small": answer(1 << 10),
	"/api/v2/large": answer(100 << 10),
}

func answer(size int) []byte {
	return append([]byte("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: "+strconv.Itoa(size)+"\r\n\r\n"), body(size)...)
}

// serve answers the calls of one connection. It answers an invalid call with an error, which fails
// the run.
func serve(c net.Conn) {
	defer c.Close() //nolint:errcheck // the connection is over
	in := bufio.NewReaderSize(c, 8<<10)
	for {
		path, length, authorized, err := readHead(in)
		if err != nil {
			return
		}
		if _, err := in.Discard(length); err != nil {
			return
		}
		reply := answers[path]
		switch {
		case !authorized:
			reply = []byte("HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n")
		case path == "/api/v2/events":
			events(c, 0)
			return
		case path == "/api/v2/paced":
			events(c, pace)
			return
		case reply == nil:
			reply = []byte("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
		}
		if _, err := c.Write(reply); err != nil {
			return
		}
	}
}

// readHead parses only the needed parts of a request head.
func readHead(in *bufio.Reader) (path string, length int, authorized bool, err error) {
	for first := true; ; first = false {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return "", 0, false, err
		}
		line = bytes.TrimRight(line, "\r\n")
		switch name, value, _ := bytes.Cut(line, []byte(": ")); {
		case first:
			_, rest, _ := bytes.Cut(line, []byte(" "))
			target, _, _ := bytes.Cut(rest, []byte(" "))
			path = string(target)
		case len(line) == 0:
			return path, length, authorized, nil
		case len(name) == 14 && bytes.EqualFold(name, []byte("content-length")):
			if length, err = strconv.Atoi(string(value)); err != nil {
				return "", 0, false, err
			}
		case len(name) == 13 && bytes.EqualFold(name, []byte("authorization")):
			authorized = string(value) == authorization
		}
	}
}

// pace is the time between two events of a paced stream.
const pace = 10 * time.Millisecond

// events streams events with the time at which each is sent, until the connection breaks; every 0:
// as fast as the client reads.
func events(c net.Conn, every time.Duration) {
	const head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\nTransfer-Encoding: chunked\r\n\r\n"
	if _, err := c.Write([]byte(head)); err != nil {
		return
	}
	var tick <-chan time.Time
	if every > 0 {
		ticker := time.NewTicker(every)
		defer ticker.Stop()
		tick = ticker.C
	}
	buf := make([]byte, 0, 256)
	for {
		if tick != nil {
			<-tick
		}
		event := fmt.Appendf(buf[:0], "data: {\"at\": %d, \"text\": \"sixty-four bytes of something that happened\"}\n\n", time.Now().UnixNano())
		chunk := fmt.Appendf(nil, "%x\r\n%s\r\n", len(event), event)
		if _, err := c.Write(chunk); err != nil {
			return
		}
	}
}
