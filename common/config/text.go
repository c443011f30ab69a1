package config

import (
	"reflect"
	"strings"
)

// Text is a string that remembers its position, for expressions in the configuration (CEL) whose errors
// have positions of their own. A number or a truth value without quotes is kept as it is written.
// References such as ${ENV} are not replaced in it: the inserted text would be code.
type Text struct {
	Value string
	from  *origin
}

// origin is the place of a text in a file.
type origin struct {
	src  *source
	node *node
	path string
}

// String returns the text.
func (t Text) String() string { return t.Value }

// IsZero reports whether there is no text. The text of a key with a fault is empty, too.
func (t Text) IsZero() bool { return t.Value == "" }

// Key returns the path of the text's key, or "" if the file does not have the key.
func (t Text) Key() string {
	if t.from == nil {
		return ""
	}
	return t.from.path
}

// At returns the position in the file of a line and column of the text. Both count from 1, in
// characters. A text made by a program has no position.
func (t Text) At(line, column int) Pos {
	if t.from == nil {
		return Pos{}
	}
	return t.from.src.pos(align(t.from.src, t.from.node, offset(t.Value, line, column)))
}

// Error returns a fault of the text at one of its lines and columns, with the code CEL. Its message
// begins with the key, if the text has one.
func (t Text) Error(line, column int, message, hint string) *Error {
	e := &Error{Pos: t.At(line, column), Key: t.Key(), Message: message, Hint: hint, Code: CodeCEL, span: 1}
	if t.from == nil {
		return e
	}
	e.message, e.hint = atPath(t.Key(), plainSentence(message)), plainSentence(hint) // they quote the expression only, which may be shown
	return t.from.src.finishErrors(Errors{e})[0]
}

// offset returns how many characters of text precede a line and column.
func offset(text string, line, column int) int {
	before := 0
	for ; line > 1; line-- {
		first, rest, more := strings.Cut(text, "\n")
		if !more {
			break
		}
		before += len([]rune(first)) + 1
		text = rest
	}
	return before + min(max(column, 1)-1, len([]rune(firstLine(text))))
}

// celText decodes a Text. If there is a fault, the Text is empty and has a key.
func (d *decoder) celText(n *node, path string) Text {
	text := Text{from: &origin{d.src, n, path}}
	switch {
	case !n.scalar():
		d.wrongType(n, path, "an expression as text", plainSentence("write it in one line, or below a |"))
	case strings.TrimSpace(n.text) == "":
		d.emptyText(n, path, writeOrRemove)
	default:
		text.Value = n.text
	}
	return text
}

const writeOrRemove = "write one, or remove the key"

// emptyText reports an expression that is empty. An empty expression does not count as left out: one
// that a template made of an unset variable would silently select every event.
func (d *decoder) emptyText(n *node, path, hint string) {
	d.fail(CodeCEL, n, path, atPath(path, plainSentence("the expression is empty")), plainSentence(hint))
}

// Field is a name and an expression.
type Field struct {
	Name  string
	Value Text
}

// Fields maps names to expressions, in the order of the file.
type Fields []Field

// celFields decodes Fields.
func (d *decoder) celFields(n *node, path string) Fields {
	if n.kind != mapping {
		d.wrongType(n, path, "a mapping of names to expressions", sentence{})
		return nil
	}
	var out Fields
	for _, p := range n.pairs {
		key := under(path, p.key.text)
		if p.value.kind == null && p.value.text == "" {
			d.emptyText(p.key, key, "write null where null is meant")
			continue
		}
		if text := d.celText(p.value, key); !text.IsZero() {
			out = append(out, Field{p.key.text, text})
		}
	}
	return out
}

func valueOf(pointer any) reflect.Value { return reflect.ValueOf(pointer).Elem() }
