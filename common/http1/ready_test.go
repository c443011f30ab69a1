package http1

import (
	"io"
	"strings"
	"testing"
)

// The proxy flushes when nothing is ready, so it must not hold back one chunk while it
// waits for the next.
func TestBody_isReadyWhenAReadWouldNotWait(t *testing.T) {
	for name, test := range map[string]struct {
		kind     bodyKind
		length   int64
		text     string
		consumed int // bytes of the body that are read first
		want     bool
	}{
		"nothing has come":         {byLength, 5, "", 0, false},
		"a part has":               {byLength, 5, "abc", 0, true},
		"the part was read":        {byLength, 5, "abc", 3, false},
		"the body was read":        {byLength, 3, "abc", 3, true},
		"until the end":            {untilClose, 0, "abc", 1, true},
		"a chunk":                  {byChunks, 0, "3\r\nabc\r\n", 0, true},
		"a part of a chunk":        {byChunks, 0, "3\r\nabc\r\n", 1, true},
		"the end of a chunk":       {byChunks, 0, "3\r\nabc\r\n", 3, false},
		"half the end of a chunk":  {byChunks, 0, "3\r\nabc\r", 3, false},
		"the line of a chunk":      {byChunks, 0, "3\r\n", 0, false},
		"half the line of a chunk": {byChunks, 0, "3\r\nabc\r\n4", 3, false},
		"the next chunk":           {byChunks, 0, "3\r\nabc\r\n4\r\nd", 3, true},
		"the last chunk":           {byChunks, 0, "3\r\nabc\r\n0\r\n\r\n", 3, true},
	} {
		t.Run(name, func(t *testing.T) {
			b := buffer{conn: strings.NewReader(""), data: make([]byte, 64)}
			b.w = copy(b.data, test.text)
			d := body{b: &b}
			d.reset(test.kind, test.length)
			if _, err := io.ReadFull(&d, make([]byte, test.consumed)); err != nil {
				t.Fatal(err)
			}
			if d.ready() != test.want {
				t.Errorf("ready: %v", d.ready())
			}
		})
	}
}
