// Package transform turns a record into the events that sinks get: it reads the
// event that the record is, evaluates the filter, splits the event if
// transform.split is set, evaluates the attributes, writes the output, and decides
// which sinks take it.
//
//	t, err := transform.New(cfg)                   // config.Errors: every fault, with its place in the file
//	events, err := t.Transform(ctx, message, nil)  // no events and no error: filtered; an error has a fault.Code
//
// # The incoming event
//
// A record that is a CloudEvent keeps its attributes: Kafka binding (headers
// ce_…) and HTTP binding (headers ce-…) in binary mode, and structured mode in
// JSON (content-type application/cloudevents+json). Any other gets
//
//	id               <topic>-<partition>-<offset>; else the caller's id; else a random UUID
//	source           fiso-flow/<flow>
//	type             fiso.event
//	time             the record's
//	subject          the key, if it is printable UTF-8 of at most 256 bytes
//	datacontenttype  the content-type header; else detected from the payload
//
// The headers traceparent and tracestate become extensions of the same names,
// unless the event has these.
//
// # What expressions see
//
// Filter, attributes and transform all see the incoming event, and not each
// other's results: data (the payload; of a structured CloudEvent its data), time,
// source, type, id, subject ("" if there is none) and headers, a map of text to
// text in which the last of several headers of one name counts. A sink's
// expressions (Expression) see the finished event instead, and its extension
// attributes as headers.
//
// The payload is decoded when an expression first needs data, and passed on
// unchanged if none does. If data is needed and is not JSON, in UTF-8 and at most
// 1000 levels deep, the result is DECODE_FAILED. For CEL it is an error like any
// other: && and || ignore an operand if the other one decides, in either order, and
// has() does not. So "data.y == 1 && type == x" filters an event of another type,
// whatever its payload is. Data is null for a message without a value (a
// tombstone) and for a CloudEvent without data; an empty value is not JSON.
//
// # Numbers
//
// An integer in JSON is an int in CEL (a uint from 2^63 on), any other number a
// double. An integer beyond 64 bits, or a number beyond the range of a double, is a
// bignumber, which keeps its digits (celjson.Big). Numbers compare across these
// types: data.n == 1.0 and data.n > 0.5 work for all of them. Arithmetic in CEL
// does not mix them: write double(data.n) * 1.5, which works for 2 and for 2.5. A
// number that is only passed on keeps its digits, through literals, branches, loops
// and bindings; the result of a function is written as CEL writes it. Of two
// members with the same name the last counts, but both are passed on with the whole
// object.
//
// # Output
//
// Maps keep the order of their literal; those that a macro makes are sorted by key.
// Timestamps are written in RFC 3339 in UTC, durations as seconds ("90s"), bytes in
// base64. A missing field is an error; null is null. datacontenttype becomes
// application/json, and the incoming event's dataschema is dropped. An object or a
// list of the record is copied byte for byte, including spaces.
//
// Attributes are texts: numbers are written in decimal, timestamps in RFC 3339. Null
// removes a subject, a dataschema or an extension, and is an error for id, type and
// source.
//
// # Split and routes
//
// If Config.Split is set, each element of its list becomes an event: for attributes
// and transform, data is then the element, and parent the data of the message. If
// one of them fails, the message fails, and no event is sent.
//
// The condition of a route sees the finished event, as the expressions of a sink do.
// A replayed dead letter (deadletter.Replayed) goes only to the sink that failed; if
// its message was split, only the part that failed is sent.
//
// # Limits
//
// An expression has at most 16384 characters and 48 nested brackets; both are
// checked before it is parsed. One evaluation takes at most 1,000,000 steps, and all
// evaluations of one event take at most Config.Timeout. No function makes more than
// 32 MiB. Only expressions with loops or with functions that can take long check
// the deadline; no goroutine is started.
//
// # How it is fast
//
// The record is validated once and never decoded (common/lazyjson). The outer
// literals of a transform are a template: their text is made when the flow loads,
// and a place in data is copied from the record. Everything else is evaluated by
// CEL, over values that read the record's bytes (cel/celjson).
// TestEvaluation_isTheSameDecodedLazyAndAsTemplate checks that the results are those
// of CEL over decoded values; its reference is cel-go without the options of this
// package.
//
// Conditions made of ==, !=, <, in, has(), size(), startsWith() and the like over
// places in the event are evaluated without cel-go where possible (native.go). The
// result is yes, no or undecided. If it is undecided, which every error is, cel-go
// evaluates the condition. TestNative_decidesOnlyAsCELGoDoes and FuzzNative
// compare the two. Big numbers, doubles in a list of integers, and lists or objects
// compared with each other are always undecided.
//
// Id and subject of a record that is not a CloudEvent are made when an expression
// needs them, or when the record has passed the filter. Small events and their bytes
// are allocated in blocks (store.go).
package transform
