// Package call holds what both sides of a call through fiso-link share, beside the
// messages themselves: those are the types of package http1, into which h2 translates
// HTTP/2. Transport makes attempts at a target, and Problem is the answer of fiso-link
// itself.
package call
