// Package proxy carries a call from an application to a target and back. It alone
// decides about calls:
//
//	guard → route → rate → concurrency → total timeout → [retry: breaker → credential → endpoint → attempt] → stream back
//
// It knows no protocol: listeners and transports do (package call). Of the
// configuration it knows only what a target is built from (package target).
package proxy
