// Package http sends CloudEvents to an HTTP endpoint (Sink) and receives them
// at one (Source). Import it as fisohttp, beside net/http:
//
//	import fisohttp "github.com/lsm/fiso/connectors/http"
//
// # What the sink promises
//
//   - One call of Send is one request, and no redirect is ever followed. It is
//     a second one only where the first failed on a connection used before,
//     without a byte of an answer.
//   - An answer counts only for the request that it followed; README.md says
//     how, and what HTTP/1.1 leaves open.
//   - A call returns promptly when its context ends, also while it dials or
//     waits for a connection; an answer that was there already still counts.
//   - nil means that a 2xx answer arrived. Everything else is an error with a
//     class, see verdict.go. Errors name method, host and path and quote the
//     start of the answer; never a query, a header or a credential.
//   - Connections, their age, answer headers and answer bodies are bounded.
//
// # What the source promises
//
//   - A request is answered once its events are settled: 200 means that each
//     was settled with nil.
//   - The handler is called serially, and with the events of a batch in order.
//   - A malformed CloudEvent, or one bad event in a batch, is refused with 400
//     before anything is handed over.
//   - Connections, requests, their headers, bodies and the time they may take are
//     bounded, and the bytes of all bodies together.
//   - A client that goes away does not unsettle its event. Closing its half of the
//     connection is not going away.
package http
