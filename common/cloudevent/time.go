package cloudevent

import "time"

// parseTime parses exactly RFC 3339. time.Parse accepts more, such as a comma for the
// point, an hour of one digit or an offset of 24 hours
// (https://github.com/golang/go/issues/54580), and no leap second. A leap second becomes
// the next second. Digits beyond nanoseconds are dropped.
func parseTime(s string) (time.Time, bool) {
	// 2006-01-02T15:04:05
	const least = 19
	if len(s) <= least || s[4] != '-' || s[7] != '-' || s[10]|0x20 != 't' || s[13] != ':' || s[16] != ':' {
		return time.Time{}, false
	}
	bad := false
	field := func(from, to, low, high int) (n int) {
		for _, c := range []byte(s[from:to]) {
			bad = bad || !isDigit(c)
			n = n*10 + int(c-'0')
		}
		bad = bad || n < low || n > high
		return n
	}
	year, month, day := field(0, 4, 0, 9999), field(5, 7, 1, 12), field(8, 10, 1, 31)
	hour, minute, second := field(11, 13, 0, 23), field(14, 16, 0, 59), field(17, 19, 0, 60)
	rest := s[least:]
	nano, rest, ok := fraction(rest)
	offset, valid := zone(rest)
	t := time.Date(year, time.Month(month), day, hour, minute, min(second, 59), nano, time.UTC)
	if bad || !ok || !valid || t.Day() != day { // 31 April would become 1 May
		return time.Time{}, false
	}
	t = t.Add(-offset)
	if second == 60 {
		// Leap seconds are inserted at the end of a day in UTC.
		if t.Hour() != 23 || t.Minute() != 59 {
			return time.Time{}, false
		}
		t = t.Add(time.Second)
	}
	return t, true
}

// fraction parses the digits of a second after the point, if there is one.
func fraction(s string) (nano int, rest string, ok bool) {
	if s == "" || s[0] != '.' {
		return 0, s, true
	}
	s = s[1:]
	n, unit := 0, int(time.Second)/10
	for n < len(s) && isDigit(s[n]) {
		nano += int(s[n]-'0') * unit
		unit /= 10
		n++
	}
	return nano, s[n:], n > 0
}

// zone parses Z or an offset from UTC.
func zone(s string) (time.Duration, bool) {
	if s == "Z" || s == "z" {
		return 0, true
	}
	if len(s) != len("+00:00") || s[0] != '+' && s[0] != '-' || s[3] != ':' ||
		!isDigit(s[1]) || !isDigit(s[2]) || !isDigit(s[4]) || !isDigit(s[5]) {
		return 0, false
	}
	hours, minutes := int(s[1]-'0')*10+int(s[2]-'0'), int(s[4]-'0')*10+int(s[5]-'0')
	if hours > 23 || minutes > 59 {
		return 0, false
	}
	offset := time.Duration(hours)*time.Hour + time.Duration(minutes)*time.Minute
	if s[0] == '-' {
		offset = -offset
	}
	return offset, true
}

// formatTime formats a time in UTC, as the JSON format and all bindings do.
func formatTime(t time.Time) string {
	var room [len(time.RFC3339Nano)]byte
	return string(appendTime(room[:0], t))
}

// appendTime is formatTime that appends to a buffer.
func appendTime(dst []byte, t time.Time) []byte {
	return t.UTC().AppendFormat(dst, time.RFC3339Nano)
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }
