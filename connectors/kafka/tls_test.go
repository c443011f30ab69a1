package kafka

import (
	"net"
	"testing"
	"time"

	"github.com/lsm/fiso/common/config"
	"github.com/lsm/fiso/common/config/configtest"
)

// UL7: a rotated caFile is used for the next connection to a broker.
func TestDialler_followsCAFile(t *testing.T) {
	configtest.FollowsCAFile(t, func(caFile string) func(address string) (net.Conn, error) {
		dial, err := (&ClientConfig{DialTimeout: 10 * time.Second, TLS: config.TLS{CAFile: caFile, ServerName: "example.com"}}).dialler(nil)
		if err != nil {
			t.Fatal(err)
		}
		return func(address string) (net.Conn, error) { return dial(t.Context(), "tcp", address) }
	})
}
