package config

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// JSON returns the part as a JSON document: mappings in the order of the file, and numbers with
// the digits of the file. References are not replaced. An absent part is null.
func (r Raw) JSON() ([]byte, error) {
	if r.IsZero() {
		return []byte("null"), nil
	}
	doc, err := r.part.node.appendJSON(nil)
	if err != nil {
		return nil, r.part.file.src.finishErrors(Errors{{Pos: r.Pos(), Key: r.part.path, Message: err.Error(), Code: CodeBadValue}})
	}
	return doc, nil
}

func (n *node) appendJSON(dst []byte) ([]byte, error) {
	switch n.kind {
	case null:
		return append(dst, "null"...), nil
	case boolKind:
		return append(dst, strings.ToLower(n.text)...), nil
	case intKind, floatKind:
		return n.appendNumber(dst)
	case mapping:
		return n.appendPairs(dst)
	case sequence:
		dst = append(dst, '[')
		for i, item := range n.items {
			if i > 0 {
				dst = append(dst, ',')
			}
			var err error
			if dst, err = item.appendJSON(dst); err != nil {
				return nil, err
			}
		}
		return append(dst, ']'), nil
	}
	return appendText(dst, n.text), nil
}

func (n *node) appendPairs(dst []byte) ([]byte, error) {
	dst = append(dst, '{')
	for i, p := range n.pairs {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(appendText(dst, p.key.text), ':')
		var err error
		if dst, err = p.value.appendJSON(dst); err != nil {
			return nil, err
		}
	}
	return append(dst, '}'), nil
}

// appendNumber appends a number as it is written if that is valid JSON; others (0x1F, 1_000, .5)
// are converted.
func (n *node) appendNumber(dst []byte) ([]byte, error) {
	if json.Valid([]byte(n.text)) {
		return append(dst, n.text...), nil
	}
	if i, err := strconv.ParseInt(n.text, 0, 64); err == nil {
		return strconv.AppendInt(dst, i, 10), nil
	}
	f, err := strconv.ParseFloat(strings.ReplaceAll(n.text, "_", ""), 64)
	if err == nil {
		if doc, err := json.Marshal(f); err == nil {
			return append(dst, doc...), nil
		}
	}
	return nil, fmt.Errorf("the number %s cannot be written in JSON", n.text)
}

func appendText(dst []byte, s string) []byte {
	doc, err := json.Marshal(s)
	if err != nil {
		panic(err) // a string can always be encoded
	}
	return append(dst, doc...)
}
