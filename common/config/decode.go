package config

import (
	"os"
	"reflect"
	"strings"
)

// Option changes how a file is decoded.
type Option func(*options)

type options struct {
	lookup         func(string) (string, bool)
	interpolateAll bool
	unmounted      bool
	onRead         func(path, text string)
}

func defaultOptions() options { return options{lookup: os.LookupEnv} }

// Env looks up environment variables by a function in place of the process environment, for
// tests and webhooks.
func Env(lookup func(name string) (value string, ok bool)) Option {
	return func(o *options) { o.lookup = lookup }
}

// Interpolate allows ${ENV}, ${file:/path} and secretRef in every value, not only in Raw parts
// and secrets.
func Interpolate() Option { return func(o *options) { o.interpolateAll = true } }

// Unmounted accepts a secretRef without reading its Secret, for a check where no Secret is
// mounted.
func Unmounted() Option { return func(o *options) { o.unmounted = true } }

// Reading calls onRead for each file that a reference in plain text names, with the text that
// was read, or "" if the file cannot be read. It is not called for secrets, which are
// followed.
func Reading(onRead func(path, text string)) Option {
	return func(o *options) { o.onRead = onRead }
}

// read returns the text of a file that a reference names.
func (o *options) read(path string) (string, error) {
	text, err := readValue(path)
	if o.onRead != nil {
		o.onRead(path, text)
	}
	return text, err
}

// Decode reads a YAML file into the struct that v points to. It sets defaults, decodes, and
// checks required keys, enums and Validate, innermost first. A nested struct that the file
// leaves out is not checked. A key without a value counts as left out, unless it is that of a
// Text, which must not be empty.
//
// The error is nil or an Errors with every fault of the file, in order. It never shows a
// secret. On error the value must not be used.
func Decode(name string, data []byte, v any, opts ...Option) error {
	target := reflect.ValueOf(v)
	if target.Kind() != reflect.Pointer || target.IsNil() {
		panic("config: Decode needs a pointer")
	}
	f := &sharedState{options: defaultOptions()}
	for _, o := range opts {
		o(&f.options)
	}
	text := string(data[:min(len(data), MaxFile+1)]) // one byte too many is enough to refuse a file
	if len(data) <= MaxFile {
		text = strings.ReplaceAll(strings.TrimPrefix(text, "\ufeff"), "\r\n", "\n")
	}
	f.src = newSource(name, text)
	if t := nested(target.Type()); t != nil {
		f.src.topKeys = keys(fields(t))
	}
	root, faults, unread := parse(text)
	f.src.unparsedFrom = unread
	d := &decoder{sharedState: f, interpolate: f.interpolateAll}
	for _, fault := range faults {
		d.errs = append(d.errs, fault.asError(f.src))
	}
	if root == nil {
		root = &node{kind: mapping, at: position{1, 1}}
		if len(faults) > 0 {
			return f.src.finishErrors(d.errs)
		}
	}
	d.root(root, target.Elem(), "")
	if len(d.errs) > 0 {
		return f.src.finishErrors(d.errs)
	}
	return nil
}

// sharedState is shared by all decoders of one file.
type sharedState struct {
	options
	src *source
}

// decoder decodes one part of a file: the whole file or a Raw.
type decoder struct {
	*sharedState
	interpolate bool
	errs        Errors
	scopes      []scope         // the enclosing structs, outermost first
	expanded    int             // bytes that references have inserted
	guessed     map[string]bool // keys that misspelt ones were taken for
}

// maxErrors bounds how many faults of a file are reported.
const maxErrors = 200

// scope is an enclosing struct, with the path of its keys.
type scope struct {
	typ  reflect.Type
	path string
}

func (d *decoder) root(n *node, v reflect.Value, path string) {
	setDefaults(v)
	if n.kind == null && v.Kind() == reflect.Struct { // checked like an empty file
		n = &node{kind: mapping, at: n.at}
	}
	d.value(n, v, path)
}

func (d *decoder) fail(code string, n *node, key string, message, hint sentence) {
	d.failAt(code, n.at, n.span(), key, message, hint)
}

func (d *decoder) failAt(code string, at position, span int, key string, message, hint sentence) {
	if len(d.errs) >= maxErrors {
		return
	}
	d.errs = append(d.errs, &Error{Pos: d.src.pos(at), Key: key, Code: code, span: span, message: message, hint: hint})
}

// asError returns the fault as an error at its position.
func (f *fault) asError(src *source) *Error {
	return &Error{Pos: src.pos(f.at), Key: f.key, Code: f.code, span: f.span, message: f.message, hint: f.hint, parsed: true}
}

// wrongType reports which type was expected and what was found.
func (d *decoder) wrongType(n *node, path, expected string, hint sentence) {
	d.fail(CodeWrongType, n, path, atPath(path, newSentence("expected %s, found %s", keyName(expected), foundValue{n})), hint)
}

// badValue reports a value of the right type that is not valid.
func (d *decoder) badValue(n *node, path string, message, hint sentence) {
	d.fail(CodeBadValue, n, path, atPath(path, message), hint)
}

// atPath prefixes a sentence with the path of a key.
func atPath(path string, w sentence) sentence {
	if path == "" {
		return w
	}
	return newSentence("%s: "+w.format, append([]any{keyName(path)}, w.args...)...)
}
