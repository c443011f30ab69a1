package temporal_test

import (
	"testing"

	"github.com/lsm/fiso/common/config/configdoc"
	"github.com/lsm/fiso/connectors/temporal"
)

func TestGenerated_README(t *testing.T) {
	configdoc.README(t, "README.md", temporal.SinkConfig{}, temporal.SourceConfig{})
}
