package cegrpc

import (
	"github.com/lsm/fiso/common/connector"
	"github.com/lsm/fiso/common/connector/ceprotocol"
)

// Protocol sends by a sink and receives from a source. It is safe for concurrent use.
type Protocol = ceprotocol.Protocol

// New returns a protocol over a source and a sink, either of which may be nil. Close
// closes the sink; OpenInbound, which the SDK's StartReceiver calls, runs the source. The
// extension partitionkey of an event that is sent is its key.
func New(source connector.Source, sink connector.Sink) *Protocol {
	return ceprotocol.New("cegrpc", source, sink)
}
