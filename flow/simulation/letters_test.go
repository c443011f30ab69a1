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

// stored is a dead letter in its topic.
type stored struct {
	topic      string // the dead letter topic
	part       int32
	offset     int64
	sink       string
	piece      int
	code       string
	key, value string
	headers    []kgo.RecordHeader
}

func (w *world) refuseLetters(req *kmsg.ProduceRequest, orders [16]byte) (kmsg.Response, error, bool) {
	w.mu.Lock()
	code := w.refuses
	w.mu.Unlock()
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

func (w *world) noteLetters(req *kmsg.ProduceRequest, orders [16]byte) {
	if isOrders(req, orders) {
		return
	}
	for _, t := range req.Topics {
		for _, p := range t.Partitions {
			var b kmsg.RecordBatch
			if err := b.ReadFrom(p.Records); err != nil {
				w.broken("a dead letter batch cannot be read: %v", err)
				continue
			}
			if w.sentBefore(t.TopicID, b, p.Partition) {
				continue
			}
			records, err := kfake.BatchRecords(b)
			if err != nil {
				w.broken("dead letters cannot be read: %v", err)
			}
			for _, r := range records {
				w.noteLetter(r)
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

// sentBefore reports whether a producer sends a batch again because the answer was lost. The
// cluster stores it once.
func (w *world) sentBefore(topic [16]byte, b kmsg.RecordBatch, part int32) bool {
	id := batchID{topic, b.ProducerID, b.ProducerEpoch, b.FirstSequence, part}
	w.mu.Lock()
	defer w.mu.Unlock()
	again := w.batches[id]
	w.batches[id] = true
	return again
}

func (w *world) noteLetter(r kmsg.Record) {
	e := entry{what: lettered}
	for _, h := range r.Headers {
		switch v := string(h.Value); h.Key {
		case "fiso-original-partition":
			n, _ := strconv.Atoi(v) // readLetters reports faults
			e.part = int32(n)       //nolint:gosec // G115: one of six
		case "fiso-original-offset":
			e.offset, _ = strconv.ParseInt(v, 10, 64) // likewise
		case "fiso-error-code":
			e.text = v
		case "fiso-sink":
			e.sink = v
		case "fiso-part":
			e.piece, _ = strconv.Atoi(v) // readLetters reports faults
		}
	}
	w.history.add(e)
}

// readLetters reads all dead letter topics.
func (w *world) readLetters(ctx context.Context) (all []stored) {
	for _, t := range w.plan.letterTopics() {
		records, err := w.kafka.Records(ctx, t)
		if err != nil {
			w.broken("the dead letter queue cannot be read: %v", err)
		}
		for _, r := range records {
			all = append(all, w.readLetter(r))
		}
	}
	return all
}

func (w *world) readLetter(r *kgo.Record) stored {
	head := map[string]string{}
	for _, h := range r.Headers {
		head[h.Key] = string(h.Value)
	}
	s := stored{topic: r.Topic, sink: head["fiso-sink"], code: head["fiso-error-code"], key: string(r.Key), value: string(r.Value), headers: r.Headers}
	var errs [3]error
	var p int
	p, errs[0] = strconv.Atoi(head["fiso-original-partition"])
	s.offset, errs[1] = strconv.ParseInt(head["fiso-original-offset"], 10, 64)
	s.part = int32(p) //nolint:gosec // G115: one of six
	if piece, ok := head["fiso-part"]; ok {
		s.piece, errs[2] = strconv.Atoi(piece)
	}
	if err := errors.Join(errs[:]...); err != nil {
		w.broken("a dead letter does not say where it stood: %v", head)
	}
	return s
}
