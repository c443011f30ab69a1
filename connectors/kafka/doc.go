// Package kafka reads and writes Apache Kafka for Fiso. Any Go program can use it to
// consume records one by one without losing any.
//
//   - Source consumes as a member of a group (cooperative rebalancing, static
//     membership, read_committed). It commits what was settled, and never an
//     offset past an unsettled record.
//   - Producer writes records idempotently and reports each as stored only when
//     every in-sync replica has it. Sink writes CloudEvents with it.
//   - ReadTopic reads a topic to its end without a group.
//
// Package cekafka adapts a Source and a Sink to the CloudEvents SDK, and kafkatest
// starts brokers for tests.
//
// # Where a source starts
//
// A source starts at the group's committed offset. Where the group has none,
// startOffset decides, for the partitions that existed when the group first started,
// and the position is committed before the first record is handed over. Partitions that
// appear later are read from their start, so that records written before they were
// noticed are not skipped. A committed offset that the broker no longer has is a Gap:
// the source logs it, adds it to Status and calls OnGap, and then resumes at the
// earliest record left, or holds the partition if so configured.
//
// # What settling does
//
// Settle(nil) lets the partition's watermark pass. Settle(err) holds it: the source
// waits for what is in flight in that partition, pauses, and hands over again from the
// oldest unsettled record. Records that were settled beyond it are not handed over
// again.
package kafka
