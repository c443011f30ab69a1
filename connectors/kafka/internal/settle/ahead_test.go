package settle

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

var place = []byte("t-0")

func TestEncode_saysWhatIsDoneAndNothingElse(t *testing.T) {
	every := func(n int) (runs []Run) {
		for i := range int64(n) {
			runs = append(runs, Run{101 + 2*i, 102 + 2*i, 3})
		}
		return runs
	}
	for name, tc := range map[string]struct {
		runs    []Run
		longest int // most characters of the text
	}{
		"nothing":                  {},
		"one record":               {[]Run{{101, 102, 0}}, 14},
		"all but the head":         {[]Run{{101, 1101, 7}}, 15},
		"every second of 1024":     {every(512), 190},
		"several leader epochs":    {[]Run{{101, 105, 1}, {105, 110, 2}, {200, 300, 9}}, 24},
		"far from the watermark":   {[]Run{{1 << 40, 1<<40 + 3, 1}, {1 << 50, 1<<50 + 1, 1}}, 40},
		"the last offset there is": {[]Run{{math.MaxInt64 - 1, math.MaxInt64, math.MaxInt32}}, 40},
	} {
		t.Run(name, func(t *testing.T) {
			text := Encode(100, place, tc.runs, 2800)
			if len(text) > tc.longest {
				t.Errorf("%d characters, want %d at most", len(text), tc.longest)
			}
			if got := Decode(text, 100, place); !slices.Equal(got, tc.runs) {
				t.Errorf("came back as %v, want %v", got, tc.runs)
			}
		})
	}
}

func TestEncode_leavesOutTheFarthestRuns(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for name, one := range map[string]func(at int64) Run{
		"dense":                     func(at int64) Run { return Run{at, at + 1, 1} },
		"sparse":                    func(at int64) Run { from := at + r.Int64N(1e6); return Run{from, from + 1 + r.Int64N(100), 1} },
		"leader epochs without end": func(at int64) Run { return Run{at, at + 1, int32(at)} },
	} {
		t.Run(name, func(t *testing.T) {
			var runs []Run
			at := int64(101)
			for range 20_000 {
				runs = append(runs, one(at))
				at = runs[len(runs)-1].To + 1
			}
			for _, limit := range []int{0, 1, 10, 50, 60, 100, 1000, 2800} {
				text := Encode(100, place, runs, limit)
				if len(text) > limit {
					t.Errorf("%d characters, the limit is %d", len(text), limit)
				}
				got := Decode(text, 100, place)
				if !slices.Equal(got, runs[:len(got)]) {
					t.Errorf("limit %d: not the runs nearest to the watermark", limit)
				}
				if limit >= 100 && len(got) == 0 {
					t.Errorf("limit %d: nothing was written", limit)
				}
			}
		})
	}
}

func TestDecode_ignoresWhatIsNotItsOwn(t *testing.T) {
	text := Encode(100, place, []Run{{101, 200, 1}, {300, 400, 1}}, 2800)
	for name, tc := range map[string]struct {
		text      string
		watermark int64
		place     string
	}{
		"another offset":        {text, 101, "t-0"},
		"another place":         {text, 100, "t-1"},
		"a negative offset":     {text, -1, "t-0"},
		"nothing":               {"", 100, "t-0"},
		"no base64":             {"first=5!", 100, "t-0"},
		"cut short":             {text[:len(text)-1], 100, "t-0"},
		"longer":                {text + "AAAA", 100, "t-0"},
		"one character changed": {strings.Replace(text, text[9:10], string(text[9]^1), 1), 100, "t-0"},
		"another version":       {"Ag" + text[2:], 100, "t-0"},
		"a head and no more":    {text[:7], 100, "t-0"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := Decode(tc.text, tc.watermark, []byte(tc.place)); got != nil {
				t.Errorf("took %v from it", got)
			}
		})
	}
	if Decode(text, 100, place) == nil {
		t.Error("the text itself is not taken either")
	}
}

