// Package cekafka adapts Kafka to the CloudEvents SDK: cloudevents.NewClient takes a
// Protocol, which sends by a kafka.Sink, receives from a kafka.Source, or both. The SDK
// itself has no binding for franz-go.
//
// A message is settled once the SDK finishes it: with nil, or an acknowledging result,
// when the receiver function returns without an error. With an error it is delivered
// again; see package kafka.
package cekafka
