package grpc

import (
	"encoding/base64"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cloudevents/sdk-go/binding/format/protobuf/v2/pb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/lsm/fiso/common/cloudevent"
)

// eventOf converts a received event. The event shares the bytes of in, which must not be
// changed afterwards. Extensions are sorted by name. Those of the types Binary, URI,
// URI-reference and Timestamp become texts, as in the JSON format of CloudEvents. Data is
// not checked against its content type. The error is an *attributeError.
func eventOf(in *pb.CloudEvent) (*cloudevent.Event, error) {
	if in == nil {
		return nil, &attributeError{attribute: "event", text: "the event is missing"}
	}
	if err := checkRequired(in.SpecVersion, in.Id, in.Source, in.Type); err != nil {
		return nil, err
	}
	e := &cloudevent.Event{ID: in.Id, Source: in.Source, Type: in.Type}
	if err := readAttributes(e, in.Attributes); err != nil {
		return nil, err
	}
	if err := readData(e, in); err != nil {
		return nil, err
	}
	return e, nil
}

// readAttributes sets the attributes of e. Of several faults it reports that of the
// attribute that sorts first: the order of a map is random.
func readAttributes(e *cloudevent.Event, in map[string]*pb.CloudEventAttributeValue) *attributeError {
	if len(in) > maxAttributes {
		return errTooManyAttributes
	}
	var first *attributeError
	for name, value := range in {
		if err := readAttribute(e, name, value, len(in)); err != nil && (first == nil || err.attribute < first.attribute) {
			first = err
		}
	}
	if first != nil || len(e.Extensions) == 0 {
		return first
	}
	slices.SortFunc(e.Extensions, func(a, b cloudevent.Extension) int { return strings.Compare(a.Name, b.Name) })
	for i := range e.Extensions[1:] {
		if name := e.Extensions[i].Name; name == e.Extensions[i+1].Name {
			return faulty(name, problemTwice)
		}
	}
	return nil
}

// readAttribute sets one attribute of e, which has most attributes at the most.
func readAttribute(e *cloudevent.Event, name string, v *pb.CloudEventAttributeValue, most int) (err *attributeError) {
	switch name {
	case "subject":
		e.Subject, err = readString(name, v)
	case "datacontenttype":
		e.DataContentType, err = readString(name, v)
		if err == nil && !cloudevent.ValidContentType(e.DataContentType) {
			err = faulty(name, problemContentType)
		}
	case "dataschema":
		e.DataSchema, err = readURI(name, v)
	case "time":
		e.Time, err = readTime(name, v)
	case "specversion", "id", "source", "type":
		return faulty(name, "stands in the map of attributes: it has a field of its own")
	default:
		if e.Extensions == nil {
			e.Extensions = make([]cloudevent.Extension, 0, most)
		}
		err = readExtension(e, name, v)
	}
	return err
}

func readString(name string, v *pb.CloudEventAttributeValue) (string, *attributeError) {
	text, ok := v.GetAttr().(*pb.CloudEventAttributeValue_CeString)
	if !ok {
		return "", wrongType(name, v, "ce_string")
	}
	return text.CeString, notEmpty(name, text.CeString)
}

// readURI reads dataschema. It is a URI by the specification; the SDK for Java sends a
// relative one, such as the type of a protobuf message, as a URI-reference.
func readURI(name string, v *pb.CloudEventAttributeValue) (string, *attributeError) {
	switch uri := v.GetAttr().(type) {
	case *pb.CloudEventAttributeValue_CeUri:
		return uri.CeUri, notEmpty(name, uri.CeUri)
	case *pb.CloudEventAttributeValue_CeUriRef:
		return uri.CeUriRef, notEmpty(name, uri.CeUriRef)
	default:
		return "", wrongType(name, v, "ce_uri")
	}
}

func notEmpty(name, value string) *attributeError {
	if value == "" {
		return faulty(name, "is empty: set a value or leave it out")
	}
	return nil
}

func readTime(name string, v *pb.CloudEventAttributeValue) (time.Time, *attributeError) {
	ts, ok := v.GetAttr().(*pb.CloudEventAttributeValue_CeTimestamp)
	if !ok {
		return time.Time{}, wrongType(name, v, "ce_timestamp")
	}
	t, err := timeOf(name, ts.CeTimestamp)
	if err == nil && t.IsZero() {
		err = faulty(name, "is 0001-01-01T00:00:00Z, which stands for no time: leave it out")
	}
	return t, err
}

func timeOf(name string, ts *timestamppb.Timestamp) (time.Time, *attributeError) {
	if !ts.IsValid() {
		return time.Time{}, faulty(name, "is not a valid google.protobuf.Timestamp: from year 1 to 9999, nanos from 0 to 999999999")
	}
	return ts.AsTime(), nil
}

func readExtension(e *cloudevent.Event, name string, v *pb.CloudEventAttributeValue) *attributeError {
	x := cloudevent.Extension{Name: name}
	if !validName(name) {
		// Many senders use camel case: every source of Fiso takes it in lower case.
		x.Name = strings.ToLower(name)
	}
	switch {
	case !validName(x.Name):
		return badName(name, onlyLetters)
	case reserved(x.Name):
		return badName(name, isReserved)
	}
	switch value := v.GetAttr().(type) {
	case *pb.CloudEventAttributeValue_CeString:
		x.Value = value.CeString
	case *pb.CloudEventAttributeValue_CeBoolean:
		x.Kind, x.Value = cloudevent.Boolean, strconv.FormatBool(value.CeBoolean)
	case *pb.CloudEventAttributeValue_CeInteger:
		x.Kind, x.Value = cloudevent.Integer, strconv.Itoa(int(value.CeInteger))
	case *pb.CloudEventAttributeValue_CeBytes:
		x.Value = base64.StdEncoding.EncodeToString(value.CeBytes)
	case *pb.CloudEventAttributeValue_CeUri:
		x.Value = value.CeUri
	case *pb.CloudEventAttributeValue_CeUriRef:
		x.Value = value.CeUriRef
	case *pb.CloudEventAttributeValue_CeTimestamp:
		t, err := timeOf(name, value.CeTimestamp)
		if err != nil {
			return err
		}
		x.Value = t.Format(time.RFC3339Nano)
	default:
		return noValue(name)
	}
	e.Extensions = append(e.Extensions, x)
	return nil
}

func wrongType(name string, v *pb.CloudEventAttributeValue, want string) *attributeError {
	kind := attributeType(v)
	if kind == "" {
		return noValue(name)
	}
	return faulty(name, "is sent as "+kind+": send it as "+want)
}

func noValue(name string) *attributeError {
	return faulty(name, "has no value of a known type: set one of the ce_ fields or leave it out")
}
