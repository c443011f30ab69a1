package http

import (
	"crypto/tls"
	"net"
	"testing"

	"github.com/lsm/fiso/common/config"
	"github.com/lsm/fiso/common/config/configtest"
)

// UL7: the next connection to the server uses a rotated caFile.
func TestTarget_followsCAFile(t *testing.T) {
	configtest.FollowsCAFile(t, func(caFile string) func(address string) (net.Conn, error) {
		to, err := newTarget(&SinkConfig{URL: "https://example.com/", Method: "POST", TLS: config.TLS{CAFile: caFile}})
		if err != nil {
			t.Fatal(err)
		}
		return func(address string) (net.Conn, error) { return tls.Dial("tcp", address, to.tls()) }
	})
}
