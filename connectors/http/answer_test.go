package http

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"
)

func TestParseRetryAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := time.Now()
		for _, row := range []struct {
			in   string
			want time.Duration
		}{
			{"", 0},
			{"0", 0},
			{" 12 ", 12 * time.Second},
			{"86400", 24 * time.Hour},
			{"604801", 7 * 24 * time.Hour},
			{"99999999999999999999999", 7 * 24 * time.Hour},
			{"-5", 0},
			{"1.5", 0},
			{"soon", 0},
			{now.Add(90 * time.Second).UTC().Format("Mon, 02 Jan 2006 15:04:05 GMT"), 90 * time.Second},
			{now.Add(90 * time.Second).UTC().Format(time.ANSIC), 90 * time.Second},
			{now.Add(-time.Minute).UTC().Format("Mon, 02 Jan 2006 15:04:05 GMT"), 0},
			{"Fri, 31 Dec 9999 23:59:59 GMT", 7 * 24 * time.Hour},
		} {
			if got := parseRetryAfter(row.in); got != row.want {
				t.Errorf("%q is %v; want %v", row.in, got, row.want)
			}
		}
	})
}

func FuzzSnippet(f *testing.F) {
	f.Add([]byte("a\r\nb\xff€"))
	f.Fuzz(func(t *testing.T, b []byte) {
		s := snippet(b)
		if len(s) > maxSnippet+len("…") || !utf8.ValidString(s) || strings.ContainsAny(s, "\r\n\x1b\x00") {
			t.Errorf("%q became %q", b, s)
		}
	})
}

func TestRedirectDetail(t *testing.T) {
	for in, want := range map[string]string{
		"":                              "a redirect is neither delivered nor followed",
		"/login?token=x":                "a redirect is neither delivered nor followed",
		"http://[":                      "a redirect is neither delivered nor followed",
		"https://u:p@other:1/x?token=1": "a redirect is neither delivered nor followed (it points to host other:1; if that is right, change url)",
	} {
		if got := redirectDetail(in); got != want {
			t.Errorf("%q: %q; want %q", in, got, want)
		}
	}
}

func TestVerdicts_knowAnyNumber(t *testing.T) {
	table, err := newVerdicts(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	for status, want := range map[int]statusVerdict{-1: temporary, 0: temporary, 42: temporary, 100: permanent, 200: delivered, 299: delivered, 300: permanent, 499: permanent, 599: temporary, 600: temporary, 1 << 30: temporary} {
		if got := table.of(status); got != want {
			t.Errorf("%d is %d; want %d", status, got, want)
		}
	}
}
