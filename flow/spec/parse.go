package spec

import (
	"bytes"
	"errors"
	"regexp"
	"strings"

	"github.com/lsm/fiso/common/config"
)

// Parse reads one flow file strictly. Its errors are every fault of the file, in
// order of position. With faults it still returns what could be read, or nil when
// nothing could.
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

// bareFile is a file that is the body alone.
type bareFile struct {
	Body specBody `yaml:",inline"`
}

// Validate asks for the name, which nothing else can give.
func (b *bareFile) Validate() error {
	if b.Body.Flow.Name == "" {
		return fault("name", "missing: give the flow a name, as in name: order-events")
	}
	return nil
}

// specBody is what stands under spec, which may hold what is the operator's.
type specBody struct {
	Flow    Flow       `yaml:",inline"`
	Runtime config.Raw `yaml:"runtime" doc:"The operator's part of a FlowDefinition; ignored in a file."`
}

// named gives the flow the object's name when it has none of its own.
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

// metadata is Kubernetes' ObjectMeta, of which only the name matters here. The
// rest is listed so that a slip in a key is still found.
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

// Validate lets the object's name and the flow's be one.
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

// A FlowDefinition shows itself by a key that no body has.
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
