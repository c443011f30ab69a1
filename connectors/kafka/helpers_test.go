package kafka

import (
	"github.com/lsm/fiso/common/config"
	"github.com/twmb/franz-go/pkg/kadm"
)

type kafkaOffset = kadm.OffsetResponse

func commitAt(topic string, partition int32, at int64, metadata string) kafkaOffset {
	return kafkaOffset{Offset: kadm.Offset{Topic: topic, Partition: partition, At: at, Metadata: metadata}}
}

func secret(s string) config.Secret { return config.NewSecret(s) }
