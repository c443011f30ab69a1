package demo

import (
	"testing"

	"github.com/lsm/fiso/common/config/configdoc"
)

// The demo uses the same file as deploy/examples.
func TestGenerated_exampleIsTheDemosFlow(t *testing.T) {
	configdoc.File(t, "../../deploy/examples/order-events.yaml", []byte(flowFile))
}
