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
	// maxRetryAfter bounds the delay passed on from a Retry-After. The caller decides
	// how much of it to wait: a flow waits up to an hour.
	maxRetryAfter = 7 * 24 * time.Hour
)

// parseRetryAfter reads a Retry-After header, seconds or an HTTP date, as a delay
// between 0 and maxRetryAfter. 0: there is none, or it cannot be read.
func parseRetryAfter(s string) time.Duration {
	s = strings.TrimSpace(s)
	if s == "" {
		return 0
	}
	if strings.Trim(s, "0123456789") == "" {
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil || n > int64(maxRetryAfter/time.Second) {
			return maxRetryAfter // only digits, so the number is too large
		}
		return time.Duration(n) * time.Second
	}
	at, err := nethttp.ParseTime(s)
	if err != nil {
		return 0
	}
	return min(max(time.Until(at), 0), maxRetryAfter)
}

// statusText returns the status with its standard text, such as "422 Unprocessable
// Entity".
func statusText(status int) string {
	text := nethttp.StatusText(status)
	if text == "" {
		return strconv.Itoa(status)
	}
	return strconv.Itoa(status) + " " + text
}

// snippet returns the start of an answer on one line, without characters that could
// mislead a terminal or a log.
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

// redirectDetail explains why a redirect is an error. It names only the host, because
// the query of a Location may hold a token.
func redirectDetail(location string) string {
	const text = "a redirect is neither delivered nor followed"
	u, err := url.Parse(location)
	if err != nil || u.Host == "" {
		return text
	}
	return text + " (it points to host " + snippet([]byte(u.Host)) + "; if that is right, change url)"
}
