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
		d.wrong(n, path, "a mapping", "write its keys below, each on its own line")
		return
	}
	d.scopes = append(slices.Clone(d.scopes), scope{v.Type(), path})
	known := fields(v.Type())
	for _, p := range n.pairs {
		if !slices.ContainsFunc(known, func(f field) bool { return f.key == p.key.text }) {
			d.unknown(p, path)
		}
	}
	for _, p := range n.again {
		if slices.ContainsFunc(known, func(f field) bool { return f.key == p.key.text && f.typ == secretType }) {
			d.src.hide(p.value)
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
		if f.required && !d.guessed[key] {
			at, span := d.missing(n, path, f.key)
			message := fmt.Sprintf("missing key %q", f.key)
			if path != "" {
				message += " in " + path
			}
			d.failAt(CodeMissingKey, at, span, key, message, f.doc)
		}
		if v.Type() == rawType {
			at, _ := d.missing(n, path, f.key)
			v.Set(reflect.ValueOf(Raw{&raw{file: d.file, at: at, path: key, scopes: d.scopes}}))
		}
		return
	}
	if f.secret {
		d.hideMisplaced(value, nested(f.typ))
	}
	before := len(d.errs)
	d.value(value, v, key)
	if len(d.errs) == before {
		d.enum(value, v, f, key)
	}
}

// hideMisplaced hides what stands where a reference to a secret is due, and what
// stands in one under a key of its own: it may well be the secret.
func (d *decoder) hideMisplaced(n *node, t reflect.Type) {
	switch n.kind {
	case null:
	case mapping:
		known := keys(fields(t))
		for _, p := range n.pairs {
			if !slices.Contains(known, p.key.text) {
				d.hideMisplaced(p.value, t)
			}
		}
	case sequence:
		for _, item := range n.items {
			d.hideMisplaced(item, t)
		}
	default:
		d.src.hide(n)
	}
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
		d.bad(nodes[i], path, "unknown value "+quote(value), hint)
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
	f := &fault{code: CodeBadValue, message: err.Error()}
	errors.As(err, &f)
	key := under(path, f.key)
	if d.known(key, before) {
		return
	}
	at, span := n.at, 1
	if n.owner != nil {
		at, span = n.owner.at, n.owner.span()
	}
	at, span = locate(n, at, span, f.key)
	message := f.message
	if key != "" {
		message = key + ": " + message
	}
	d.failAt(f.code, at, span, key, message, f.hint)
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
