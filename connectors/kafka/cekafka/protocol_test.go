package cekafka

import (
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestNew_saysWhoseProtocolLacksASide(t *testing.T) {
	if err := New(nil, nil).OpenInbound(t.Context()); err == nil || !strings.HasPrefix(err.Error(), "cekafka: open inbound: the protocol has no source") {
		t.Errorf("%v", err)
	}
}
