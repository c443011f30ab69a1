package http_test

import (
	"testing"

	"github.com/lsm/fiso/common/config/configdoc"
	fisohttp "github.com/lsm/fiso/connectors/http"
)

func TestGenerated_README(t *testing.T) {
	configdoc.README(t, "README.md", fisohttp.SourceConfig{}, fisohttp.SinkConfig{})
}
