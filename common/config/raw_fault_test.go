package config

import (
	"strings"
	"testing"
)

// U4: a conflict between two parts of a file is reported at one of them.
func TestRawFault_pointsAtItsKey(t *testing.T) {
	var v struct {
		Source struct {
			Config Raw `yaml:"config"`
		} `yaml:"source"`
		Other Raw `yaml:"other"`
	}
	const file = "source:\n  config: {topics: [a, bc], topic: t}\n"
	if err := Decode("f.yaml", []byte(file), &v); err != nil {
		t.Fatal(err)
	}
	if got := v.Source.Config.Fault("topic", "is odd").Error(); strings.Contains(got, "bc") {
		t.Errorf("what nobody has decoded may be a secret, and is shown: %s", got)
	}
	var settings struct {
		Topics []string `yaml:"topics"`
		Topic  string   `yaml:"topic"`
	}
	if err := v.Source.Config.Decode(&settings); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		raw       Raw
		key, want string
	}{
		"a key":       {v.Source.Config, "topic", "f.yaml:2:36: source.config.topic: is read by a\n  2 |   config: {topics: [a, bc], topic: t}\n    |                                    ^"},
		"an element":  {v.Source.Config, "topics[1]", "f.yaml:2:24: source.config.topics[1]: is read by a\n  2 |   config: {topics: [a, bc], topic: t}\n    |                        ^^"},
		"no such key": {v.Source.Config, "group", "f.yaml:2:11: source.config.group: is read by a\n  2 |   config: {topics: [a, bc], topic: t}\n    |           ^"},
		"the part":    {v.Source.Config, "", "f.yaml:2:11: source.config: is read by a\n  2 |   config: {topics: [a, bc], topic: t}\n    |           ^"},
		"no file":     {Raw{}, "topic", "topic: is read by a"},
	} {
		t.Run(name, func(t *testing.T) {
			err := tc.raw.Fault(tc.key, "is read by %s", "a")
			if err.Error() != tc.want || err.Code != CodeBadValue {
				t.Errorf("%s: got\n%v\nwant\n%s", err.Code, err, tc.want)
			}
		})
	}
	if got := v.Other.Fault("x", "is odd"); got.Key != "other.x" || got.Message != "other.x: is odd" {
		t.Errorf("an absent part: %+v", got)
	}
}
