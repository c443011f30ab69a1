package grpc_test

import (
	"testing"

	"github.com/lsm/fiso/common/config/configdoc"
	fisogrpc "github.com/lsm/fiso/connectors/grpc"
)

func TestGenerated_README(t *testing.T) {
	configdoc.README(t, "README.md", fisogrpc.SourceConfig{}, fisogrpc.SinkConfig{})
}
