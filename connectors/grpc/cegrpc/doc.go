// Package cegrpc adapts the service fiso.v1.Events to the CloudEvents SDK:
// cloudevents.NewClient takes a Protocol, which sends by the Sink of package fisogrpc,
// receives from its Source, or both. The SDK itself has no binding for gRPC.
//
// An event is answered once the SDK finishes its message: with OK when the receiver
// function returns without an error, or with a result that acknowledges; else with
// UNAVAILABLE, so that the producer sends it again.
package cegrpc
