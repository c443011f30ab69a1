package plan

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"reflect"
	"slices"
	"strings"

	"github.com/lsm/fiso/common/config"
	"github.com/lsm/fiso/flow/spec"
)

// fingerprint returns a hash of the values, which does not depend on their place in the flow file.
// Of a secret from a file it hashes the path, not the content: the part that uses the secret reads
// a new content without a reload.
func fingerprint(values ...any) string {
	h := sha256.New()
	for _, v := range values {
		write(h, reflect.ValueOf(v))
	}
	return hex.EncodeToString(h.Sum(nil))
}

// fieldsWithReload returns the fields of a flow whose reload tag has this value: see spec.Flow.
func fieldsWithReload(f *spec.Flow, cost string) []any {
	return appendTagged(nil, reflect.ValueOf(f).Elem(), cost)
}

func appendTagged(values []any, v reflect.Value, cost string) []any {
	for i := range v.NumField() {
		field := v.Type().Field(i)
		switch tag, ok := field.Tag.Lookup("reload"); {
		case !field.IsExported():
		case tag == cost:
			values = append(values, v.Field(i).Interface())
		case !ok && field.Type.Kind() == reflect.Struct:
			values = appendTagged(values, v.Field(i), cost)
		}
	}
	return values
}

var (
	textType   = reflect.TypeFor[config.Text]()
	secretType = reflect.TypeFor[config.Secret]()
	rawType    = reflect.TypeFor[config.Raw]()
)

// write adds one value to the hash. Its output is delimited, so different values never give the
// same input.
func write(h hash.Hash, v reflect.Value) {
	if !v.IsValid() {
		fmt.Fprint(h, "nil;")
		return
	}
	switch v.Type() {
	case textType:
		text := v.Interface().(config.Text)
		fmt.Fprintf(h, "%q;", text.Value)
		return
	case secretType:
		writeSecret(h, v.Interface().(config.Secret))
		return
	case rawType:
		return // the decoded config is hashed instead
	}
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		write(h, v.Elem())
	case reflect.Struct:
		fmt.Fprintf(h, "%s{", v.Type())
		for i := range v.NumField() {
			if f := v.Type().Field(i); f.IsExported() {
				fmt.Fprintf(h, "%s=", f.Name)
				write(h, v.Field(i))
			}
		}
		fmt.Fprint(h, "}")
	case reflect.Slice, reflect.Array:
		fmt.Fprintf(h, "[%d:", v.Len())
		for i := range v.Len() {
			write(h, v.Index(i))
		}
		fmt.Fprint(h, "]")
	case reflect.Map:
		writeMap(h, v)
	default:
		fmt.Fprintf(h, "%q;", fmt.Sprint(v.Interface()))
	}
}

func writeMap(h hash.Hash, v reflect.Value) {
	keys := v.MapKeys()
	slices.SortFunc(keys, func(a, b reflect.Value) int {
		return strings.Compare(fmt.Sprint(a.Interface()), fmt.Sprint(b.Interface()))
	})
	fmt.Fprintf(h, "map[%d:", len(keys))
	for _, k := range keys {
		write(h, k)
		write(h, v.MapIndex(k))
	}
	fmt.Fprint(h, "]")
}

func writeSecret(h hash.Hash, s config.Secret) {
	if files := s.Files(); len(files) > 0 {
		fmt.Fprintf(h, "secret in %q;", files)
		return
	}
	value, err := s.Reveal()
	fmt.Fprintf(h, "secret %q %v;", value, err)
}
