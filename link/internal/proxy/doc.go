// Package proxy is the walk of a call, from an application to a target and
// back, and the only place that decides about it:
//
//	guard → route → rate → concurrency → total timeout → [retry: breaker → credential → endpoint → attempt] → stream back
//
// It knows no protocol; those are the listeners' and transports' (package
// call), and no configuration but what a target is made of (package target).
package proxy
