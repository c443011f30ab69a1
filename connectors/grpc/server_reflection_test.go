package grpc

import (
	"slices"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
)

// G8: descriptors of one name in two files, and imports by a path that the server does
// not know, break clients that read the protocol from the server
// (https://github.com/cloudevents/sdk-go/issues/1082,
// https://github.com/fullstorydev/grpcurl/issues/432). So the client here builds all
// descriptors from what the server says, and nothing else.
func TestServer_reflectsEveryServiceCompletely(t *testing.T) {
	s := runSource(t, sourceConfig(), SourceOptions{}, settleOK)
	stream, err := reflectionv1.NewServerReflectionClient(dialSource(t, s.address)).ServerReflectionInfo(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ask := func(r *reflectionv1.ServerReflectionRequest) *reflectionv1.ServerReflectionResponse {
		t.Helper()
		if err := stream.Send(r); err != nil {
			t.Fatal(err)
		}
		answer, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		if e := answer.GetErrorResponse(); e != nil {
			t.Fatalf("%v: %s", r, e.ErrorMessage)
		}
		return answer
	}
	files := map[string]*descriptorpb.FileDescriptorProto{}
	add := func(answer *reflectionv1.ServerReflectionResponse) {
		for _, raw := range answer.GetFileDescriptorResponse().GetFileDescriptorProto() {
			file := new(descriptorpb.FileDescriptorProto)
			if err := proto.Unmarshal(raw, file); err != nil {
				t.Fatal(err)
			}
			files[file.GetName()] = file
		}
	}
	var services []string
	for _, service := range ask(&reflectionv1.ServerReflectionRequest{MessageRequest: &reflectionv1.ServerReflectionRequest_ListServices{}}).GetListServicesResponse().GetService() {
		services = append(services, service.Name)
		add(ask(&reflectionv1.ServerReflectionRequest{MessageRequest: &reflectionv1.ServerReflectionRequest_FileContainingSymbol{FileContainingSymbol: service.Name}}))
	}
	if want := []string{"fiso.v1.Events", "grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection"}; !slices.Equal(services, want) {
		t.Errorf("services %q; want %q", services, want)
	}
	for missing := true; missing; {
		missing = false
		for _, file := range files {
			for _, path := range file.Dependency {
				if files[path] == nil {
					missing = true
					add(ask(&reflectionv1.ServerReflectionRequest{MessageRequest: &reflectionv1.ServerReflectionRequest_FileByFilename{FileByFilename: path}}))
				}
			}
		}
	}
	set := new(descriptorpb.FileDescriptorSet)
	for _, file := range files {
		set.File = append(set.File, file)
	}
	built, err := protodesc.NewFiles(set)
	if err != nil {
		t.Fatal(err)
	}
	for _, symbol := range []protoreflect.FullName{"fiso.v1.Events.PublishStream", "fiso.v1.StreamEvent", "io.cloudevents.v1.CloudEvent", "google.rpc.Status"} {
		found, err := built.FindDescriptorByName(symbol)
		if err != nil {
			t.Errorf("%s: %v", symbol, err)
			continue
		}
		file := ask(&reflectionv1.ServerReflectionRequest{MessageRequest: &reflectionv1.ServerReflectionRequest_FileContainingSymbol{FileContainingSymbol: string(symbol)}})
		add(file)
		if files[found.ParentFile().Path()] == nil {
			t.Errorf("%s is in another file when it is asked for by name", symbol)
		}
	}
	for _, path := range []string{"io/cloudevents/v1/cloudevents.proto", "grpc/health/v1/health.proto"} {
		answer := ask(&reflectionv1.ServerReflectionRequest{MessageRequest: &reflectionv1.ServerReflectionRequest_FileByFilename{FileByFilename: path}})
		if len(answer.GetFileDescriptorResponse().GetFileDescriptorProto()) == 0 {
			t.Errorf("%s is not served", path)
		}
		add(answer)
	}
	if files["cloudevent.proto"] != nil {
		t.Error("the file of the SDK is served beside that of the specification")
	}
	if err := stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
}

// Older clients, grpcurl among them, know this version only. Its messages are the same.
func TestServer_reflectsByTheOlderProtocolToo(t *testing.T) {
	s := runSource(t, sourceConfig(), SourceOptions{}, settleOK)
	stream, err := dialSource(t, s.address).NewStream(t.Context(), &grpc.StreamDesc{ClientStreams: true, ServerStreams: true},
		"/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo")
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.SendMsg(&reflectionv1.ServerReflectionRequest{
		MessageRequest: &reflectionv1.ServerReflectionRequest_FileContainingSymbol{FileContainingSymbol: "fiso.v1.Events"},
	}); err != nil {
		t.Fatal(err)
	}
	answer := new(reflectionv1.ServerReflectionResponse)
	if err := stream.RecvMsg(answer); err != nil || len(answer.GetFileDescriptorResponse().GetFileDescriptorProto()) == 0 {
		t.Errorf("answered with %v, %v", answer, err)
	}
}

// L14: a path without its slash slipped past interceptors
// (https://github.com/grpc/grpc-go/security/advisories, CVE-2026-33186).
func TestServer_refusesAPathWithoutASlash(t *testing.T) {
	s := runSource(t, sourceConfig(), SourceOptions{}, settleOK)
	c := rawCall(t, s.address, "fiso.v1.Events/PublishStream")
	defer func() { _ = c.conn.Close() }()
	if code := c.status(); code != codes.Unimplemented {
		t.Errorf("the call ended with %v", code)
	}
	if s.listener.calls.Load() != 0 {
		t.Error("the call was taken")
	}
}
