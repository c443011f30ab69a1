// Package eventpb is the Go code of proto/fiso/v1/events.proto, and its descriptors.
package eventpb

// `go tool mage generate` runs these with the versions of the tools that it pins.
//
//go:generate buf generate
//go:generate buf build ../proto -o events.binpb --as-file-descriptor-set

import (
	_ "embed"
	"fmt"
	"sync"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
)

//go:embed events.binpb
var descriptorSet []byte

// Descriptors returns the descriptors of fiso/v1/events.proto and all that it imports,
// for server reflection. The registry of the Go program cannot serve them: there the
// CloudEvents SDK has cloudevents.proto under another name.
var Descriptors = sync.OnceValues(func() (*protoregistry.Files, error) {
	var set descriptorpb.FileDescriptorSet
	if err := proto.Unmarshal(descriptorSet, &set); err != nil {
		return nil, fmt.Errorf("read the descriptors of fiso.v1: %w", err)
	}
	files, err := protodesc.NewFiles(&set)
	if err != nil {
		return nil, fmt.Errorf("read the descriptors of fiso.v1: %w", err)
	}
	return files, nil
})
