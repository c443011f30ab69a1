package config

import (
	"strings"
	"testing"
)

func TestRaw_JSONKeepsOrderAndDigits(t *testing.T) {
	var v struct {
		In  Raw `yaml:"in"`
		Out Raw `yaml:"out"`
	}
	file := `in:
  z: 18446744073709551615
  a: [1.50, 0x1F, 1_000, .5, yes, true, ~, "5", '${NOT_FOLLOWED}']
  nested: {k: {}, l: []}
  text: |
    two
    lines
`
	if err := Decode("f.yaml", []byte(file), &v); err != nil {
		t.Fatal(err)
	}
	got, err := v.In.JSON()
	if err != nil {
		t.Fatal(err)
	}
	want := `{"z":18446744073709551615,"a":[1.50,31,1000,0.5,"yes",true,null,"5","${NOT_FOLLOWED}"],"nested":{"k":{},"l":[]},"text":"two\nlines\n"}`
	if string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if got, err := v.Out.JSON(); err != nil || string(got) != "null" {
		t.Errorf("an absent part is %s (%v), not null", got, err)
	}
}

func TestRaw_JSONRefusesNumbersWithoutAForm(t *testing.T) {
	for _, bad := range []string{".inf", "-.inf", ".nan"} {
		for _, shape := range []string{"v: {x: %}", "v: [%]"} {
			var v struct {
				V Raw `yaml:"v"`
			}
			if err := Decode("f.yaml", []byte(strings.ReplaceAll(shape, "%", bad)), &v); err != nil {
				t.Fatal(err)
			}
			if _, err := v.V.JSON(); err == nil || !strings.Contains(err.Error(), "f.yaml:1:") || !strings.Contains(err.Error(), bad) {
				t.Errorf("%s in %s: %v", bad, shape, err)
			}
		}
	}
}
