// Package ceprotocol makes a source and a sink a protocol of the CloudEvents SDK, which
// cloudevents.NewClient takes. Packages cekafka and cegrpc are made of it.
//
// It is apart from package connector because of the SDK's cost: see package cesdk.
package ceprotocol
