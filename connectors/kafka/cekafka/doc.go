// Package cekafka fits Kafka into the CloudEvents SDK: a Protocol is what
// cloudevents.NewClient takes, to send by a kafka.Sink, to receive by a
// kafka.Source, or both. The SDK itself has no binding for franz-go.
//
// A message counts as settled once the SDK finishes it: with nil, or an
// acknowledging result, when the receiver function returns without error. With
// an error it comes again; see package kafka.
package cekafka
