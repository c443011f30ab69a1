package demo

import (
	"testing"

	"github.com/lsm/fiso/common/config/configdoc"
)

// The demo runs the file that deploy/examples shows.
func TestGenerated_exampleIsTheDemosFlow(t *testing.T) {
	configdoc.File(t, "../../deploy/examples/order-events.yaml", []byte(flowFile))
}
