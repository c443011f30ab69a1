// Package http sends CloudEvents to an HTTP endpoint (Sink) and receives them
// at one (Source). Import it as fisohttp, beside net/http:
//
//	import fisohttp "github.com/lsm/fiso/connectors/http"
//
// # What the sink promises
//
//   - One call of Send is one request, and redirects are never followed. A
//     request that fails on a reused connection before the first byte of an
//     answer is sent once more.
//   - An answer counts only for the request before it; README.md says how, and
//     what HTTP/1.1 leaves open.
//   - A call returns promptly when its context ends, also while it dials or
//     waits for a connection. An answer that has already arrived still counts.
//   - nil means that a 2xx answer arrived. Everything else is an error with a
//     class, see verdict.go. Errors name method, host and path and quote the
//     start of the answer; they never hold a query, a header or a credential.
//   - Connections, their age, answer headers and answer bodies are bounded.
//
// # What the source promises
//
//   - A request is answered once its events are settled: 200 means that each
//     was settled with nil.
//   - The handler is called serially, and with the events of a batch in order.
//   - A malformed CloudEvent, or a batch with one bad event, is refused with 400
//     before anything is handed over.
//   - Connections, requests, header sizes, body sizes and all waiting times are
//     bounded, and so is the memory of all bodies together.
//   - The event of a client that goes away is settled all the same. A client that
//     closes only its half of the connection has not gone away.
package http
