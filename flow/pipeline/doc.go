// Package pipeline runs a plan. It builds the source, the engine, the sinks and the dead letter
// queues, replaces changed ones while the source keeps running, and reports metrics and status.
package pipeline
