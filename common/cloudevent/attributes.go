package cloudevent

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// maxExtensions bounds the extensions of a received event: the lookup of an extension is
// linear, so a sender must not choose their number.
const maxExtensions = 256

// Attributes yields the attributes of e: specversion first, the extensions last in their
// order, without absent ones. It leaves out datacontenttype, which every protocol
// binding stores elsewhere. Values are plain text: see EncodeHeader for HTTP. It is an
// iter.Seq2.
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

// Validate reports everything that makes e an invalid CloudEvent: a missing required
// attribute, an invalid content type, an extension with a name that is not allowed or
// not unique or with a value that is not of its kind, and a time that RFC 3339 cannot
// express. It does not check data, nor that source and dataschema are URIs.
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

// checkExtension reports what is invalid about extension i.
func (e *Event) checkExtension(i int) error {
	x := &e.Extensions[i]
	switch {
	case !validName(x.Name):
		return errName(x.Name)
	case coreBit(x.Name) != 0 || x.Name == "data":
		return fmt.Errorf("extension %s: the name belongs to CloudEvents itself", x.Name)
	case i < maxExtensions && hasExtension(e.Extensions[:i], x.Name):
		return fmt.Errorf("extension %s occurs twice", x.Name)
	case !x.fits():
		return fmt.Errorf("extension %s: the value is not of its kind, which is %s", x.Name, x.Kind)
	}
	return nil
}

func errContentType(s string) error {
	return fmt.Errorf("attribute datacontenttype: %.40q is not a content type such as application/json", s)
}

var errTooMany = fmt.Errorf("more than %d extension attributes", maxExtensions)

func errName(name string) error {
	if len(name) > 64 {
		name = strings.ToValidUTF8(name[:64], "") + "…"
	}
	return fmt.Errorf("attribute name %q is not allowed: lower-case letters and digits only", name)
}

// validName reports whether name is allowed for an attribute.
func validName(name string) bool {
	for i := 0; i < len(name); i++ {
		if !nameBytes[name[i]] {
			return false
		}
	}
	return name != ""
}

// nameBytes marks the bytes that are allowed in names.
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

// coreBit returns a different bit for each attribute that CloudEvents defines, and 0 for
// any other name.
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

// builder sets the attributes of an event one by one, and refuses a name that is set
// twice: readers differ in which of two values they use, and attackers have used that to
// get around checks.
type builder struct {
	e    *Event
	seen uint16 // bits of coreBit
}

// newBuilder empties e, and keeps the memory of its extensions.
func newBuilder(e *Event) builder {
	*e = Event{Extensions: e.Extensions[:0]}
	return builder{e: e}
}

// set sets one attribute.
func (b *builder) set(name, value string) error {
	bit := coreBit(name)
	if bit == 0 {
		return b.extension(Extension{Name: name, Value: value})
	}
	if b.seen&bit != 0 {
		return fmt.Errorf("attribute %s occurs twice", name)
	}
	if value == "" {
		return fmt.Errorf("attribute %s is empty: set a value or leave it out", name)
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
		return fmt.Errorf("attribute time: %.40q is not an RFC 3339 time such as 2026-01-31T12:00:00Z", value)
	}
	b.e.Time = t
	return checkYear(t)
}

// checkYear returns an error if the year of t in UTC, in which times are written, does
// not have four digits.
func checkYear(t time.Time) error {
	if y := t.UTC().Year(); y < 0 || y > 9999 {
		return fmt.Errorf("attribute time: the year in UTC, %d, cannot be written as RFC 3339", y)
	}
	return nil
}

// extension sets an extension. It converts the name to lower case, as other receivers do,
// because many senders use camel case.
func (b *builder) extension(x Extension) error {
	name, lower := x.Name, strings.ToLower(x.Name)
	switch {
	case !validName(lower):
		return errName(name)
	case coreBit(lower) != 0 || lower == "data":
		return fmt.Errorf("attribute name %q is not allowed: %s belongs to CloudEvents itself", name, lower)
	case hasExtension(b.e.Extensions, lower):
		return fmt.Errorf("attribute %s occurs twice", lower)
	case len(b.e.Extensions) >= maxExtensions:
		return errTooMany
	}
	x.Name = lower
	b.e.Extensions = append(b.e.Extensions, x)
	return nil
}

// finish reports whether there was a specversion.
func (b *builder) finish() bool { return b.seen&coreBit("specversion") != 0 }

// text converts b to a string and replaces bytes that are not UTF-8, as encoding/json
// does, so that an attribute reads the same however it was escaped.
func text(b []byte) string {
	if utf8.Valid(b) {
		return string(b)
	}
	return string([]rune(string(b)))
}
