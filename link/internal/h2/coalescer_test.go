package h2

import (
	"bytes"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lsm/fiso/common/http1"
)

const patient = time.Minute

// ends returns a coalescer and the other end of its connection.
func ends(t *testing.T) (b *coalescer, far net.Conn) {
	near, far := net.Pipe()
	b = newCoalescer(near, patient)
	t.Cleanup(func() { _, _ = b.Close(), far.Close(); b.Wait() })
	return b, far
}

func write(t *testing.T, b *coalescer, p string) {
	t.Helper()
	if n, err := io.WriteString(b, p); n != len(p) || err != nil {
		t.Fatal(n, err)
	}
}

func TestBatched_writesThatFollowOneAnotherGoOutTogether(t *testing.T) {
	b, far := ends(t)
	for _, p := range []string{"a", "b", "c", "d"} {
		write(t, b, p) // nobody reads yet
	}
	var got string
	buf := make([]byte, 16)
	for range 2 { // the first write may have started before the second came
		if got == "abcd" {
			break
		}
		n, err := far.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		got += string(buf[:n])
	}
	if got != "abcd" {
		t.Errorf("two pieces had %q", got)
	}
}

func TestBatched_aWriterWaitsOnceTooMuchIsHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, far := ends(t)
		piece := bytes.Repeat([]byte("x"), 16<<10)
		const pieces = 32
		written := 0
		go func() {
			for range pieces {
				n, _ := b.Write(piece) // lost bytes show in the reads below
				written += n
			}
		}()
		synctest.Wait()
		if written > 3*maxHeldBytes {
			t.Errorf("%d bytes are held", written)
		}
		if got, err := io.ReadAll(io.LimitReader(far, pieces*16<<10)); len(got) != pieces*16<<10 || err != nil {
			t.Error(len(got), err)
		}
	})
}

func TestBatched_aPeerThatTakesNothingIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, far := ends(t)
		write(t, b, "hello")
		time.Sleep(patient + time.Second)
		if n, err := far.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
			t.Error(n, err)
		}
		if _, err := io.WriteString(b, "x"); err == nil {
			t.Error("a write after that succeeded")
		}
	})
}

func TestBatched_aPeerThatTakesLittleIsNotClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, far := ends(t)
		write(t, b, "hello")
		for _, want := range "hello" {
			time.Sleep(patient - time.Second)
			var one [1]byte
			if _, err := far.Read(one[:]); err != nil || rune(one[0]) != want {
				t.Fatal(err, one)
			}
		}
	})
}

func TestBatched_closingItSendsWhatIsHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, far := ends(t)
		write(t, b, "hello")
		if err := b.Close(); err != nil {
			t.Error(err)
		}
		if _, err := io.WriteString(b, "x"); !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
		if got, err := io.ReadAll(far); string(got) != "hello" || err != nil {
			t.Errorf("%q %v", got, err)
		}
	})
}

func TestBatched_closingItDoesNotWaitForAPeerThatTakesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, far := ends(t)
		write(t, b, "hello")
		synctest.Wait() // its deadline is a minute away
		began := time.Now()
		_ = b.Close()
		b.Wait()
		if took := time.Since(began); took != flushTimeout {
			t.Error("it took", took)
		}
		if _, err := far.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Error(err)
		}
	})
}

// The end of a body that has been read is sent with its last bytes.
func TestSending_theEndComesWithTheLastBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := out("POST")
		body := newBody(strings.NewReader("hello"))
		o.Body, o.Length = body, -1
		s := send(o, nil)
		<-body.closed
		synctest.Wait()
		buf := make([]byte, 16)
		if n, err := s.Read(buf); string(buf[:n]) != "hello" || !errors.Is(err, io.EOF) {
			t.Error(n, err)
		}
		if n, err := s.Read(buf); n != 0 || !errors.Is(err, io.EOF) {
			t.Error(n, err)
		}
	})
}

// Reading ahead is bounded, and the body arrives complete, with the trailer.
func TestSending_readsAheadWithinABound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		text := strings.Repeat("0123456789", 10_000)
		r := strings.NewReader(text)
		o := out("POST")
		o.Body, o.Length = newBody(r), -1
		o.Trailer = func() http1.Header { return http1.Header{{Name: "sum", Value: "1"}, {Name: "sum", Value: "2"}} }
		trailer := map[string][]string{}
		s := send(o, trailer)
		synctest.Wait()
		if ahead := len(text) - r.Len(); ahead > 16<<10 {
			t.Error("read ahead:", ahead)
		}
		if got, err := io.ReadAll(s); string(got) != text || err != nil {
			t.Error(len(got), err)
		}
		if got := trailer["Sum"]; len(got) != 2 || got[0] != "1" || got[1] != "2" {
			t.Error(trailer)
		}
	})
}
