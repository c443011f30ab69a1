package deadletter

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"time"
	"unicode/utf8"

	"github.com/lsm/fiso/common/connector"
)

// line is a record in a dead letter file. Bytes that are valid text are written
// as text, others in base64: a person can read the file, and nothing is lost.
type line struct {
	Time    time.Time    `json:"time,omitzero"`
	Key     *payload     `json:"key,omitempty"`   // absent: no key
	Value   *payload     `json:"value,omitempty"` // absent: no value (a tombstone)
	Headers []lineHeader `json:"headers"`
}

type lineHeader struct {
	Name  payload  `json:"name"`
	Value *payload `json:"value,omitempty"`
}

// payload is a JSON string if the bytes are valid UTF-8, else {"base64": …}.
type payload []byte

func (p payload) MarshalJSON() ([]byte, error) {
	if utf8.Valid(p) {
		return encode(string(p))
	}
	return encode(map[string][]byte{"base64": p})
}

// encode is json.Marshal that does not escape <, > and &, for people to read.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(v)
	return b.Bytes(), err // with a newline, which ends a line or is compacted away
}

func (p *payload) UnmarshalJSON(data []byte) error {
	if len(data) > 0 && data[0] == '"' {
		var s string
		err := json.Unmarshal(data, &s)
		*p = []byte(s)
		return err
	}
	var b struct {
		Base64 *[]byte `json:"base64"`
	}
	if err := json.Unmarshal(data, &b); err != nil || b.Base64 == nil {
		return errors.New(`bytes are neither a string nor {"base64": …}`)
	}
	*p = append([]byte{}, *b.Base64...)
	return nil
}

// bytes returns nil for an absent payload, and an empty slice for an empty one.
func (p *payload) bytes() []byte {
	if p == nil {
		return nil
	}
	return *p
}

func newPayload(b []byte) *payload {
	if b == nil {
		return nil
	}
	return (*payload)(&b)
}

// encodeLine encodes a letter as one line.
func encodeLine(l *Letter) ([]byte, error) {
	rec := line{Time: l.Message.Time.UTC(), Key: newPayload(l.Message.Key), Value: newPayload(l.Message.Value)}
	if y := rec.Time.Year(); y < 0 || y > 9999 {
		rec.Time = time.Time{} // RFC 3339 has no such year; the letter is stored without it
	}
	for _, h := range Headers(l) {
		rec.Headers = append(rec.Headers, lineHeader{payload(h.Key), newPayload(h.Value)})
	}
	return encode(rec)
}

// ReadFile reads the letters of a file, oldest first, one at a time. A line
// that is not a dead letter is yielded as an error that names it, with what
// could be read of the letter, or nil; reading goes on after it. An unfinished
// last line is skipped: its Write never returned nil. NULs before a line are
// skipped, too: a truncation by another program may leave them.
func ReadFile(path string) iter.Seq2[*Letter, error] {
	return func(yield func(*Letter, error) bool) {
		if st, err := os.Stat(path); err == nil && !st.Mode().IsRegular() {
			yield(nil, fmt.Errorf("read dead letters: %s is not a regular file", path))
			return
		}
		f, err := os.Open(path)
		if err != nil {
			yield(nil, fmt.Errorf("read dead letters: %w", err))
			return
		}
		defer func() { _ = f.Close() }() // only read
		for l, err := range read(f) {
			if err != nil {
				err = fmt.Errorf("%s: %w", path, err)
			}
			if !yield(l, err) {
				return
			}
		}
	}
}

func read(r io.Reader) iter.Seq2[*Letter, error] {
	return func(yield func(*Letter, error) bool) {
		in := bufio.NewReaderSize(r, 64<<10)
		for n := 1; ; n++ {
			skipNULs(in)
			data, err := in.ReadBytes('\n')
			if errors.Is(err, io.EOF) {
				return // the last line is unfinished
			}
			if err != nil {
				yield(nil, fmt.Errorf("line %d: %w", n, err))
				return
			}
			l, err := parseLine(data)
			if err != nil {
				err = fmt.Errorf("line %d: %w", n, err)
			}
			if !yield(l, err) {
				return
			}
		}
	}
}

// skipNULs skips NULs without reading them into memory: there may be gigabytes.
func skipNULs(in *bufio.Reader) {
	for {
		b, err := in.ReadByte()
		if err != nil {
			return // the next read returns it again
		}
		if b != 0 {
			_ = in.UnreadByte() // it was just read
			return
		}
	}
}

var errIncompleteLine = errors.New("unfinished, because of a crash or a full disk; it was never reported as stored")

func parseLine(data []byte) (*Letter, error) {
	var rec line
	if err := json.Unmarshal(data, &rec); err != nil {
		if syntax, ok := errors.AsType[*json.SyntaxError](err); ok && syntax.Offset >= int64(len(data)) {
			return nil, errIncompleteLine
		}
		return nil, fmt.Errorf("not a dead letter: %w", err)
	}
	m := &connector.Message{Key: rec.Key.bytes(), Value: rec.Value.bytes(), Time: rec.Time}
	for _, h := range rec.Headers {
		m.Headers = append(m.Headers, connector.Header{Key: string(h.Name), Value: h.Value.bytes()})
	}
	return Parse(m)
}
