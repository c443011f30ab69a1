// Package grpc receives CloudEvents from gRPC producers (Source) and sends them to a
// gRPC server (Sink). Both speak the service fiso.v1.Events, which
// proto/fiso/v1/events.proto describes. Import it as fisogrpc, beside
// google.golang.org/grpc:
//
//	import fisogrpc "github.com/lsm/fiso/connectors/grpc"
package grpc
