package plan

import (
	"slices"
	"testing"

	"github.com/lsm/fiso/common/config/configtest"
	"github.com/lsm/fiso/connectors/http"
	"github.com/lsm/fiso/connectors/kafka"
	"github.com/lsm/fiso/flow/spec"
)

// UL7: every file that a flow names is watched. TLS files are read again for the next connection
// (common/config TestTLS_followsItsFiles, connectors/http TestTarget_followsCAFile,
// connectors/kafka TestDialler_followsCAFile), and the OAUTHBEARER token for every authentication.
// A new key that names a file must be added here.
func TestFiles_areFollowedWhicheverKeyNamesThem(t *testing.T) {
	tls := []string{"tls.caFile", "tls.certFile", "tls.keyFile"}
	for _, part := range []struct {
		name string
		of   any
		want []string
	}{
		{"flow", spec.Flow{}, nil},
		{"http source", http.SourceConfig{}, tls},
		{"http sink", http.SinkConfig{}, tls},
		{"kafka source", kafka.SourceConfig{}, append([]string{"sasl.tokenFile"}, tls...)},
		{"kafka sink", kafka.SinkConfig{}, append([]string{"sasl.tokenFile"}, tls...)},
	} {
		if got := configtest.FileKeys(part.of); !slices.Equal(got, part.want) {
			t.Errorf("%s names files by %v, want %v", part.name, got, part.want)
		}
	}
}
