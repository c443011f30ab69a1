// Package cesdk converts events to and from those of the CloudEvents SDK. It is separate
// because of the SDK's cost: with it, the linker keeps every method of every type, which
// doubles the size of a binary.
package cesdk

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/cloudevents/sdk-go/v2/types"

	"github.com/lsm/fiso/common/cloudevent"
)

// To converts e to an event of the CloudEvents SDK. It shares data and drops the key. It
// is an error if the SDK finds the event not valid, for example because the source is not
// a URI reference, or if data is not JSON though its content type says so: the SDK would
// write it into the event unchecked.
func To(e *cloudevent.Event) (event.Event, error) {
	out := event.New(event.CloudEventsVersionV1)
	out.SetID(e.ID)
	out.SetSource(e.Source)
	out.SetType(e.Type)
	if e.Subject != "" {
		out.SetSubject(e.Subject)
	}
	if !e.Time.IsZero() {
		out.SetTime(e.Time)
	}
	if e.DataContentType != "" {
		out.SetDataContentType(e.DataContentType)
	}
	if e.DataSchema != "" {
		out.SetDataSchema(e.DataSchema)
	}
	for _, x := range e.Extensions {
		out.SetExtension(x.Name, native(x))
	}
	keepSpaces(&out, e)
	out.DataEncoded = e.Data.Bytes()
	out.DataBase64 = e.DataIsBinary() || cloudevent.IsJSON(e.DataContentType) && !placesJSON(e.DataContentType)
	if err := e.CheckData(); err != nil {
		return event.Event{}, fmt.Errorf("convert to the SDK's event: %w", err)
	}
	if err := out.Validate(); err != nil {
		return event.Event{}, fmt.Errorf("convert to the SDK's event: %s", strings.TrimSpace(err.Error()))
	}
	return out, nil
}

// keepSpaces restores the white space that the SDK's setters trim: an id with a space
// differs from one without.
func keepSpaces(out *event.Event, e *cloudevent.Event) {
	c, ok := out.Context.(*event.EventContextV1)
	if !ok {
		return
	}
	c.ID, c.Type = e.ID, e.Type
	if e.Subject != "" {
		subject := e.Subject
		c.Subject = &subject
	}
}

// native returns the value of an extension in the SDK's type. A value that is not of its
// kind is a text.
func native(x cloudevent.Extension) any {
	var value any
	var err error
	switch x.Kind {
	case cloudevent.Integer:
		value, err = types.ParseInteger(x.Value)
	case cloudevent.Boolean:
		value, err = types.ParseBool(x.Value)
	default:
		return x.Value
	}
	if err != nil {
		return x.Value
	}
	return value
}

// placesJSON reports whether the SDK writes data of a content type as JSON. The SDK knows
// a list of types but no suffix +json: it would write data of such a type as a string
// that holds JSON. As base64 the data stays as it is.
func placesJSON(contentType string) bool {
	switch strings.ToLower(mediaType(contentType)) {
	case "application/json", "text/json", cloudevent.ContentTypeJSON, cloudevent.ContentTypeBatch:
		return true
	default:
		return false
	}
}

// From converts an event of the CloudEvents SDK; version 0.3 becomes 1.0. Extensions are
// sorted by name; those that are neither integers nor booleans become text. Data is
// shared. It is an error if the event is not valid, or if data is not JSON though its
// content type says so. Data without a content type becomes JSON if it is valid JSON and
// the SDK would write it as JSON; otherwise it has no type.
func From(in event.Event) (*cloudevent.Event, error) {
	e, err := from(in)
	if err != nil {
		return nil, fmt.Errorf("convert from the SDK's event: %w", err)
	}
	return e, nil
}

func from(in event.Event) (*cloudevent.Event, error) {
	if in.Context == nil {
		return nil, errors.New("it has no attributes at all")
	}
	c := in.Context.AsV1()
	e := &cloudevent.Event{
		ID: c.ID, Source: c.Source.String(), Type: c.Type,
		Subject: c.GetSubject(), Time: c.GetTime(),
		DataContentType: c.GetDataContentType(), DataSchema: c.GetDataSchema(),
	}
	for name, value := range c.Extensions {
		formatted, err := types.Format(value)
		if err != nil {
			return nil, fmt.Errorf("extension %s: %w", name, err)
		}
		e.Extensions = append(e.Extensions, cloudevent.Extension{Name: name, Value: formatted, Kind: kind(value)})
	}
	slices.SortFunc(e.Extensions, func(a, b cloudevent.Extension) int { return strings.Compare(a.Name, b.Name) })
	if err := e.Validate(); err != nil {
		return nil, err
	}
	return e, takeData(e, in)
}

// takeData sets the data of e.
func takeData(e *cloudevent.Event, in event.Event) error {
	e.Data = cloudevent.Bytes(in.DataEncoded)
	untyped := e.DataContentType == "" && !in.DataBase64
	if len(in.DataEncoded) == 0 || !untyped && !cloudevent.IsJSON(e.DataContentType) {
		return nil
	}
	data, err := cloudevent.JSON(in.DataEncoded)
	switch {
	case err == nil:
		e.Data = data
		if untyped {
			e.DataContentType = event.ApplicationJSON
		}
	case !untyped:
		return fmt.Errorf("data is not what datacontenttype %.64q says: %w", e.DataContentType, err)
	}
	return nil
}

// kind returns the kind of an extension's value, which the SDK has normalised.
func kind(value any) cloudevent.Kind {
	switch value.(type) {
	case int32:
		return cloudevent.Integer
	case bool:
		return cloudevent.Boolean
	default:
		return cloudevent.Text
	}
}

// mediaType returns a content type without its parameters.
func mediaType(contentType string) string {
	kind, _, _ := strings.Cut(contentType, ";")
	return strings.TrimSpace(kind)
}
