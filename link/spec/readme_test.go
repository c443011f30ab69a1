package spec_test

import (
	"testing"

	"github.com/lsm/fiso/common/config/configdoc"
	"github.com/lsm/fiso/link/spec"
)

func TestGenerated_README(t *testing.T) {
	configdoc.README(t, "../README.md", spec.Config{}, spec.Target{})
}
