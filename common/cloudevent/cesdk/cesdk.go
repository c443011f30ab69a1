// Package cesdk converts events to and from those of the CloudEvents SDK. It is a
// package of its own because of what the SDK brings along: with it, a linker has
// to keep every method of every type, and a binary doubles.
package cesdk

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/cloudevents/sdk-go/v2/types"

	"github.com/lsm/fiso/common/cloudevent"
)

// To is e as the event of the CloudEvents SDK. Data is shared, not copied;
// the key is not part of it. It fails where the SDK finds the event not valid,
// such as a source that is no URI reference.
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
		out.SetExtension(x.Name, x.Value)
	}
	out.DataEncoded = e.Data
	out.DataBase64 = e.Data != nil && !placesJSON(e.DataContentType) &&
		(!isText(e.DataContentType) || !utf8.Valid(e.Data))
	if err := out.Validate(); err != nil {
		return event.Event{}, fmt.Errorf("convert to the SDK's event: %s", strings.TrimSpace(err.Error()))
	}
	return out, nil
}

// placesJSON reports whether the SDK places data of a content type as JSON. It
// knows a list of types and no suffix +json: data of such a type it would write
// as a string that holds JSON, which base64 keeps it from.
func placesJSON(contentType string) bool {
	switch strings.ToLower(mediaType(contentType)) {
	case "", "application/json", "text/json", cloudevent.ContentTypeJSON, cloudevent.ContentTypeBatch:
		return true
	default:
		return false
	}
}

// From is an event of the CloudEvents SDK as ours; one of version 0.3 is
// raised to 1.0. Extensions become text, in order of their names. Data is
// shared, not copied. It fails if the event is not valid, or if its data is
// not JSON although its content type says so.
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
		Data: in.DataEncoded,
	}
	for name, value := range c.Extensions {
		formatted, err := types.Format(value)
		if err != nil {
			return nil, fmt.Errorf("extension %s: %w", name, err)
		}
		e.Extensions = append(e.Extensions, cloudevent.Extension{Name: name, Value: formatted})
	}
	slices.SortFunc(e.Extensions, func(a, b cloudevent.Extension) int { return strings.Compare(a.Name, b.Name) })
	if err := e.Validate(); err != nil {
		return nil, err
	}
	if len(e.Data) > 0 && cloudevent.IsJSON(e.DataContentType) && !json.Valid(e.Data) {
		return nil, errors.New("data is not valid JSON")
	}
	return e, nil
}

func isText(contentType string) bool {
	const prefix = "text/"
	return len(contentType) > len(prefix) && strings.EqualFold(contentType[:len(prefix)], prefix)
}

// mediaType is a content type without its parameters.
func mediaType(contentType string) string {
	kind, _, _ := strings.Cut(contentType, ";")
	return strings.TrimSpace(kind)
}
