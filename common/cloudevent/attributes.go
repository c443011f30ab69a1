package cloudevent

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// maxExtensions bounds what is read from outside: a lookup among extensions is
// a walk, so their number must not be the sender's choice.
const maxExtensions = 256

// Attributes yields the attributes of e by name, specversion first and the
// extensions last, in their order; absent ones are left out. datacontenttype is
// not among them, because every protocol binding has a place of its own for it.
// Values are plain text: see EncodeHeader for HTTP. It is an iter.Seq2.
func (e *Event) Attributes(yield func(name, value string) bool) {
	ok := yield("specversion", SpecVersion)
	optional := func(name, value string) {
		if ok && value != "" {
			ok = yield(name, value)
		}
	}
	optional("id", e.ID)
	optional("source", e.Source)
	optional("type", e.Type)
	optional("subject", e.Subject)
	optional("dataschema", e.DataSchema)
	if ok && !e.Time.IsZero() {
		ok = yield("time", formatTime(e.Time))
	}
	for i := 0; ok && i < len(e.Extensions); i++ {
		ok = yield(e.Extensions[i].Name, e.Extensions[i].Value)
	}
}

// Validate reports everything that keeps e from being a CloudEvent: a required
// attribute that is missing, a content type that is none, an extension whose
// name is not allowed or there twice or whose value is not of its kind, a time
// that RFC 3339 cannot write. It does not look into data, and does not parse
// source and dataschema as URIs.
func (e *Event) Validate() error {
	var faults []error
	for _, required := range [...]struct{ name, value string }{{"id", e.ID}, {"source", e.Source}, {"type", e.Type}} {
		if required.value == "" {
			faults = append(faults, fmt.Errorf("attribute %s is missing: CloudEvents requires it", required.name))
		}
	}
	if e.DataContentType != "" && !ValidContentType(e.DataContentType) {
		faults = append(faults, errContentType(e.DataContentType))
	}
	if err := checkYear(e.Time); err != nil {
		faults = append(faults, err)
	}
	for i := range e.Extensions {
		if err := e.checkExtension(i); err != nil {
			faults = append(faults, err)
		}
	}
	if len(e.Extensions) > maxExtensions {
		faults = append(faults, errTooMany)
	}
	return errors.Join(faults...)
}

// checkExtension reports what keeps the extension at i from being one.
func (e *Event) checkExtension(i int) error {
	x := &e.Extensions[i]
	switch {
	case !validName(x.Name):
		return errName(x.Name)
	case coreBit(x.Name) != 0 || x.Name == "data":
		return fmt.Errorf("extension %s: the name belongs to CloudEvents itself", x.Name)
	case i < maxExtensions && hasExtension(e.Extensions[:i], x.Name):
		return fmt.Errorf("extension %s is there twice", x.Name)
	case !x.fits():
		return fmt.Errorf("extension %s: the value is not of its kind, which is %s", x.Name, x.Kind)
	}
	return nil
}

func errContentType(s string) error {
	return fmt.Errorf("attribute datacontenttype: %.40q is no content type such as application/json", s)
}

var errTooMany = fmt.Errorf("more than %d extension attributes", maxExtensions)

func errName(name string) error {
	if len(name) > 64 {
		name = strings.ToValidUTF8(name[:64], "") + "…"
	}
	return fmt.Errorf("attribute name %q is not allowed: lower-case letters and digits only", name)
}

// validName reports whether name may be that of an attribute.
func validName(name string) bool {
	for i := 0; i < len(name); i++ {
		if !nameBytes[name[i]] {
			return false
		}
	}
	return name != ""
}

// nameBytes are the bytes that names consist of.
var nameBytes = func() (in [256]bool) {
	for _, c := range []byte("abcdefghijklmnopqrstuvwxyz0123456789") {
		in[c] = true
	}
	return in
}()

func hasExtension(extensions []Extension, name string) bool {
	for i := range extensions {
		if extensions[i].Name == name {
			return true
		}
	}
	return false
}

// coreBit is a bit of its own for each attribute that CloudEvents defines, and
// 0 for any other name.
func coreBit(name string) uint16 {
	switch name {
	case "specversion":
		return 1
	case "id":
		return 2
	case "source":
		return 4
	case "type":
		return 8
	case "subject":
		return 16
	case "time":
		return 32
	case "datacontenttype":
		return 64
	case "dataschema":
		return 128
	default:
		return 0
	}
}

// builder fills an event attribute by attribute, and refuses a second one of
// the same name: which of two counts is a thing on which readers differ, and
// that has been the way around more than one check.
type builder struct {
	e    *Event
	seen uint16 // bits of coreBit
}

// newBuilder empties e, keeping the room of its extensions.
func newBuilder(e *Event) builder {
	*e = Event{Extensions: e.Extensions[:0]}
	return builder{e: e}
}

// set takes one attribute over.
func (b *builder) set(name, value string) error {
	bit := coreBit(name)
	if bit == 0 {
		return b.extension(Extension{Name: name, Value: value})
	}
	if b.seen&bit != 0 {
		return fmt.Errorf("attribute %s is there twice", name)
	}
	if value == "" {
		return fmt.Errorf("attribute %s is empty: CloudEvents has it with a value or not at all", name)
	}
	b.seen |= bit
	e := b.e
	switch name {
	case "specversion":
		if value != SpecVersion {
			return fmt.Errorf("specversion %.20q is not supported: only CloudEvents %s is", value, SpecVersion)
		}
	case "id":
		e.ID = value
	case "source":
		e.Source = value
	case "type":
		e.Type = value
	case "subject":
		e.Subject = value
	case "datacontenttype":
		if !ValidContentType(value) {
			return errContentType(value)
		}
		e.DataContentType = value
	case "dataschema":
		e.DataSchema = value
	case "time":
		return b.time(value)
	}
	return nil
}

func (b *builder) time(value string) error {
	t, ok := parseTime(value)
	if !ok {
		return fmt.Errorf("attribute time: %.40q is no RFC 3339 time such as 2026-01-31T12:00:00Z", value)
	}
	b.e.Time = t
	return checkYear(t)
}

// checkYear reports a time that has no four digits for its year in UTC, in which
// times are written.
func checkYear(t time.Time) error {
	if y := t.UTC().Year(); y < 0 || y > 9999 {
		return fmt.Errorf("attribute time: the year in UTC, %d, cannot be written as RFC 3339", y)
	}
	return nil
}

// extension takes an extension over. Upper case is folded, as other receivers
// do: senders that write camel case are many.
func (b *builder) extension(x Extension) error {
	name, lower := x.Name, strings.ToLower(x.Name)
	switch {
	case !validName(lower):
		return errName(name)
	case coreBit(lower) != 0 || lower == "data":
		return fmt.Errorf("attribute name %q is not allowed: %s belongs to CloudEvents itself", name, lower)
	case hasExtension(b.e.Extensions, lower):
		return fmt.Errorf("attribute %s is there twice", lower)
	case len(b.e.Extensions) >= maxExtensions:
		return errTooMany
	}
	x.Name = lower
	b.e.Extensions = append(b.e.Extensions, x)
	return nil
}

// finish reports whether there was a specversion at all.
func (b *builder) finish() bool { return b.seen&coreBit("specversion") != 0 }

// text is b as a string, with each byte that is no UTF-8 replaced, as
// encoding/json does it: an attribute reads the same however it was escaped.
func text(b []byte) string {
	if utf8.Valid(b) {
		return string(b)
	}
	return string([]rune(string(b)))
}
