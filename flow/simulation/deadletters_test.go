//go:build synctests

package simulation

import (
	"context"
	"errors"
	"strconv"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// deadLetter is a dead letter in its topic.
type deadLetter struct {
	topic      string // the dead letter topic
	part       int32
	offset     int64
	sink       string
	piece      int
	code       string
	key, value string
	headers    []kgo.RecordHeader
}

func (sim *simulation) refuseDeadLetters(req *kmsg.ProduceRequest, orders [16]byte) (kmsg.Response, error, bool) {
	sim.mu.Lock()
	code := sim.deadLetterError
	sim.mu.Unlock()
	if code == 0 || isOrders(req, orders) {
		return nil, nil, false
	}
	resp := req.ResponseKind().(*kmsg.ProduceResponse)
	for _, t := range req.Topics {
		rt := kmsg.NewProduceResponseTopic()
		rt.Topic, rt.TopicID = t.Topic, t.TopicID
		for _, p := range t.Partitions {
			rp := kmsg.NewProduceResponseTopicPartition()
			rp.Partition, rp.ErrorCode = p.Partition, code
			rt.Partitions = append(rt.Partitions, rp)
		}
		resp.Topics = append(resp.Topics, rt)
	}
	return resp, nil, true
}

func isOrders(req *kmsg.ProduceRequest, orders [16]byte) bool {
	return len(req.Topics) == 0 || req.Topics[0].Topic == topic || req.Topics[0].TopicID == orders
}

func (sim *simulation) recordDeadLetters(req *kmsg.ProduceRequest, orders [16]byte) {
	if isOrders(req, orders) {
		return
	}
	for _, t := range req.Topics {
		for _, p := range t.Partitions {
			var b kmsg.RecordBatch
			if err := b.ReadFrom(p.Records); err != nil {
				sim.violation("a dead letter batch cannot be read: %v", err)
				continue
			}
			if sim.isRetriedBatch(t.TopicID, b, p.Partition) {
				continue
			}
			records, err := kfake.BatchRecords(b)
			if err != nil {
				sim.violation("dead letters cannot be read: %v", err)
			}
			for _, r := range records {
				sim.recordDeadLetter(r)
			}
		}
	}
}

// batchID identifies a batch of a producer across retries.
type batchID struct {
	topic    [16]byte
	producer int64
	epoch    int16
	first    int32
	part     int32
}

// isRetriedBatch reports whether a producer sends a batch again because the answer was lost. The
// cluster stores it once.
func (sim *simulation) isRetriedBatch(topic [16]byte, b kmsg.RecordBatch, part int32) bool {
	id := batchID{topic, b.ProducerID, b.ProducerEpoch, b.FirstSequence, part}
	sim.mu.Lock()
	defer sim.mu.Unlock()
	again := sim.batches[id]
	sim.batches[id] = true
	return again
}

func (sim *simulation) recordDeadLetter(r kmsg.Record) {
	e := entry{kind: deadLettered}
	for _, h := range r.Headers {
		switch v := string(h.Value); h.Key {
		case "fiso-original-partition":
			n, _ := strconv.Atoi(v) // readDeadLetters reports faults
			e.part = int32(n)       //nolint:gosec // G115: one of six
		case "fiso-original-offset":
			e.offset, _ = strconv.ParseInt(v, 10, 64) // likewise
		case "fiso-error-code":
			e.text = v
		case "fiso-sink":
			e.sink = v
		case "fiso-part":
			e.piece, _ = strconv.Atoi(v) // readDeadLetters reports faults
		}
	}
	sim.history.add(e)
}

// readDeadLetters reads all dead letter topics.
func (sim *simulation) readDeadLetters(ctx context.Context) (all []deadLetter) {
	for _, t := range sim.plan.deadLetterTopics() {
		records, err := sim.kafka.Records(ctx, t)
		if err != nil {
			sim.violation("the dead letter queue cannot be read: %v", err)
		}
		for _, r := range records {
			all = append(all, sim.readDeadLetter(r))
		}
	}
	return all
}

func (sim *simulation) readDeadLetter(r *kgo.Record) deadLetter {
	head := map[string]string{}
	for _, h := range r.Headers {
		head[h.Key] = string(h.Value)
	}
	s := deadLetter{topic: r.Topic, sink: head["fiso-sink"], code: head["fiso-error-code"], key: string(r.Key), value: string(r.Value), headers: r.Headers}
	var errs [3]error
	var p int
	p, errs[0] = strconv.Atoi(head["fiso-original-partition"])
	s.offset, errs[1] = strconv.ParseInt(head["fiso-original-offset"], 10, 64)
	s.part = int32(p) //nolint:gosec // G115: one of six
	if piece, ok := head["fiso-part"]; ok {
		s.piece, errs[2] = strconv.Atoi(piece)
	}
	if err := errors.Join(errs[:]...); err != nil {
		sim.violation("a dead letter does not name its position: %v", head)
	}
	return s
}
