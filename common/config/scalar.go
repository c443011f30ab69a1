package config

import (
	"encoding"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// scalar decodes a string, a number or a truth value.
func (d *decoder) scalar(n *node, v reflect.Value, path string) {
	switch v.Kind() {
	case reflect.String:
		if text, ok := d.text(n, path, "text"); ok {
			v.SetString(text)
		}
	case reflect.Bool:
		if text, ok := d.unquoted(n, path, "true or false", boolKind); ok {
			b, err := strconv.ParseBool(strings.ToLower(text))
			d.check(n, path, err == nil, newSentence("%s is neither true nor false", shownText{n, text}))
			v.SetBool(b)
		}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		if text, ok := d.unquoted(n, path, "a whole number", intKind); ok {
			i, err := strconv.ParseInt(text, 0, v.Type().Bits())
			d.check(n, path, err == nil, newSentence("%s is not a whole number from %d to %d", shownText{n, text},
				int64(-1)<<(v.Type().Bits()-1), int64(1)<<(v.Type().Bits()-1)-1))
			v.SetInt(i)
		}
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		if text, ok := d.unquoted(n, path, "a whole number, 0 or more", intKind); ok {
			i, err := strconv.ParseUint(strings.TrimPrefix(text, "+"), 0, v.Type().Bits())
			d.check(n, path, err == nil, newSentence("%s is not a whole number from 0 to %d", shownText{n, text}, uint64(1)<<v.Type().Bits()-1))
			v.SetUint(i)
		}
	case reflect.Float32, reflect.Float64:
		if text, ok := d.unquoted(n, path, "a number", intKind, floatKind); ok {
			f, err := number(text)
			d.check(n, path, err == nil, newSentence("%s is not a number that fits", shownText{n, text}))
			v.SetFloat(f)
		}
	default:
		d.badValue(n, path, newSentence("a %s cannot be set from a file", keyName(v.Type().String())), sentence{})
	}
}

func (d *decoder) check(n *node, path string, ok bool, message sentence) {
	if !ok {
		d.badValue(n, path, message, sentence{})
	}
}

// number parses a float as YAML writes it. Infinities and NaN are not allowed.
func number(text string) (float64, error) {
	if i, err := strconv.ParseInt(text, 0, 64); err == nil {
		return float64(i), nil
	}
	f, err := strconv.ParseFloat(strings.ReplaceAll(text, "_", ""), 64)
	if err == nil && (f != f || f-f != 0) {
		err = strconv.ErrRange
	}
	return f, err
}

// text returns the value of a scalar if text is expected.
func (d *decoder) text(n *node, path, expected string) (string, bool) {
	switch {
	case n.kind == stringKind:
		text, ok := d.expand(n, path)
		d.src.hideExpanded(n, text)
		return text, ok
	case n.kind == mapping && d.interpolate && n.pair("secretRef") != nil:
		return d.textOfSecretRef(n, path)
	case !n.scalar():
		d.wrongType(n, path, expected, sentence{})
	default:
		d.wrongType(n, path, expected, newSentence("put it in quotes%s", quotedText{n}))
	}
	return "", false
}

// unquoted returns the value of a scalar if something other than text is expected. Text is allowed
// only if a reference such as ${PORT} inserted it.
func (d *decoder) unquoted(n *node, path, expected string, kinds ...kind) (string, bool) {
	for _, k := range kinds {
		if n.kind == k {
			return n.text, true
		}
	}
	if n.kind == stringKind && d.refers(n) {
		return d.expand(n, path)
	}
	hint := ""
	if n.kind == stringKind {
		root, faults, _ := parse(n.text)
		switch {
		case n.style == plain || len(faults) > 0 || root == nil:
		case root.kind == kinds[0] || root.kind == kinds[len(kinds)-1]:
			hint = "remove the quotes"
		}
		if kinds[0] == boolKind && hint == "" {
			hint = "write true or false"
		}
	}
	d.wrongType(n, path, expected, plainSentence(hint))
	return "", false
}

func (d *decoder) special(n *node, v reflect.Value, path string) {
	switch v.Type() {
	case secretType:
		v.Set(reflect.ValueOf(d.secret(n, path)))
	case textType:
		v.Set(reflect.ValueOf(d.celText(n, path)))
	case fieldsType:
		v.Set(reflect.ValueOf(d.celFields(n, path)))
	case stringsType:
		v.Set(reflect.ValueOf(d.list(n, path)))
	case bytesType:
		d.size(n, v, path)
	case durationType:
		d.duration(n, v, path)
	case timeType:
		d.time(n, v, path)
	default:
		d.unmarshal(n, v, path)
	}
}

func (d *decoder) size(n *node, v reflect.Value, path string) {
	text := n.text
	if n.kind == stringKind {
		var ok bool
		if text, ok = d.expand(n, path); !ok {
			return
		}
	} else if n.kind != intKind {
		d.wrongType(n, path, "a size such as 1MiB", sentence{})
		return
	}
	size, err := ParseBytes(text)
	if err != nil {
		d.badValue(n, path, newSentence("%s is not a size", shownText{n, text}), plainSentence("write a number of bytes, or one with a unit, such as 1MiB"))
		return
	}
	v.SetInt(int64(size))
}

func (d *decoder) duration(n *node, v reflect.Value, path string) {
	const expected = "a duration such as 200ms"
	switch n.kind {
	case stringKind:
		text, ok := d.expand(n, path)
		if !ok {
			return
		}
		t, err := time.ParseDuration(text)
		if err != nil {
			d.badValue(n, path, newSentence("%s is not a duration", shownText{n, text}), plainSentence("write a number and a unit, such as 200ms, 5s or 1h30m"))
			return
		}
		v.SetInt(int64(t))
	case intKind, floatKind:
		if n.text != "0" {
			d.wrongType(n, path, expected, newSentence("say the unit: %ss or %sms", n.text, n.text))
			return
		}
		v.SetInt(0)
	default:
		d.wrongType(n, path, expected, sentence{})
	}
}

func (d *decoder) time(n *node, v reflect.Value, path string) {
	const example = "a time such as 2026-01-31T12:00:00Z"
	if n.kind != stringKind {
		d.wrongType(n, path, example, sentence{})
		return
	}
	text, ok := d.expand(n, path)
	if !ok {
		return
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		d.badValue(n, path, newSentence("%s is not a time", shownText{n, text}), plainSentence("write "+example[2:]+" (RFC 3339)"))
		return
	}
	v.Set(reflect.ValueOf(t))
}

// list decodes [a, b] or "a,b".
func (d *decoder) list(n *node, path string) Strings {
	var list Strings
	if n.kind == sequence {
		for i, item := range n.items {
			at := fmt.Sprintf("%s[%d]", path, i)
			if text, ok := d.item(item, at, "text"); ok {
				list = append(list, text)
			}
		}
		return list
	}
	text, _ := d.item(n, path, "a list of texts")
	for part := range strings.SplitSeq(text, ",") {
		if part = strings.TrimSpace(part); part != "" {
			list = append(list, part)
		}
	}
	return list
}

// item returns a text of a list. A number is taken as it is written, as in [503].
func (d *decoder) item(n *node, path, expected string) (string, bool) {
	if n.kind == intKind || n.kind == floatKind {
		return n.text, true
	}
	text, ok := d.text(n, path, expected)
	return strings.TrimSpace(text), ok
}

func (d *decoder) unmarshal(n *node, v reflect.Value, path string) {
	text := n.text
	if !n.scalar() {
		d.wrongType(n, path, "text", sentence{})
		return
	}
	if n.kind == stringKind {
		var ok bool
		if text, ok = d.expand(n, path); !ok {
			return
		}
	}
	if err := v.Addr().Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(text)); err != nil {
		d.badValue(n, path, newSentence("%s", err.Error()), sentence{})
	}
}
