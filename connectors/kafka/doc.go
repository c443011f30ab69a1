// Package kafka reads and writes Apache Kafka for Fiso, and is useful to any
// Go program that wants records handed over one by one and nothing lost.
//
//   - Source consumes as a member of a group (cooperative rebalancing, static
//     membership, read_committed) and commits by what was settled: an offset is
//     never committed past a record that was not.
//   - Producer writes records idempotently and reports each as stored only when
//     every in-sync replica has it. Sink writes CloudEvents with it.
//   - ReadTopic reads a topic to its end without a group.
//
// Package cekafka beside this one fits the same into the CloudEvents SDK, and
// kafkatest starts brokers for tests.
//
// # Where a source starts
//
// The group's committed offset decides. Where the group has none, startOffset
// does, for the partitions that existed when the group first started, and the
// position it comes to is committed before the first record is handed over.
// Partitions that appear later are read from their start, so that what was
// written before they were noticed is not skipped. A committed offset that the
// broker no longer has is a Gap: it is logged, noted, reported to OnGap, and
// reading resumes at the earliest record left, or holds if so configured.
//
// # What settling does
//
// Settle(nil) lets the partition's watermark pass. Settle(err) holds it: the
// source finishes what is in flight in that partition, waits a little, and
// hands over again from the oldest record that was not settled. Records that
// were settled beyond it come again too; they carry the same position.
package kafka
