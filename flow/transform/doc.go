// Package transform turns a record into the events that sinks get: it finds out
// what event the record is, asks the filter, takes it apart where transform.split
// says so, works out the attributes, writes the output, and asks which sinks take
// it.
//
//	t, err := transform.New(cfg)                   // config.Errors: every fault, with its place in the file
//	events, err := t.Transform(ctx, message, nil)  // none, nil: filtered; an error has a fault.Code
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
//	datacontenttype  the content-type header; else what the payload is
//
// The headers traceparent and tracestate become extensions of those names,
// unless the event has them.
//
// # What expressions see
//
// Filter, attributes and transform all see the incoming event, whatever the
// others make of it: data (the payload; of a structured CloudEvent its data),
// time, source, type, id, subject ("" if there is none) and headers, a map of
// text to text in which the last of several headers of one name counts. A
// sink's expressions (Expression) see the finished event instead, and its
// extension attributes as headers.
//
// The payload is decoded when an expression first needs data, and passed on as
// it is, whatever it is, when none does. Data that is needed and is not JSON, in
// UTF-8 and at most 1000 levels deep, is DECODE_FAILED. For CEL it is an error
// like any other: && and || do without an operand where the other one decides,
// in either order, and has() does not. So "data.y == 1 && type == x" filters an
// event of another type, whatever its bytes are. A message without a value (a tombstone) and a CloudEvent without
// data have null; a value of no bytes is not JSON.
//
// # Numbers
//
// An integer in JSON is an int in CEL (a uint from 2^63 on), any other number
// a double. What neither holds, an integer beyond 64 bits or a number beyond the
// range of a double, is a bignumber: its digits (celjson.Big). Numbers compare across these
// types: data.n == 1.0 and data.n > 0.5 do what one expects. Arithmetic in CEL
// does not mix them: write double(data.n) * 1.5, which is right for 2 and for
// 2.5. A number that is only passed on leaves with the digits it came with,
// through literals, branches, loops and bindings; a number that a function has
// touched is written as CEL writes it. Of two members with the same name the
// last counts, but both are passed on where the whole object is.
//
// # Output
//
// Maps keep the order of the literal that made them; those that a macro makes
// are sorted by key. Timestamps are written in RFC 3339 in UTC, durations as
// seconds ("90s"), bytes in base64. A missing field is an error; null is null.
// datacontenttype becomes application/json, and the incoming event's dataschema
// is dropped. What an object or a list in the
// record contains is copied byte for byte, spaces and all.
//
// An attribute takes numbers in decimal and timestamps in RFC 3339. Null takes
// a subject, a dataschema or an extension away, and fails for id, type and
// source.
//
// # Split and routes
//
// Where a list is given by Config.Split, each of its elements becomes an event: for
// attributes and transform, data is then the element, and parent the data of the
// whole. If one of them fails, the message does, and none is sent.
//
// The condition of a route sees the finished event, as the expressions of a sink do.
// A dead letter of a sink that was put back (deadletter.Replayed) goes to that sink
// alone, and of a message that was split, its part alone.
//
// # Limits
//
// An expression has at most 16384 characters and nests at most 48 deep; both
// are looked at before it is parsed. One evaluation takes at most 1,000,000
// steps, and all of one event at most Config.Timeout; no function is let to
// make more than 32 MiB. The clock is only looked at by expressions that loop
// or call what could take long; no goroutine is started.
//
// # How it is fast
//
// The record is checked once and never decoded (common/lazyjson). The outer
// literals of a transform are a template: their text is made when the flow
// loads, and a place in data is copied from the record. Only what is neither
// goes through CEL, over values that read the record's bytes
// (cel/celjson). That all of this gives what CEL gives over decoded values
// is what TestEvaluation_isTheSameDecodedLazyAndAsTemplate is for, whose
// reference is cel-go without an option of this package. cel-go's optimizer and
// the cost trackers of its libraries are not used: they change the value of
// "data.missing in []" and panic over "data.missing.distinct()". Constants are
// folded by the plan, and every call costs what costs says.
//
// Conditions made of ==, !=, <, in, has(), size(), startsWith() and the like
// over places in the event are looked at before cel-go is asked (native.go).
// The look says yes, no or unsure, and only what is unsure, every error among
// it, goes to cel-go, whose meaning and messages are therefore the only ones.
// TestNative_isSureOnlyOfWhatCELGoSays and FuzzNative compare the two. Big
// numbers, doubles in a list of integers, and lists or objects compared
// with each other are always cel-go's.
//
// Id and subject of a record that is no CloudEvent are made when somebody asks
// for them, or when the filter has let it pass. Small events and what belongs
// to them come in blocks (store.go).
package transform
