package plan

import (
	"maps"
	"slices"

	"github.com/lsm/fiso/common/config"
	"github.com/lsm/fiso/flow/spec"
)

type object = map[string]any

// Schema returns the JSON Schema (draft 2020-12) of a flow file, for editors. It accepts a flow
// body and a FlowDefinition object. The schema of config depends on type.
func Schema() map[string]any {
	flow := config.Schema(spec.Flow{})
	delete(flow, "$schema")
	properties := flow["properties"].(object)
	properties["runtime"] = object{"type": "object", "description": "The operator's part of a FlowDefinition; ignored in a file."}
	byType(properties["source"].(object), newConfigs(sources))
	byType(properties["sink"].(object), newConfigs(sinks))
	output := properties["sinks"].(object)["items"].(object)
	byType(output, newConfigs(sinks))
	for _, part := range []object{flow, output} {
		handling := part["properties"].(object)["errorHandling"].(object)
		byType(handling["properties"].(object)["deadLetter"].(object), newConfigs(letterTypes))
	}
	flow["required"] = []string{"source"}
	flow["oneOf"] = []any{
		object{"required": []string{"sink"}, "properties": object{"sink": object{"required": []string{"type"}}}},
		object{"required": []string{"sinks"}},
	}

	ref := object{"$ref": "#/$defs/flow"}
	return object{
		"$schema": "https://json-schema.org/draft/2020-12/schema",
		"title":   "Fiso flow file",
		"$defs":   object{"flow": flow},
		"if":      object{"required": []string{"kind"}},
		"then": object{
			"type": "object", "additionalProperties": false, "required": []string{"apiVersion", "kind", "spec"},
			"properties": object{
				"apiVersion": object{"const": "fiso.io/v1alpha1"}, "kind": object{"const": "FlowDefinition"},
				"metadata": object{"type": "object"}, "status": object{}, "spec": ref,
			},
		},
		"else": object{"allOf": []any{ref, object{"required": []string{"name"}}}},
	}
}

// newConfigs returns an empty config for each type.
func newConfigs[T any](types map[string]func() T) map[string]any {
	all := map[string]any{}
	for name, newConfig := range types {
		all[name] = newConfig()
	}
	return all
}

// byType makes the schema of config depend on type.
func byType(part object, configs map[string]any) {
	names := slices.Sorted(maps.Keys(configs))
	part["properties"].(object)["type"].(object)["enum"] = names
	var cases []any
	for _, name := range names {
		s := config.InterpolatedSchema(configs[name])
		delete(s, "$schema")
		then := object{"properties": object{"config": s}}
		if s["required"] != nil {
			then["required"] = []string{"config"}
		}
		cases = append(cases, object{
			"if":   object{"properties": object{"type": object{"const": name}}, "required": []string{"type"}},
			"then": then,
		})
	}
	part["allOf"] = cases
}
