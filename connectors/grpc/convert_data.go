package grpc

import (
	"mime"
	"strings"
	"unicode/utf8"

	"github.com/cloudevents/sdk-go/binding/format/protobuf/v2/pb"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/lsm/fiso/common/cloudevent"
)

// readData sets the data of e.
//
// text_data becomes its bytes in UTF-8. Data without bytes and without a content type is
// no data, as in the JSON format: the SDK for Go sends it for an event without data.
// proto_data becomes the bytes of the message; the type of the message becomes dataschema,
// as the specification recommends, and datacontenttype is application/protobuf. If the
// event has another dataschema, the type becomes the parameter proto of datacontenttype.
func readData(e *cloudevent.Event, in *pb.CloudEvent) *attributeError {
	var b []byte
	switch data := in.Data.(type) {
	case nil:
		return nil
	case *pb.CloudEvent_BinaryData:
		b = data.BinaryData
	case *pb.CloudEvent_TextData:
		b = []byte(data.TextData)
	case *pb.CloudEvent_ProtoData:
		return readMessage(e, data.ProtoData)
	}
	if len(b) > 0 || e.DataContentType != "" {
		e.Data = cloudevent.Bytes(presentBytes(b))
	}
	return nil
}

// presentBytes returns b, or a slice without bytes for nil, which would mean no data.
func presentBytes(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

func readMessage(e *cloudevent.Event, message *anypb.Any) *attributeError {
	switch {
	case e.DataContentType == "":
		e.DataContentType = protobufType
	case !isProtobuf(e.DataContentType):
		return faulty("datacontenttype", "says that data is not a protobuf message, and it is: send "+protobufType+" or leave it out")
	}
	e.Data = cloudevent.Bytes(presentBytes(message.GetValue()))
	typeURL := message.GetTypeUrl()
	switch {
	case typeURL == "": // as the SDK for Go sends it for an event without dataschema
		return nil
	case !isTypeURL(typeURL):
		return &attributeError{attribute: "data", text: "proto_data has a type_url without the name of a message: send one such as type.googleapis.com/shop.v1.Order"}
	case e.DataSchema == "":
		e.DataSchema = typeURL
	}
	if typeURLOf(e) == typeURL {
		return nil
	}
	if kind, params, err := mime.ParseMediaType(e.DataContentType); err == nil {
		params[typeParameter] = typeURL
		e.DataContentType = mime.FormatMediaType(kind, params)
	}
	if typeURLOf(e) != typeURL {
		return &attributeError{attribute: "data", text: "proto_data has a type_url that datacontenttype cannot carry, and dataschema has another one: make them equal"}
	}
	return nil
}

// writeData sets the data of out.
//
// A protobuf message whose type is known becomes proto_data, text of the type text/plain
// becomes text_data, and everything else becomes binary_data. So does JSON: the SDK for Go
// encodes text_data with a JSON type a second time and fails for most other types, and
// every SDK reads binary_data as the bytes that they are.
func writeData(out *pb.CloudEvent, e *cloudevent.Event) {
	b := e.Data.Bytes()
	if b == nil || len(b) == 0 && e.DataContentType == "" {
		return
	}
	if isProtobuf(e.DataContentType) {
		if typeURL := typeURLOf(e); typeURL != "" {
			out.Data = &pb.CloudEvent_ProtoData{ProtoData: &anypb.Any{TypeUrl: typeURL, Value: b}}
			return
		}
	}
	if isPlainText(e.DataContentType) && utf8.Valid(b) {
		out.Data = &pb.CloudEvent_TextData{TextData: string(b)}
		return
	}
	out.Data = &pb.CloudEvent_BinaryData{BinaryData: b}
}

const (
	protobufType = "application/protobuf"
	// typeParameter is the parameter of a content type that names the message.
	typeParameter = "proto"
	// typePrefix precedes the name of a message in a type URL, unless another one is given.
	typePrefix = "type.googleapis.com/"
)

// isProtobuf reports whether a content type says that data is one protobuf message.
func isProtobuf(contentType string) bool {
	kind := mediaType(contentType)
	return strings.EqualFold(kind, protobufType) || strings.EqualFold(kind, "application/x-protobuf")
}

// isPlainText reports whether a content type is text/plain in UTF-8.
func isPlainText(contentType string) bool {
	if !strings.EqualFold(mediaType(contentType), "text/plain") {
		return false
	}
	if strings.IndexByte(contentType, ';') < 0 {
		return true
	}
	_, params, err := mime.ParseMediaType(contentType)
	charset, given := params["charset"]
	return err == nil && (!given || strings.EqualFold(charset, "utf-8") || strings.EqualFold(charset, "utf8") || strings.EqualFold(charset, "us-ascii"))
}

// mediaType returns a content type without its parameters.
func mediaType(contentType string) string {
	kind, _, _ := strings.Cut(contentType, ";")
	return strings.TrimSpace(kind)
}

// typeURLOf returns the type of the message that the data of e is: from the content type,
// else from dataschema; "" when neither has one.
func typeURLOf(e *cloudevent.Event) string {
	if strings.IndexByte(e.DataContentType, ';') >= 0 {
		if _, params, err := mime.ParseMediaType(e.DataContentType); err == nil && params[typeParameter] != "" {
			name := params[typeParameter]
			if strings.IndexByte(name, '/') < 0 {
				name = typePrefix + name
			}
			if isTypeURL(name) {
				return name
			}
		}
	}
	if isTypeURL(e.DataSchema) {
		return e.DataSchema
	}
	return ""
}

// isTypeURL reports whether s ends in a slash and the full name of a message.
func isTypeURL(s string) bool {
	slash := strings.LastIndexByte(s, '/')
	return slash >= 0 && utf8.ValidString(s) && protoreflect.FullName(s[slash+1:]).IsValid()
}
