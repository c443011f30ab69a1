package supervisor

import (
	"maps"
	"slices"
	"testing"
)

func TestSettleNames_givesEachNameOneFile(t *testing.T) {
	for _, tc := range []struct {
		name    string
		claims  []claim
		owner   map[string]string
		refused map[string]string
		moved   []string
	}{
		{name: "no file"},
		{
			name:   "different names",
			claims: []claim{{path: "a", held: "x"}, {path: "b", wanted: "y"}},
			owner:  map[string]string{"x": "a", "y": "b"},
		},
		{
			name:   "a file that was never valid claims nothing",
			claims: []claim{{path: "a"}, {path: "b", held: "x"}},
			owner:  map[string]string{"x": "b"},
		},
		{
			name:    "of two new files the first path has the name",
			claims:  []claim{{path: "b", wanted: "x"}, {path: "a", wanted: "x"}},
			owner:   map[string]string{"x": "a"},
			refused: map[string]string{"b": "a"},
		},
		{
			name:    "a file that holds the name keeps it, whatever the order of paths",
			claims:  []claim{{path: "a", wanted: "x"}, {path: "b", held: "x"}, {path: "c", held: "y", wanted: "x"}},
			owner:   map[string]string{"x": "b", "y": "c"},
			refused: map[string]string{"a": "b", "c": "b"},
		},
		{
			name:   "a new content under the name that is held",
			claims: []claim{{path: "a", held: "x", wanted: "x"}},
			owner:  map[string]string{"x": "a"},
		},
		{
			name:   "two files exchange their names",
			claims: []claim{{path: "a", held: "x", wanted: "y"}, {path: "b", held: "y", wanted: "x"}},
			owner:  map[string]string{"y": "a", "x": "b"},
		},
		{
			name:   "a name that is given up goes to the file that wants it",
			claims: []claim{{path: "a", wanted: "x"}, {path: "b", held: "x", wanted: "y"}},
			owner:  map[string]string{"x": "a", "y": "b"},
		},
		{
			name:    "a refused file takes its old name back from the one that was to have it",
			claims:  []claim{{path: "a", held: "x", wanted: "y"}, {path: "b", held: "y"}, {path: "c", wanted: "x"}},
			owner:   map[string]string{"x": "a", "y": "b"},
			refused: map[string]string{"a": "b", "c": "a"},
		},
		{
			name:   "an absent file loses its name: the flow was moved",
			claims: []claim{{path: "a", held: "x", absent: true}, {path: "b", wanted: "x"}},
			owner:  map[string]string{"x": "b"},
			moved:  []string{"a"},
		},
		{
			name:   "an absent file keeps a name that nobody else wants",
			claims: []claim{{path: "a", held: "x", absent: true}},
			owner:  map[string]string{"x": "a"},
		},
		{
			name:    "an absent file with a new content keeps its name",
			claims:  []claim{{path: "a", held: "x", wanted: "x", absent: true}, {path: "b", wanted: "x"}},
			owner:   map[string]string{"x": "a"},
			refused: map[string]string{"b": "a"},
		},
		{
			name:    "only one file takes over from an absent one",
			claims:  []claim{{path: "a", held: "x", absent: true}, {path: "b", wanted: "x"}, {path: "c", wanted: "x"}},
			owner:   map[string]string{"x": "b"},
			refused: map[string]string{"c": "b"},
			moved:   []string{"a"},
		},
		{
			name:   "two files that hold one name: the first path",
			claims: []claim{{path: "a", held: "x"}, {path: "b", held: "x"}},
			owner:  map[string]string{"x": "a"},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			before := slices.Clone(tc.claims)
			got := settleNames(tc.claims)
			owner := map[string]string{}
			for name, c := range got.owner {
				owner[name] = c.path
			}
			if !maps.Equal(owner, tc.owner) || !maps.Equal(got.refused, tc.refused) || !slices.Equal(got.moved, tc.moved) {
				t.Errorf("owners %v, refused %v, moved %v", owner, got.refused, got.moved)
			}
			if !slices.Equal(before, tc.claims) {
				t.Errorf("the claims were changed: %v", tc.claims)
			}
		})
	}
}
