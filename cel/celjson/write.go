package celjson

import (
	"cmp"
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/common/types/traits"
)

// ErrOutput says that the output exceeds its limit.
var ErrOutput = errors.New("the output is too large")

// Append appends a CEL value as JSON to dst. It fails with ErrOutput if dst
// grows beyond limit bytes, and with another error if JSON cannot represent the
// value. Parts of a document are written as they are in it, timestamps and
// durations as in protobuf's JSON, bytes in base64. A Map keeps its order;
// other maps are sorted by key.
func Append(dst []byte, v ref.Val, limit int) ([]byte, error) {
	w := writer{dst, limit}
	err := w.value(v)
	return w.out, err
}

type writer struct {
	out   []byte
	limit int
}

// raw writes bytes as they are.
func (w *writer) raw(b []byte) error {
	if len(b) > w.limit-len(w.out) {
		return ErrOutput
	}
	w.out = append(w.out, b...)
	return nil
}

func (w *writer) byte(c byte) error {
	if len(w.out) >= w.limit {
		return ErrOutput
	}
	w.out = append(w.out, c)
	return nil
}

// check is called after something of bounded size was written.
func (w *writer) check() error {
	if len(w.out) > w.limit {
		return ErrOutput
	}
	return nil
}

func (w *writer) value(v ref.Val) error {
	switch v := v.(type) {
	case types.String:
		return w.text(string(v))
	case types.Int:
		w.out = strconv.AppendInt(w.out, int64(v), 10)
	case types.Uint:
		w.out = strconv.AppendUint(w.out, uint64(v), 10)
	case types.Bool:
		w.out = strconv.AppendBool(w.out, bool(v))
	case types.Null:
		w.out = append(w.out, "null"...)
	case *Number:
		return w.raw(v.raw)
	case Big:
		return w.raw([]byte(v))
	case types.Double:
		return w.double(float64(v))
	case *object:
		return w.raw(v.v.Raw())
	case *list:
		return w.raw(v.v.Raw())
	case types.Timestamp:
		w.out = AppendTime(w.out, v.Time)
	case types.Duration:
		w.out = append(w.out, '"')
		w.out = strconv.AppendFloat(w.out, v.Seconds(), 'f', -1, 64)
		w.out = append(w.out, `s"`...)
	case types.Bytes:
		return w.bytes(v)
	case traits.Lister:
		return w.list(v)
	case traits.Mapper:
		return w.object(v)
	default:
		return fmt.Errorf("JSON cannot represent a value of type %s", v.Type().TypeName())
	}
	return w.check()
}

// AppendTime appends a timestamp as a JSON string in RFC 3339, in UTC, with as
// many fractional digits as it needs.
func AppendTime(dst []byte, t time.Time) []byte {
	t = t.UTC()
	year, month, day := t.Date()
	if year < 0 || year > 9999 {
		dst = append(dst, '"')
		dst = t.AppendFormat(dst, time.RFC3339Nano)
		return append(dst, '"')
	}
	hour, minute, second := t.Clock()
	b := [...]byte{'"', byte('0' + year/1000), byte('0' + year/100%10), byte('0' + year/10%10), byte('0' + year%10), '-', tens(int(month)), units(int(month)), '-', tens(day), units(day),
		'T', tens(hour), units(hour), ':', tens(minute), units(minute), ':', tens(second), units(second), '.', 0, 0, 0, 0, 0, 0, 0, 0, 0, 'Z', '"'}
	const dot, digits = 20, 9
	n := dot
	if nano := t.Nanosecond(); nano > 0 {
		for i := dot + digits; i > dot; i-- {
			b[i] = byte('0' + nano%10)
			nano /= 10
		}
		for n = dot + digits + 1; b[n-1] == '0'; {
			n--
		}
	}
	dst = append(dst, b[:n]...)
	return append(dst, 'Z', '"')
}

func tens(n int) byte  { return byte('0' + n/10) }
func units(n int) byte { return byte('0' + n%10) }

func (w *writer) text(s string) error {
	if len(s) > w.limit-len(w.out) {
		return ErrOutput
	}
	w.out = AppendString(w.out, s)
	return w.check()
}

func (w *writer) bytes(b []byte) error {
	if base64.StdEncoding.EncodedLen(len(b)) > w.limit-len(w.out) {
		return ErrOutput
	}
	w.out = append(w.out, '"')
	w.out = base64.StdEncoding.AppendEncode(w.out, b)
	w.out = append(w.out, '"')
	return w.check()
}

// double writes the shortest text that reads back as the same double, in the
// format of encoding/json.
func (w *writer) double(f float64) error {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return fmt.Errorf("JSON cannot represent %v", f)
	}
	format := byte('f')
	if abs := math.Abs(f); abs != 0 && (abs < 1e-6 || abs >= 1e21) {
		format = 'e'
	}
	w.out = strconv.AppendFloat(w.out, f, format, -1, 64)
	return w.check()
}

func (w *writer) list(l traits.Lister) error {
	if err := w.byte('['); err != nil {
		return err
	}
	first := true
	for it := l.Iterator(); it.HasNext() == types.True; first = false {
		if !first {
			if err := w.byte(','); err != nil {
				return err
			}
		}
		if err := w.value(it.Next()); err != nil {
			return err
		}
	}
	return w.byte(']')
}

type entry struct {
	name  string
	value ref.Val
}

func (w *writer) object(m traits.Mapper) error {
	if n := m.Size().(types.Int); n > types.Int(w.limit) { // do not collect the entries
		return ErrOutput
	}
	var entries []entry
	for it := m.Iterator(); it.HasNext() == types.True; {
		key := it.Next()
		name, err := keyText(key)
		if err != nil {
			return err
		}
		entries = append(entries, entry{name, m.Get(key)})
	}
	if _, ordered := m.(*Map); !ordered {
		slices.SortFunc(entries, func(a, b entry) int { return cmp.Compare(a.name, b.name) })
	}
	if err := w.byte('{'); err != nil {
		return err
	}
	for i, e := range entries {
		if i > 0 {
			w.out = append(w.out, ',')
		}
		if err := w.text(e.name); err != nil {
			return err
		}
		w.out = append(w.out, ':')
		if err := w.value(e.value); err != nil {
			return err
		}
	}
	return w.byte('}')
}

// keyText returns a map key as the name of a member, as protobuf's JSON does.
func keyText(key ref.Val) (string, error) {
	switch key := key.(type) {
	case types.String:
		return string(key), nil
	case types.Int:
		return strconv.FormatInt(int64(key), 10), nil
	case types.Uint:
		return strconv.FormatUint(uint64(key), 10), nil
	case types.Bool:
		return strconv.FormatBool(bool(key)), nil
	}
	return "", fmt.Errorf("JSON cannot represent a map key of type %s", key.Type().TypeName())
}

// AppendString appends s as a JSON string. Invalid UTF-8 becomes U+FFFD.
func AppendString(dst []byte, s string) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	from := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			r, size := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && size == 1 {
				dst = append(dst, s[from:i]...)
				dst = append(dst, "\ufffd"...)
				from = i + 1
			}
			i += size
			continue
		}
		if c >= ' ' && c != '"' && c != '\\' {
			i++
			continue
		}
		dst = append(dst, s[from:i]...)
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		}
		i++
		from = i
	}
	dst = append(dst, s[from:]...)
	return append(dst, '"')
}
