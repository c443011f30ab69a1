// Package async makes calls through Kafka. Accept stores a call in a topic. A Worker
// reads the topic as a member of a consumer group and makes the calls at least once,
// through the same walk as any other call (proxy.Deliver). Publish stores a body in a
// topic, which is the whole call.
//
// A record is settled when the target gave a final answer and the reply is stored, or
// when the dead letter is stored. While the target is away, or a topic cannot be
// written to, calls are held and the worker fetches no more than its bounds. Ordering,
// retries and holding are done by package delivery.
package async
