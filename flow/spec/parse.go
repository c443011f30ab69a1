package spec

import (
	"bytes"
	"errors"
	"regexp"
	"strings"

	"github.com/lsm/fiso/common/config"
)

// Parse reads one flow file strictly. Its errors are all faults of the file, in order of position.
// With faults it still returns the flow as far as it could be decoded, or nil if nothing could.
func Parse(file string, data []byte, types *Types) (*Flow, config.Errors) {
	var (
		flow *Flow
		err  error
	)
	if isDefinition(data) {
		d := flowDefinition{Spec: specBody{Flow: Flow{types: types}}}
		err = config.Decode(file, data, &d)
		d.Spec.named(d.Metadata.Name)
		flow = &d.Spec.Flow
	} else {
		b := bareFile{Body: specBody{Flow: Flow{types: types}}}
		err = config.Decode(file, data, &b)
		flow = &b.Body.Flow
	}
	if err == nil {
		return flow, nil
	}
	errs, ok := errors.AsType[config.Errors](err)
	if !ok {
		return nil, config.Errors{{Pos: config.Pos{File: file, Line: 1, Column: 1}, Code: config.CodeSyntax, Message: err.Error()}}
	}
	return flow, explainFutureKeys(errs)
}

// bareFile is a file that holds only the flow body.
type bareFile struct {
	Body specBody `yaml:",inline"`
}

// Validate requires the name: a bare file has no metadata.name to take it from.
func (b *bareFile) Validate() error {
	if b.Body.Flow.Name == "" {
		return fault("name", "missing: give the flow a name, as in name: order-events")
	}
	return nil
}

// specBody is the content of the key spec, which may also hold fields of the operator.
type specBody struct {
	Flow    Flow       `yaml:",inline"`
	Runtime config.Raw `yaml:"runtime" doc:"The operator's part of a FlowDefinition; ignored in a file."`
}

// named sets the name of the flow to that of the object if the flow has none.
func (b *specBody) named(name string) {
	if b.Flow.Name == "" {
		b.Flow.Name = name
	}
}

// flowDefinition is a FlowDefinition object of Kubernetes.
type flowDefinition struct {
	APIVersion string     `yaml:"apiVersion" required:"true" enum:"fiso.io/v1alpha1"`
	Kind       string     `yaml:"kind" required:"true" enum:"FlowDefinition"`
	Metadata   metadata   `yaml:"metadata"`
	Spec       specBody   `yaml:"spec" required:"true"`
	Status     config.Raw `yaml:"status"`
}

// metadata is ObjectMeta of Kubernetes. Only the name is used; the other keys are listed so that a
// misspelt key is reported.
type metadata struct {
	Name              string     `yaml:"name"`
	GenerateName      config.Raw `yaml:"generateName"`
	Namespace         config.Raw `yaml:"namespace"`
	Labels            config.Raw `yaml:"labels"`
	Annotations       config.Raw `yaml:"annotations"`
	Finalizers        config.Raw `yaml:"finalizers"`
	OwnerReferences   config.Raw `yaml:"ownerReferences"`
	ManagedFields     config.Raw `yaml:"managedFields"`
	UID               config.Raw `yaml:"uid"`
	ResourceVersion   config.Raw `yaml:"resourceVersion"`
	Generation        config.Raw `yaml:"generation"`
	SelfLink          config.Raw `yaml:"selfLink"`
	CreationTimestamp config.Raw `yaml:"creationTimestamp"`
	DeletionTimestamp config.Raw `yaml:"deletionTimestamp"`
	DeletionGrace     config.Raw `yaml:"deletionGracePeriodSeconds"`
}

// Validate requires that metadata.name and the name of the flow are equal.
func (d *flowDefinition) Validate() error {
	switch name := d.Metadata.Name; {
	case name == "" && d.Spec.Flow.Name == "":
		return fault("metadata.name", "missing: it is the flow's name")
	case name != "" && d.Spec.Flow.Name != "" && name != d.Spec.Flow.Name:
		return fault("spec.name", "%s is not metadata.name, %s: remove it, or make them agree", d.Spec.Flow.Name, name)
	case d.Spec.Flow.Name == "":
		return validName("metadata.name", name)
	}
	return nil
}

// Keys that occur in a FlowDefinition and never in a flow body.
var (
	blockKey = regexp.MustCompile(`(?m)^["']?(apiVersion|kind)["']?[ \t]*:`)
	flowKey  = regexp.MustCompile(`^[{\s]*["']?(apiVersion|kind)["']?[ \t]*:|["'](apiVersion|kind)["'][ \t]*:`)
)

func isDefinition(data []byte) bool {
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	if strings.HasPrefix(strings.TrimLeft(string(data), " \t\r\n"), "{") {
		return flowKey.Match(data)
	}
	return blockKey.Match(data)
}
