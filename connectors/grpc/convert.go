package grpc

import (
	"strconv"
	"strings"

	"github.com/cloudevents/sdk-go/binding/format/protobuf/v2/pb"

	"github.com/lsm/fiso/common/cloudevent"
)

// The conversion between the event of the protocol and the event that Fiso moves. It is
// not that of the CloudEvents SDK, which encodes text_data a second time as JSON, drops
// an attribute of a wrong type, and forgets the type of proto_data.

// maxAttributes bounds the attributes of an event beside the four with a field of their
// own: 4 that CloudEvents defines, and 256 extensions, as package cloudevent has it.
const maxAttributes = 4 + 256

// attributeError is what is wrong with an event: the reason for INVALID_ARGUMENT when it
// was received, and for a permanent failure when it is to be sent. Its text quotes no
// value that the sender chose, apart from the attribute's name.
type attributeError struct {
	// attribute is the attribute's name in CloudEvents, such as specversion, or "data".
	attribute string
	text      string
}

func (e *attributeError) Error() string { return e.text }

// Attribute is the name for google.rpc.BadRequest.
func (e *attributeError) Attribute() string { return e.attribute }

// faulty returns the error "attribute <name> <problem>" for a name that is allowed.
func faulty(name, problem string) *attributeError {
	return &attributeError{attribute: name, text: "attribute " + name + " " + problem}
}

// badName returns the error for a name that is not allowed. It is quoted and bounded,
// because the sender chose it.
func badName(name, why string) *attributeError {
	const longest = 64
	if len(name) > longest {
		name = strings.ToValidUTF8(name[:longest], "") + "…"
	}
	return &attributeError{attribute: name, text: "attribute name " + strconv.Quote(name) + " is not allowed: " + why}
}

// The problems that both directions report.
const (
	problemMissing     = "is missing: CloudEvents requires it"
	problemContentType = "is not a content type such as application/json"
	problemTwice       = "occurs twice"

	onlyLetters = "lower-case letters and digits only"
	isReserved  = "it belongs to CloudEvents itself"
)

var errTooManyAttributes = &attributeError{attribute: "attributes", text: "the event has more than 256 extension attributes"}

// reserved reports whether an extension cannot have this name.
func reserved(name string) bool {
	switch name {
	case "specversion", "id", "source", "type", "subject", "time", "datacontenttype", "dataschema", "data":
		return true
	default:
		return false
	}
}

// validName reports whether an attribute can have this name.
func validName(name string) bool {
	for i := range len(name) {
		if c := name[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return false
		}
	}
	return name != ""
}

// checkRequired checks the attributes with a field of their own.
func checkRequired(version, id, source, kind string) *attributeError {
	switch {
	case version == "":
		return faulty("specversion", "is missing: set spec_version to "+cloudevent.SpecVersion)
	case version != cloudevent.SpecVersion:
		return faulty("specversion", "is not supported: only CloudEvents "+cloudevent.SpecVersion+" is")
	case id == "":
		return faulty("id", problemMissing)
	case source == "":
		return faulty("source", problemMissing)
	case kind == "":
		return faulty("type", problemMissing)
	}
	return nil
}

// attributeType returns the name of the field that holds a value, for errors; "" when
// there is none, or one that this version does not know.
func attributeType(v *pb.CloudEventAttributeValue) string {
	switch v.GetAttr().(type) {
	case *pb.CloudEventAttributeValue_CeBoolean:
		return "ce_boolean"
	case *pb.CloudEventAttributeValue_CeInteger:
		return "ce_integer"
	case *pb.CloudEventAttributeValue_CeString:
		return "ce_string"
	case *pb.CloudEventAttributeValue_CeBytes:
		return "ce_bytes"
	case *pb.CloudEventAttributeValue_CeUri:
		return "ce_uri"
	case *pb.CloudEventAttributeValue_CeUriRef:
		return "ce_uri_ref"
	case *pb.CloudEventAttributeValue_CeTimestamp:
		return "ce_timestamp"
	default:
		return ""
	}
}
