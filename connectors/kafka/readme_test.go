package kafka_test

import (
	"testing"

	"github.com/lsm/fiso/common/config/configdoc"
	"github.com/lsm/fiso/connectors/kafka"
)

func TestGenerated_README(t *testing.T) {
	configdoc.README(t, "README.md", kafka.SourceConfig{}, kafka.SinkConfig{})
}
