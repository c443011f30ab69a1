package temporal

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"

	"github.com/lsm/fiso/common/lazyjson"
)

// searchType is a type of search attributes: its name in a configuration and on the wire,
// and what a value must be.
type searchType struct {
	name, wire string
	indexed    enumspb.IndexedValueType
	check      func(v lazyjson.Value) bool
	wants      string
}

var searchTypes = []searchType{
	{"keyword", "Keyword", enumspb.INDEXED_VALUE_TYPE_KEYWORD, isKind(lazyjson.String), "a string"},
	{"text", "Text", enumspb.INDEXED_VALUE_TYPE_TEXT, isKind(lazyjson.String), "a string"},
	{"int", "Int", enumspb.INDEXED_VALUE_TYPE_INT, isInt64, "an integer of 64 bits"},
	{"double", "Double", enumspb.INDEXED_VALUE_TYPE_DOUBLE, isNumber, "a number"},
	{"bool", "Bool", enumspb.INDEXED_VALUE_TYPE_BOOL, isBool, "true or false"},
	{"datetime", "Datetime", enumspb.INDEXED_VALUE_TYPE_DATETIME, isTime, "a time such as 2026-01-31T12:00:00Z"},
	{"keywordList", "KeywordList", enumspb.INDEXED_VALUE_TYPE_KEYWORD_LIST, isStrings, "a list of strings"},
}

// SearchAttributeTypes returns the types that a SearchAttribute may have, as in
// keyword.
func SearchAttributeTypes() []string {
	names := make([]string, len(searchTypes))
	for i, t := range searchTypes {
		names[i] = t.name
	}
	return names
}

func searchTypeOf(name string) (searchType, bool) {
	i := slices.IndexFunc(searchTypes, func(t searchType) bool { return t.name == name })
	if i < 0 {
		return searchType{}, false
	}
	return searchTypes[i], true
}

// encodeSearchAttributes makes the search attributes of a workflow. The server indexes
// them, so no codec encrypts them, and numbers stay numbers.
func encodeSearchAttributes(attributes map[string]SearchAttribute) (*commonpb.SearchAttributes, error) {
	out := &commonpb.SearchAttributes{}
	for name, a := range attributes {
		t, ok := searchTypeOf(a.Type)
		if !ok {
			return nil, fmt.Errorf("search attribute %.64s: %.64q is none of the types %v", name, a.Type, SearchAttributeTypes())
		}
		value := bytes.TrimSpace(a.Value)
		if string(value) == "null" {
			continue
		}
		if err := t.checkValue(value); err != nil {
			return nil, fmt.Errorf("search attribute %.64s: %w", name, err)
		}
		if out.IndexedFields == nil {
			out.IndexedFields = map[string]*commonpb.Payload{}
		}
		p := payload(value)
		p.Metadata["type"] = []byte(t.wire)
		out.IndexedFields[name] = p
	}
	if out.IndexedFields == nil {
		return nil, nil
	}
	return out, nil
}

func (t *searchType) checkValue(value []byte) error {
	var d lazyjson.Doc
	if err := d.Parse(value); err != nil {
		return errors.New("the value is not a JSON text")
	}
	if !t.check(d.Root()) {
		return fmt.Errorf("the value is not %s, as type %s wants", t.wants, t.name)
	}
	return nil
}

func isKind(kind lazyjson.Kind) func(lazyjson.Value) bool {
	return func(v lazyjson.Value) bool { return v.Kind() == kind }
}

func isInt64(v lazyjson.Value) bool {
	_, ok := v.Int()
	return ok
}

func isNumber(v lazyjson.Value) bool {
	return v.Kind() == lazyjson.Number || v.Kind() == lazyjson.Integer
}

func isBool(v lazyjson.Value) bool { return v.Kind() == lazyjson.True || v.Kind() == lazyjson.False }

func isTime(v lazyjson.Value) bool {
	var t time.Time
	return v.Kind() == lazyjson.String && json.Unmarshal(v.Raw(), &t) == nil
}

func isStrings(v lazyjson.Value) bool {
	if v.Kind() != lazyjson.Array {
		return false
	}
	for item := v.First(); item.Kind() != lazyjson.Absent; item = item.Next(v) {
		if item.Kind() != lazyjson.String {
			return false
		}
	}
	return true
}
