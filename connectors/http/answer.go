package http

import (
	nethttp "net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

const (
	// maxSnippet is how much of an answer an error quotes, in bytes.
	maxSnippet = 200
	// maxRetryAfter bounds what is passed on of what a destination asks for. How
	// much of that is waited is for the caller to say: a flow waits an hour.
	maxRetryAfter = 7 * 24 * time.Hour
)

// parseRetryAfter reads a Retry-After header, seconds or an HTTP date, as a
// delay between 0 and maxRetryAfter. What cannot be read is 0: no wish.
func parseRetryAfter(s string) time.Duration {
	s = strings.TrimSpace(s)
	if s == "" {
		return 0
	}
	if strings.Trim(s, "0123456789") == "" {
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil || n > int64(maxRetryAfter/time.Second) {
			return maxRetryAfter // digits only, so it was too large
		}
		return time.Duration(n) * time.Second
	}
	at, err := nethttp.ParseTime(s)
	if err != nil {
		return 0
	}
	return min(max(time.Until(at), 0), maxRetryAfter)
}

// statusText is such as "422 Unprocessable Entity".
func statusText(status int) string {
	text := nethttp.StatusText(status)
	if text == "" {
		return strconv.Itoa(status)
	}
	return strconv.Itoa(status) + " " + text
}

// snippet is the start of an answer, on one line and without characters that
// could mislead a terminal or a log.
func snippet(answer []byte) string {
	var b strings.Builder
	gap := "" // what to put before the next character
	for len(answer) > 0 {
		r, size := utf8.DecodeRune(answer)
		switch {
		case unicode.IsSpace(r) || !unicode.IsPrint(r) || r == utf8.RuneError:
			if b.Len() > 0 {
				gap = " "
			}
		case b.Len()+len(gap)+size > maxSnippet:
			return b.String() + "…"
		default:
			b.WriteString(gap)
			b.WriteRune(r)
			gap = ""
		}
		answer = answer[size:]
	}
	return b.String()
}

// redirectDetail says why a redirect is an error. The host alone is named: a
// Location's query is where tokens live.
func redirectDetail(location string) string {
	const never = "a redirect is neither delivered nor followed"
	u, err := url.Parse(location)
	if err != nil || u.Host == "" {
		return never
	}
	return never + " (it points to host " + snippet([]byte(u.Host)) + "; if that is right, change url)"
}
