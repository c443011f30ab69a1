package grpc

import (
	"strconv"
	"unicode/utf8"

	"github.com/cloudevents/sdk-go/binding/format/protobuf/v2/pb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/lsm/fiso/common/cloudevent"
)

// protoOf converts an event that is to be sent. The result shares the data of e. The key
// is not a part of it. The error is an *attributeError: a receiver would refuse the event,
// or protobuf cannot hold it.
func protoOf(e *cloudevent.Event) (*pb.CloudEvent, error) {
	if err := checkSendable(e); err != nil {
		return nil, err
	}
	out := &pb.CloudEvent{Id: e.ID, Source: e.Source, SpecVersion: cloudevent.SpecVersion, Type: e.Type}
	if n := countAttributes(e); n > 0 {
		w := attributeWriter{into: make(map[string]*pb.CloudEventAttributeValue, n), room: make([]stringValue, n)}
		if err := w.writeAll(e); err != nil {
			return nil, err
		}
		out.Attributes = w.into
	}
	writeData(out, e)
	return out, nil
}

// checkSendable checks all attributes but the extensions.
func checkSendable(e *cloudevent.Event) *attributeError {
	if err := checkRequired(cloudevent.SpecVersion, e.ID, e.Source, e.Type); err != nil {
		return err
	}
	if len(e.Extensions) > maxAttributes-4 {
		return errTooManyAttributes
	}
	for _, attribute := range [...]struct{ name, value string }{
		{"id", e.ID}, {"source", e.Source}, {"type", e.Type}, {"subject", e.Subject}, {"dataschema", e.DataSchema},
	} {
		if !utf8.ValidString(attribute.value) {
			return notUTF8(attribute.name)
		}
	}
	if e.DataContentType != "" && !cloudevent.ValidContentType(e.DataContentType) || !utf8.ValidString(e.DataContentType) {
		return faulty("datacontenttype", problemContentType)
	}
	return nil
}

func notUTF8(name string) *attributeError { return faulty(name, "is not UTF-8") }

func countAttributes(e *cloudevent.Event) int {
	n := len(e.Extensions)
	for _, optional := range [...]bool{e.Subject != "", e.DataContentType != "", e.DataSchema != "", !e.Time.IsZero()} {
		if optional {
			n++
		}
	}
	return n
}

// attributeWriter fills the map of attributes. All values take their memory from one
// slice: most are strings.
type attributeWriter struct {
	into map[string]*pb.CloudEventAttributeValue
	room []stringValue
}

// stringValue is a value and the string in it.
type stringValue struct {
	value pb.CloudEventAttributeValue
	text  pb.CloudEventAttributeValue_CeString
}

func (w *attributeWriter) next(name string) *stringValue {
	v := &w.room[0]
	w.room = w.room[1:]
	w.into[name] = &v.value
	return v
}

func (w *attributeWriter) writeString(name, value string) {
	v := w.next(name)
	v.text.CeString = value
	v.value.Attr = &v.text
}

func (w *attributeWriter) writeAll(e *cloudevent.Event) *attributeError {
	if e.Subject != "" {
		w.writeString("subject", e.Subject)
	}
	if e.DataContentType != "" {
		w.writeString("datacontenttype", e.DataContentType)
	}
	if e.DataSchema != "" {
		w.next("dataschema").value.Attr = &pb.CloudEventAttributeValue_CeUri{CeUri: e.DataSchema}
	}
	if !e.Time.IsZero() {
		ts := timestamppb.New(e.Time)
		if !ts.IsValid() {
			return faulty("time", "is outside of the years 1 to 9999, which protobuf can hold")
		}
		w.next("time").value.Attr = &pb.CloudEventAttributeValue_CeTimestamp{CeTimestamp: ts}
	}
	for i := range e.Extensions {
		if err := w.writeExtension(&e.Extensions[i]); err != nil {
			return err
		}
	}
	return nil
}

func (w *attributeWriter) writeExtension(x *cloudevent.Extension) *attributeError {
	switch {
	case !validName(x.Name):
		return badName(x.Name, onlyLetters)
	case reserved(x.Name):
		return badName(x.Name, isReserved)
	case w.into[x.Name] != nil:
		return faulty(x.Name, problemTwice)
	}
	switch x.Kind {
	case cloudevent.Text:
		if !utf8.ValidString(x.Value) {
			return notUTF8(x.Name)
		}
		w.writeString(x.Name, x.Value)
		return nil
	case cloudevent.Integer:
		if n, err := strconv.ParseInt(x.Value, 10, 32); err == nil && strconv.Itoa(int(n)) == x.Value {
			w.next(x.Name).value.Attr = &pb.CloudEventAttributeValue_CeInteger{CeInteger: int32(n)}
			return nil
		}
	case cloudevent.Boolean:
		if x.Value == "true" || x.Value == "false" {
			w.next(x.Name).value.Attr = &pb.CloudEventAttributeValue_CeBoolean{CeBoolean: x.Value == "true"}
			return nil
		}
	}
	return faulty(x.Name, "has a value that is not of its kind, which is "+x.Kind.String())
}
