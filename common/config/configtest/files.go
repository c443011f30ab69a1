package configtest

import (
	"reflect"
	"slices"
	"strings"
)

// FileKeys returns the keys that name files in a configuration of v's type, in order: those tagged
// file:"true", such as tls.caFile or targets[].tls.caFile. Secrets follow their files without help and are
// left out.
func FileKeys(v any) []string {
	var keys []string
	walkFiles(reflect.TypeOf(v), "", nil, &keys)
	slices.Sort(keys)
	return slices.Compact(keys)
}

func walkFiles(t reflect.Type, at string, within []reflect.Type, keys *[]string) {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch t.Kind() {
	case reflect.Slice, reflect.Map:
		walkFiles(t.Elem(), at+"[]", within, keys)
		return
	case reflect.Struct:
	default:
		return
	}
	if slices.Contains(within, t) {
		return
	}
	within = append(slices.Clone(within), t)
	for f := range t.Fields() {
		name, inline, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		key := at
		switch {
		case !f.IsExported() || name == "-":
			continue
		case name != "":
			key = strings.TrimPrefix(at+"."+name, ".")
		case !f.Anonymous && inline != "inline":
			continue
		}
		if f.Tag.Get("file") == "true" {
			*keys = append(*keys, key)
			continue
		}
		walkFiles(f.Type, key, within, keys)
	}
}
