package config

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// structure decodes a mapping into a struct and checks it.
func (d *decoder) structure(n *node, v reflect.Value, path string) {
	if n.kind != mapping {
		if mayHoldCredential(v.Type()) || path == "" {
			d.hideAll(n)
		}
		d.wrongType(n, path, "a mapping", plainSentence("write its keys below, each on its own line"))
		return
	}
	d.scopes = append(slices.Clone(d.scopes), scope{v.Type(), path})
	known := fields(v.Type())
	for i, p := range n.pairs {
		if !slices.ContainsFunc(known, func(f field) bool { return f.key == p.key.text }) {
			d.reportUnknownKey(n, i, path)
		}
	}
	for _, p := range n.faulty {
		i := slices.IndexFunc(known, func(f field) bool { return f.key == p.key.text })
		if i < 0 || mayHoldCredential(known[i].typ) || known[i].secret {
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
		if p := n.pair(f.key); p != nil && (f.secret || mayHoldCredential(f.typ)) {
			d.hideAll(p.value)
		}
		if p := n.pair(f.key); p != nil && f.typ == textType {
			d.emptyText(p.key, key, writeOrRemove)
			v.Set(reflect.ValueOf(Text{from: &origin{d.src, p.value, key}}))
			return
		}
		if f.required && !d.guessed[key] {
			at, span := d.missing(n, path, f.key)
			d.failAt(CodeMissingKey, at, span, key, inPart(path, newSentence("missing key %q", keyName(f.key))), plainSentence(f.doc))
		}
		if v.Type() == rawType {
			at, _ := d.missing(n, path, f.key)
			v.Set(reflect.ValueOf(Raw{&raw{file: d.sharedState, at: at, path: key, scopes: d.scopes}}))
		}
		return
	}
	if f.secret {
		d.hideSecrets(value, f.typ, f.enum)
	}
	before := len(d.errs)
	d.value(value, v, key)
	if len(d.errs) > before {
		return
	}
	if v.Kind() == reflect.String && !f.blanks && !hasOwnRules(v.Type()) {
		v.SetString(strings.TrimSpace(v.String()))
	}
	if f.file && v.Kind() == reflect.String && !isPath(v.String()) {
		d.hideAll(value)
		d.badValue(value, key, plainSentence("this is not the path of a file"), plainSentence("put the text into a file, and write that file's path"))
		return
	}
	d.enum(value, v, f, key)
}

// isPath reports whether a text can be a path. By mistake, people write the text of a key or a
// certificate in its place.
func isPath(text string) bool {
	return len(text) < maxPath && !strings.ContainsAny(text, "\n\r\x00") && !pemText.MatchString(text)
}

// maxPath is the length limit of a path, as in Linux.
const maxPath = 4096

// inPart adds the part of the file to a sentence.
func inPart(path string, w sentence) sentence {
	if path == "" {
		return w
	}
	return newSentence(w.format+" in %s", append(w.args, keyName(path))...)
}

// missing returns where an absent key of a mapping is reported: at the key if it is there without a
// value, or at the mapping.
func (d *decoder) missing(n *node, path, key string) (position, int) {
	if p := n.pair(key); p != nil {
		return p.key.at, p.key.span()
	}
	if n.owner != nil {
		return n.owner.at, n.owner.span()
	}
	return n.at, 1
}

// enum checks a text, or each text of a list, against the allowed values of its tag.
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
		d.badValue(nodes[i], path, newSentence("unknown value %s", shownText{nodes[i], value}), plainSentence(hint))
	}
}

// validate calls Validate of the structs inlined in v, and then that of v.
func (d *decoder) validate(n *node, v reflect.Value, path string) {
	for i := range v.NumField() {
		if strings.HasSuffix(v.Type().Field(i).Tag.Get("yaml"), ",inline") {
			d.validate(n, v.Field(i), path)
		}
	}
	if !v.Addr().CanInterface() {
		return // an unexported type: its owner calls or promotes Validate
	}
	validator, ok := v.Addr().Interface().(interface{ Validate() error })
	if !ok {
		return
	}
	before := d.errs
	for _, err := range flatten(validator.Validate()) {
		d.addValidateFault(n, v.Type(), path, err, before)
	}
}

// addValidateFault reports one fault of Validate of a struct of type t at its key, unless an earlier error is at the same key
// and closer to the cause.
func (d *decoder) addValidateFault(n *node, t reflect.Type, path string, err error, before Errors) {
	var positioned *Error
	if errors.As(err, &positioned) {
		d.errs = append(d.errs, positioned)
		return
	}
	f := &fault{code: CodeBadValue, message: newSentence("%s", err.Error())}
	errors.As(err, &f)
	key := under(path, f.key)
	if !isSchemaPath(t, f.key) {
		key = under(path, d.src.visiblePath(f.key))
	}
	if d.hasErrorAt(key, before) {
		return
	}
	place, span := n.at, 1
	if n.owner != nil {
		place, span = n.owner.at, n.owner.span()
	}
	place, span = locate(n, place, span, f.key)
	d.failAt(f.code, place, span, key, atPath(key, f.message), f.hint)
}

// isSchemaPath reports whether a path below a struct has keys of the schema and indices only, and no
// key of a map, which is a text of the file.
func isSchemaPath(t reflect.Type, path string) bool {
	for path != "" {
		var step string
		step, path = nextStep(path)
		for t.Kind() == reflect.Pointer {
			t = t.Elem()
		}
		if _, err := strconv.Atoi(step); err == nil && t.Kind() == reflect.Slice {
			t = t.Elem()
			continue
		}
		if t = nested(t); t == nil {
			return false
		}
		f := fieldOf(t, step)
		if f == nil {
			return false
		}
		t = f.typ
	}
	return true
}

// hasErrorAt reports whether there is an error at a key, or at one above or below it.
func (d *decoder) hasErrorAt(key string, errs Errors) bool {
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
		return e.Key == key || isUnder(e.Key, key) || isUnder(key, e.Key)
	})
}

// isUnder reports whether the path child is below parent.
func isUnder(child, parent string) bool {
	rest, ok := strings.CutPrefix(child, parent)
	return ok && rest != "" && (rest[0] == '.' || rest[0] == '[')
}
