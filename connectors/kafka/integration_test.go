//go:build integration

package kafka

import (
	"testing"

	"github.com/lsm/fiso/connectors/kafka/kafkatest"
)

func TestReal_starts(t *testing.T) {
	c := kafkatest.Real(t, kafkatest.RealOptions{})
	if err := c.CreateTopic(t.Context(), "t", 3, nil); err != nil {
		t.Fatal(err)
	}
}
