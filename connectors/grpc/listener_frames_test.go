package grpc

import (
	"bytes"
	"math/rand/v2"
	"net"
	"testing"

	"golang.org/x/net/http2"
)

// tape is a connection that reads what is given and writes to nowhere.
type tape struct {
	net.Conn
	in     bytes.Buffer
	closed bool
}

func (c *tape) Read(b []byte) (int, error)  { return c.in.Read(b) }
func (c *tape) Write(b []byte) (int, error) { return len(b), nil }
func (c *tape) Close() error                { c.closed = true; return nil }

// frames writes frames to a buffer.
func frames(t testing.TB, write func(*http2.Framer) error) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := write(http2.NewFramer(&b, nil)); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func headersFrame(t testing.TB, stream uint32, end bool) []byte {
	return frames(t, func(f *http2.Framer) error {
		return f.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: []byte{0x82}, EndHeaders: true, EndStream: end})
	})
}

func dataFrame(t testing.TB, stream uint32, end bool, b []byte) []byte {
	return frames(t, func(f *http2.Framer) error { return f.WriteData(stream, end, b) })
}

func resetFrame(t testing.TB, stream uint32) []byte {
	return frames(t, func(f *http2.Framer) error { return f.WriteRSTStream(stream, http2.ErrCodeCancel) })
}

func TestFramedConn_countsMessagesThatAreNotComplete(t *testing.T) {
	msg := message(make([]byte, 100))
	padded := frames(t, func(f *http2.Framer) error { return f.WriteDataPadded(1, false, msg[:50], make([]byte, 30)) })
	for _, row := range []struct {
		name  string
		in    [][]byte
		write []byte // by the server, afterwards
		want  int64
	}{
		{"nothing", nil, nil, 0},
		{"a part", [][]byte{headersFrame(t, 1, false), dataFrame(t, 1, false, msg[:40])}, nil, 40},
		{"a part of the length", [][]byte{headersFrame(t, 1, false), dataFrame(t, 1, false, msg[:3])}, nil, 3},
		{"all of it", [][]byte{headersFrame(t, 1, false), dataFrame(t, 1, false, msg)}, nil, 0},
		{"all of it and a part", [][]byte{headersFrame(t, 1, false), dataFrame(t, 1, false, append(msg[:105:105], msg[:7]...))}, nil, 7},
		{"in two frames", [][]byte{headersFrame(t, 1, false), dataFrame(t, 1, false, msg[:3]), dataFrame(t, 1, false, msg[3:60])}, nil, 60},
		{"an empty message", [][]byte{headersFrame(t, 1, false), dataFrame(t, 1, false, message(nil))}, nil, 0},
		{"padding", [][]byte{headersFrame(t, 1, false), padded}, nil, 50},
		{"two streams", [][]byte{headersFrame(t, 1, false), headersFrame(t, 3, false), dataFrame(t, 1, false, msg[:10]), dataFrame(t, 3, false, msg[:20])}, nil, 30},
		{"the client ends it", [][]byte{headersFrame(t, 1, false), dataFrame(t, 1, true, msg[:40])}, nil, 0},
		{"the client resets it", [][]byte{headersFrame(t, 1, false), dataFrame(t, 1, false, msg[:40]), resetFrame(t, 1)}, nil, 0},
		{"the server answers", [][]byte{headersFrame(t, 1, false), dataFrame(t, 1, false, msg[:40])}, headersFrame(t, 1, false), 40},
		{"the server ends it", [][]byte{headersFrame(t, 1, false), dataFrame(t, 1, false, msg[:40])}, headersFrame(t, 1, true), 0},
		{"the server resets it", [][]byte{headersFrame(t, 1, false), dataFrame(t, 1, false, msg[:40])}, resetFrame(t, 1), 0},
		{"a stream that nobody opened", [][]byte{dataFrame(t, 1, false, msg[:40])}, nil, 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			for _, piece := range []int{1, 7, 1 << 20} { // bytes that a Read returns at most
				budget := &frameBudget{limit: 1 << 20}
				under := new(tape)
				under.in.WriteString(http2.ClientPreface)
				for _, b := range row.in {
					under.in.Write(b)
				}
				c := budget.watch(under)
				for buf := make([]byte, piece); under.in.Len() > 0; {
					if _, err := c.Read(buf); err != nil {
						t.Fatal(err)
					}
				}
				for b := row.write; len(b) > 0; b = b[min(piece, len(b)):] {
					if _, err := c.Write(b[:min(piece, len(b))]); err != nil {
						t.Fatal(err)
					}
				}
				if got := budget.held.Load(); got != row.want {
					t.Errorf("in pieces of %d: %d bytes; want %d", piece, got, row.want)
				}
				for range 2 {
					if err := c.Close(); err != nil {
						t.Fatal(err)
					}
				}
				if got := budget.held.Load(); got != 0 || len(budget.conns) != 0 {
					t.Errorf("%d bytes and %d connections after the end", got, len(budget.conns))
				}
			}
		})
	}
}

func TestFrameBudget_closesTheConnectionThatHoldsMost(t *testing.T) {
	budget := &frameBudget{limit: 100}
	var tapes []*tape
	for i, n := range []int{30, 50, 10, 40} {
		under := new(tape)
		under.in.WriteString(http2.ClientPreface)
		under.in.Write(headersFrame(t, 1, false))
		under.in.Write(dataFrame(t, 1, false, message(make([]byte, 200))[:n]))
		c := budget.watch(under)
		if _, err := c.Read(make([]byte, 1<<10)); err != nil {
			t.Fatal(err)
		}
		tapes = append(tapes, under)
		if closed := tapes[min(1, i)].closed; closed != (i == 3) {
			t.Errorf("after connection %d the largest is closed: %v", i, closed)
		}
	}
	if budget.held.Load() != 80 || tapes[0].closed || tapes[2].closed || tapes[3].closed {
		t.Errorf("%d bytes are held, and others are closed", budget.held.Load())
	}
	empty := new(frameBudget)
	empty.closeLargest()
}

// Any bytes may come. The count must follow, and return to 0 at the end.
func FuzzFramedConn(f *testing.F) {
	f.Add(append(headersFrame(f, 1, false), dataFrame(f, 1, false, message([]byte("abc"))[:6])...), uint64(1))
	f.Add(frames(f, func(w *http2.Framer) error { return w.WriteDataPadded(1, true, []byte("x"), []byte{0, 0}) }), uint64(2))
	f.Add([]byte{0, 0, 0, 0, 8, 0, 0, 0, 1, 0, 0, 1, 0, 8, 0, 0, 0, 1, 9}, uint64(3))
	f.Fuzz(func(t *testing.T, b []byte, seed uint64) {
		random := rand.New(rand.NewPCG(seed, 0))
		budget := &frameBudget{limit: 1 << 40}
		under := new(tape)
		under.in.WriteString(http2.ClientPreface)
		under.in.Write(b)
		c := budget.watch(under)
		for under.in.Len() > 0 {
			if _, err := c.Read(make([]byte, 1+random.IntN(20))); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := c.Write(b); err != nil {
			t.Fatal(err)
		}
		if held := budget.held.Load(); held < 0 || held > int64(len(b)) {
			t.Fatalf("%d bytes are counted of %d", held, len(b))
		}
		if err := c.Close(); err != nil || budget.held.Load() != 0 {
			t.Fatalf("%d bytes are left, %v", budget.held.Load(), err)
		}
	})
}
