package config

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// structure decodes a mapping into a struct and checks it.
func (d *decoder) structure(n *node, v reflect.Value, path string) {
	if n.kind != mapping {
		if bears(v.Type()) || path == "" {
			d.hideAll(n)
		}
		d.wrong(n, path, "a mapping", plainly("write its keys below, each on its own line"))
		return
	}
	d.scopes = append(slices.Clone(d.scopes), scope{v.Type(), path})
	known := fields(v.Type())
	for i, p := range n.pairs {
		if !slices.ContainsFunc(known, func(f field) bool { return f.key == p.key.text }) {
			d.unknown(n, i, path)
		}
	}
	for _, p := range n.again {
		i := slices.IndexFunc(known, func(f field) bool { return f.key == p.key.text })
		if i < 0 || bears(known[i].typ) || known[i].secret {
			d.hideAll(p.value)
		}
	}
	for _, f := range known {
		d.field(n, v.FieldByIndex(f.index), f, path)
	}
	d.validate(n, v, path)
	d.scopes = d.scopes[:len(d.scopes)-1]
}

func (d *decoder) field(n *node, v reflect.Value, f field, path string) {
	key := under(path, f.key)
	value := n.get(f.key)
	if value == nil {
		if p := n.pair(f.key); p != nil && (f.secret || bears(f.typ)) {
			d.hideAll(p.value)
		}
		if f.required && !d.guessed[key] {
			at, span := d.missing(n, path, f.key)
			d.failAt(CodeMissingKey, at, span, key, inside(path, say("missing key %q", keyName(f.key))), plainly(f.doc))
		}
		if v.Type() == rawType {
			at, _ := d.missing(n, path, f.key)
			v.Set(reflect.ValueOf(Raw{&raw{file: d.file, at: at, path: key, scopes: d.scopes}}))
		}
		return
	}
	if f.secret {
		d.close(value, f.typ, f.enum)
	}
	before := len(d.errs)
	d.value(value, v, key)
	if len(d.errs) > before {
		return
	}
	if v.Kind() == reflect.String && !f.blanks && !special(v.Type()) {
		v.SetString(strings.TrimSpace(v.String()))
	}
	if f.file && v.Kind() == reflect.String && !isPath(v.String()) {
		d.hideAll(value)
		d.bad(value, key, plainly("this is no path of a file"), plainly("put the text into a file, and write that file's path"))
		return
	}
	d.enum(value, v, f, key)
}

// isPath reports whether a text can be a path: people write the text of a key or
// a certificate in its stead.
func isPath(text string) bool {
	return len(text) < maxPath && !strings.ContainsAny(text, "\n\r\x00") && !pemText.MatchString(text)
}

// maxPath is how long a path may be, as Linux has it.
const maxPath = 4096

// inside says in which part of the file a fault is.
func inside(path string, w words) words {
	if path == "" {
		return w
	}
	return say(w.format+" in %s", append(w.args, keyName(path))...)
}

// missing is where an absent key of a mapping is reported: at the key, when
// it stands there without a value, or at the mapping.
func (d *decoder) missing(n *node, path, key string) (place, int) {
	if p := n.pair(key); p != nil {
		return p.key.at, p.key.span()
	}
	if n.owner != nil {
		return n.owner.at, n.owner.span()
	}
	return n.at, 1
}

// enum checks a text, or each of a list, against the values its tag allows.
func (d *decoder) enum(n *node, v reflect.Value, f field, path string) {
	if len(f.enum) == 0 {
		return
	}
	for v.Kind() == reflect.Pointer {
		v = v.Elem()
	}
	values := []string{fmt.Sprint(v.Interface())}
	nodes := []*node{n}
	if v.Kind() == reflect.Slice {
		values, nodes = nil, nil
		for i := range v.Len() {
			values = append(values, fmt.Sprint(v.Index(i).Interface()))
			item := n
			if n.kind == sequence {
				item = n.items[i]
			}
			nodes = append(nodes, item)
		}
	}
	for i, value := range values {
		if slices.Contains(f.enum, value) {
			continue
		}
		hint := "write one of: " + strings.Join(f.enum, ", ")
		if near := nearest(value, f.enum); near != "" {
			hint = fmt.Sprintf("did you mean %q? (%s)", near, strings.Join(f.enum, ", "))
		}
		d.bad(nodes[i], path, say("unknown value %s", content{nodes[i], value}), plainly(hint))
	}
}

// validate calls Validate of the structs inlined in v, and of v.
func (d *decoder) validate(n *node, v reflect.Value, path string) {
	for i := range v.NumField() {
		if strings.HasSuffix(v.Type().Field(i).Tag.Get("yaml"), ",inline") {
			d.validate(n, v.Field(i), path)
		}
	}
	if !v.Addr().CanInterface() {
		return // of an unexported type: its owner calls it, or has it promoted
	}
	validator, ok := v.Addr().Interface().(interface{ Validate() error })
	if !ok {
		return
	}
	before := d.errs
	for _, err := range flatten(validator.Validate()) {
		d.invalid(n, path, err, before)
	}
}

// invalid turns one fault of Validate into an error at the key it names,
// unless the errors before say as much, and closer to the cause.
func (d *decoder) invalid(n *node, path string, err error, before Errors) {
	var positioned *Error
	if errors.As(err, &positioned) {
		d.errs = append(d.errs, positioned)
		return
	}
	f := &fault{code: CodeBadValue, said: say("%s", err.Error())}
	errors.As(err, &f)
	key := under(path, d.src.path(f.key))
	if d.known(key, before) {
		return
	}
	place, span := n.at, 1
	if n.owner != nil {
		place, span = n.owner.at, n.owner.span()
	}
	place, span = locate(n, place, span, f.key)
	d.failAt(f.code, place, span, key, at(key, f.said), f.hinted)
}

// known reports whether a key, one above or one below it has an error.
func (d *decoder) known(key string, errs Errors) bool {
	if key == "" {
		return false
	}
	if d.guessed[key] {
		return true
	}
	return slices.ContainsFunc(errs, func(e *Error) bool {
		if e.Key == "" || e.Code == CodeUnknownKey {
			return false
		}
		return e.Key == key || below(e.Key, key) || below(key, e.Key)
	})
}

// below reports whether the path child is under parent.
func below(child, parent string) bool {
	rest, ok := strings.CutPrefix(child, parent)
	return ok && rest != "" && (rest[0] == '.' || rest[0] == '[')
}
