// Package pipeline runs a plan: it builds the source, the engine, the sink
// and the place for dead letters, takes over changed ones while the source goes
// on, counts, and says how the flow stands.
package pipeline
