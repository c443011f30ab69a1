package cloudevent

import (
	"strings"
	"testing"
	"time"
)

// U9: time is exactly RFC 3339; time.Parse accepts more.
func TestParseTime_isRFC3339(t *testing.T) {
	for in, want := range map[string]string{
		"2018-04-05T17:31:00Z":                "2018-04-05T17:31:00Z",
		"2018-04-05t17:31:00.5z":              "2018-04-05T17:31:00.5Z",
		"2018-04-05T17:31:00.123456789123Z":   "2018-04-05T17:31:00.123456789Z",
		"2018-04-05T17:31:00+23:59":           "2018-04-04T17:32:00Z",
		"2018-04-05T17:31:00-00:00":           "2018-04-05T17:31:00Z",
		"2016-12-31T23:59:60Z":                "2017-01-01T00:00:00Z",
		"2016-12-31T15:59:60.25-08:00":        "2017-01-01T00:00:00.25Z",
		"2024-02-29T00:00:00Z":                "2024-02-29T00:00:00Z",
		"0000-01-01T00:00:00Z":                "0000-01-01T00:00:00Z",
		"9999-12-31T23:59:59.999999999Z":      "9999-12-31T23:59:59.999999999Z",
		"2018-04-05T17:31:00,5Z":              "",
		"2018-04-05T8:31:00Z":                 "",
		"2018-04-05T08:31:0Z":                 "",
		"2018-04-05T17:31:00+24:00":           "",
		"2018-04-05T17:31:00+01:60":           "",
		"2018-04-05T17:31:00+0100":            "",
		"2018-04-05T17:31:00+01":              "",
		"2018-04-05T17:31:00 +01:00":          "",
		"2018-04-05T17:31:00":                 "",
		"2018-04-05T17:31:00.Z":               "",
		"2018-04-05T17:31Z":                   "",
		"2018-04-05 17:31:00Z":                "",
		"2018-04-05T24:00:00Z":                "",
		"2018-04-05T17:60:00Z":                "",
		"2018-04-05T22:59:60Z":                "",
		"2018-04-05T23:58:60Z":                "",
		"2018-04-05T23:59:61Z":                "",
		"2023-02-29T00:00:00Z":                "",
		"2018-04-31T00:00:00Z":                "",
		"2018-00-05T00:00:00Z":                "",
		"2018-13-05T00:00:00Z":                "",
		"2018-04-00T00:00:00Z":                "",
		"+2018-04-05T17:31:00Z":               "",
		"20180405T173100Z":                    "",
		"2018-04-05T17:31:00Zx":               "",
		"２018-04-05T17:31:00Z":                "",
		"2018-04-05T17:3\u0661:00Z":           "",
		"2018-04-05T17:31:00.5":               "",
		"":                                    "",
		"2018-04-05T17:31:00+a1:00":           "",
		"2018-04-05T-1:31:00Z":                "",
		"2018-04-05T17:31:00.1234567890a+0:0": "",
	} {
		got, ok := parseTime(in)
		if ok != (want != "") || ok && got.Format(time.RFC3339Nano) != want {
			t.Errorf("parseTime(%q) = %v, %v, want %q", in, got, ok, want)
		}
		if ok && got.Location() != time.UTC {
			t.Errorf("%q: in %v", in, got.Location())
		}
	}
}

// FuzzParseTime: the time package accepts an accepted time too, except leap seconds, and
// gives the same time.
func FuzzParseTime(f *testing.F) {
	for _, s := range []string{"2018-04-05T17:31:00Z", "2016-12-31T23:59:60Z", "2018-04-05t17:31:00.5+01:00", "2018-04-05T8:31:00,5+24:00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, ok := parseTime(s)
		if !ok {
			return
		}
		plain, leap := s, time.Duration(0)
		if s[17:19] == "60" {
			plain, leap = s[:17]+"59"+s[19:], time.Second
		}
		want, err := time.Parse(time.RFC3339Nano, strings.ToUpper(plain))
		if err != nil || !got.Equal(want.Add(leap)) {
			t.Errorf("%q: %v, want %v, %v", s, got, want.Add(leap), err)
		}
	})
}
