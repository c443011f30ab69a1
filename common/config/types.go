package config

import (
	"fmt"
	"strconv"
	"strings"
)

// Bytes is a size: a number of bytes, or a number with a unit as in 512KiB, 1MiB, 2GB.
type Bytes int64

var units = []struct {
	suffix string
	factor float64
}{
	{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30},
	{"kB", 1e3}, {"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"B", 1}, {"", 1},
}

// ParseBytes parses a size such as "1MiB".
func ParseBytes(s string) (Bytes, error) {
	for _, u := range units {
		num, ok := strings.CutSuffix(strings.TrimSpace(s), u.suffix)
		if !ok {
			continue
		}
		f, err := strconv.ParseFloat(strings.TrimSpace(num), 64)
		if err != nil || !(f >= 0) || f*u.factor > 1<<53 {
			break
		}
		return Bytes(f * u.factor), nil
	}
	return 0, fmt.Errorf("%q is not a size: write a number of bytes, or one with a unit, such as 1MiB", s)
}

// String formats the size with the largest unit that divides it.
func (b Bytes) String() string {
	for _, u := range []struct {
		suffix string
		factor Bytes
	}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}} {
		if b != 0 && b%u.factor == 0 {
			return strconv.FormatInt(int64(b/u.factor), 10) + u.suffix
		}
	}
	return strconv.FormatInt(int64(b), 10)
}

// Strings is a list of strings, which may also be written as one string with commas: [a, b] or "a,b".
type Strings []string