func TestEncode_comesBackAsItWas(t *testing.T) {
	for seed := range uint64(2000) {
		r := rand.New(rand.NewPCG(seed, 7))
		runs, at, epoch := []Run(nil), int64(100), int32(0)
		for range r.IntN(300) {
			at += 1 + r.Int64N(1<<r.IntN(20))
			to := at + 1 + r.Int64N(1<<r.IntN(12))
			if r.IntN(20) == 0 {
				epoch = r.Int32()
			}
			runs = append(runs, Run{at, to, epoch})
			at = to
		}
		limit := r.IntN(3000)
		got := Decode(Encode(100, place, runs, limit), 100, place)
		if limit >= 2900 && !slices.Equal(got, runs) {
			t.Fatalf("seed %d: %d runs of %d came back", seed, len(got), len(runs))
		}
		for i, g := range got { // the last run may be shortened
			if w := runs[i]; g != w && (i != len(got)-1 || g.From != w.From || g.To > w.To || g.Epoch != w.Epoch) {
				t.Fatalf("seed %d: run %d came back as %v, want %v", seed, i, g, w)
			}
		}
	}
}

func TestMerge_isWhatEitherSays(t *testing.T) {
	for name, tc := range map[string]struct{ a, b, want []Run }{
		"nothing":                    {},
		"one side":                   {[]Run{{1, 3, 0}}, nil, []Run{{1, 3, 0}}},
		"side by side":               {[]Run{{1, 3, 0}, {8, 9, 0}}, []Run{{3, 5, 0}}, []Run{{1, 5, 0}, {8, 9, 0}}},
		"overlapping":                {[]Run{{1, 5, 0}, {7, 9, 0}}, []Run{{3, 8, 0}}, []Run{{1, 9, 0}}},
		"one within the other":       {[]Run{{1, 9, 0}}, []Run{{3, 5, 0}}, []Run{{1, 9, 0}}},
		"of several epochs":          {[]Run{{1, 3, 1}}, []Run{{3, 5, 2}}, []Run{{1, 3, 1}, {3, 5, 2}}},
		"written anew, the later is": {[]Run{{1, 9, 1}}, []Run{{3, 5, 2}}, []Run{{1, 3, 1}, {3, 5, 2}, {5, 9, 1}}},
	} {
		t.Run(name, func(t *testing.T) {
			for _, got := range [][]Run{Merge(tc.a, tc.b), Merge(tc.b, tc.a)} {
				if !slices.Equal(got, tc.want) {
					t.Errorf("%v, want %v", got, tc.want)
				}
			}
		})
	}
}

func TestMerge_changesNeither(t *testing.T) {
	a, b := []Run{{1, 9, 1}}, []Run{{3, 5, 2}, {6, 12, 1}}
	wantA, wantB := slices.Clone(a), slices.Clone(b)
	Merge(a, b)
	if !slices.Equal(a, wantA) || !slices.Equal(b, wantB) {
		t.Errorf("left %v and %v", a, b)
	}
}

// Other tools write metadata too, and a broker may send any text.
func FuzzDecode(f *testing.F) {
	f.Add([]byte{1, 100, 99<<1 | formRuns}, int64(0))
	f.Add([]byte{5, 0, 2<<1 | formBits, 0xff, 0x01}, int64(7))
	f.Add([]byte("consumer-1-8f2d"), int64(math.MaxInt64))
	f.Fuzz(func(t *testing.T, in []byte, watermark int64) {
		if got := Decode(string(in), watermark, place); got != nil {
			t.Errorf("took %v from what it did not write", got)
		}
		// With a matching checksum, the runs are in order and above the watermark,
		// whatever the text says.
		at := watermark
		for _, r := range Decode(seal(append(make([]byte, headBytes), in...), watermark, place), watermark, place) {
			if r.From < at || r.To <= r.From || r.Epoch < 0 {
				t.Fatalf("run %v after %d", r, at)
			}
			at = r.To
		}
	})
}
