package eventpb_test

import (
	"testing"

	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/lsm/fiso/connectors/grpc/eventpb"
)

// G8: reflection fails when an import of a served file has another name than the file
// that it means: https://github.com/cloudevents/sdk-go/issues/1082,
// https://github.com/fullstorydev/grpcurl/issues/432
func TestDescriptors_resolveEveryImport(t *testing.T) {
	files, err := eventpb.Descriptors()
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	files.RangeFiles(func(file protoreflect.FileDescriptor) bool {
		seen++
		for i := range file.Imports().Len() {
			imported := file.Imports().Get(i)
			found, err := files.FindFileByPath(imported.Path())
			if err != nil || imported.IsPlaceholder() || found.Package() != imported.Package() {
				t.Errorf("%s imports %s: %v", file.Path(), imported.Path(), err)
			}
		}
		return true
	})
	if seen != 6 {
		t.Errorf("%d files, want the service's own, those of CloudEvents and google.rpc, and three of google.protobuf", seen)
	}
	for _, name := range []protoreflect.FullName{"fiso.v1.Events", "fiso.v1.Events.PublishStream", "fiso.v1.StreamEvent", "io.cloudevents.v1.CloudEvent", "google.rpc.Status"} {
		if _, err := files.FindDescriptorByName(name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The Go code and the embedded descriptors are made by different tools from one file.
func TestDescriptors_areThoseOfTheGeneratedCode(t *testing.T) {
	files, err := eventpb.Descriptors()
	if err != nil {
		t.Fatal(err)
	}
	file, err := files.FindFileByPath("fiso/v1/events.proto")
	if err != nil {
		t.Fatal(err)
	}
	made := protodesc.ToFileDescriptorProto(eventpb.File_fiso_v1_events_proto)
	embedded := protodesc.ToFileDescriptorProto(file)
	if len(made.MessageType) != len(embedded.MessageType) {
		t.Fatalf("%d messages in the code, %d in the descriptors", len(made.MessageType), len(embedded.MessageType))
	}
	for i, message := range made.MessageType {
		if got, want := embedded.MessageType[i].String(), message.String(); got != want {
			t.Errorf("the descriptors have %s, the code has %s", got, want)
		}
	}
	for i, service := range made.Service {
		if got, want := embedded.Service[i].String(), service.String(); got != want {
			t.Errorf("the descriptors have %s, the code has %s", got, want)
		}
	}
	if file.SourceLocations().ByDescriptor(file.Services().Get(0)).LeadingComments == "" {
		t.Error("the descriptors have no comments: grpcurl describe would show none")
	}
}
