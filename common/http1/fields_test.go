package http1

import (
	"slices"
	"testing"
)

func TestHeader_findsFieldsWithoutCase(t *testing.T) {
	h := Header{{"Content-Type", "a"}, {"X-A", "1"}, {"x-a", "2"}, {"Empty", ""}}
	for _, row := range []struct {
		name, want string
		has        bool
	}{
		{"content-type", "a", true},
		{"CONTENT-TYPE", "a", true},
		{"X-A", "1", true},
		{"empty", "", true},
		{"X-B", "", false},
		{"", "", false},
		{"Content-Typ", "", false},
	} {
		if got := h.Get(row.name); got != row.want || h.Has(row.name) != row.has {
			t.Errorf("%q: got %q, has %v", row.name, got, h.Has(row.name))
		}
	}
}

func TestHeader_changes(t *testing.T) {
	for _, row := range []struct {
		name   string
		change func(h *Header)
		want   Header
	}{
		{"Add keeps what is there", func(h *Header) { h.Add("a", "3") }, Header{{"A", "1"}, {"B", "b"}, {"a", "2"}, {"a", "3"}}},
		{"Del removes every one", func(h *Header) { h.Del("A") }, Header{{"B", "b"}}},
		{"Del of what is not there", func(h *Header) { h.Del("C") }, Header{{"A", "1"}, {"B", "b"}, {"a", "2"}}},
		{"Set leaves one", func(h *Header) { h.Set("a", "4") }, Header{{"B", "b"}, {"a", "4"}}},
	} {
		t.Run(row.name, func(t *testing.T) {
			h := Header{{"A", "1"}, {"B", "b"}, {"a", "2"}}
			row.change(&h)
			if !slices.Equal(h, row.want) {
				t.Errorf("got %v, want %v", h, row.want)
			}
		})
	}
	var none Header
	none.Set("A", "1")
	if none.Get("a") != "1" {
		t.Error("the zero value takes no field")
	}
}

func TestHeader_tokensAreMembersOfEveryList(t *testing.T) {
	h := Header{{"Connection", "a, B ,\t,c"}, {"X", "no"}, {"connection", ""}, {"CONNECTION", ",d"}}
	if got := slices.Collect(h.Tokens("Connection")); !slices.Equal(got, []string{"a", "B", "c", "d"}) {
		t.Errorf("got %q", got)
	}
	for range h.Tokens("Connection") {
		break // the iterator must allow an early end
	}
	for token, want := range map[string]bool{"b": true, "D": true, "a, B": false, "no": false, "": false} {
		if h.HasToken("connection", token) != want {
			t.Errorf("%q: want %v", token, want)
		}
	}
}

// Some comparisons fold letters beyond ASCII into ASCII ones, and so find a name that
// the next reader does not (https://github.com/golang/go/issues/71988).
func TestSame_comparesASCIIOnly(t *testing.T) {
	for _, row := range []struct {
		a, b string
		same bool
	}{
		{"Host", "hOST", true},
		{"", "", true},
		{"a-z_1", "A-Z_1", true},
		{"Keep", "\u212aeep", false}, // the Kelvin sign
		{"chun\u212aed", "chun\u212aed", true},
		{"ä", "Ä", false},
		{"@", "`", false},
		{"[", "{", false},
		{"a", "aa", false},
	} {
		if Same(row.a, row.b) != row.same || Same(row.b, row.a) != row.same {
			t.Errorf("%q and %q: want %v", row.a, row.b, row.same)
		}
	}
}
