// Package async makes calls by way of Kafka. Accept puts a call into a topic and
// says so; a Worker reads the topic as a member of a consumer group and makes the
// calls, at least once, by the same walk as any other (proxy.Deliver). Publish
// puts a body into a topic, and that is the call.
//
// A record is settled when its target answered for good, and the reply is
// stored; or when its dead letter is. Neither a target that is away nor a topic
// that cannot be written to settles anything: the calls wait, and the worker
// fetches no more than it may hold. Order, retries and what waits are package
// delivery's.
package async
