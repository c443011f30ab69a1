// Package server is one running fiso-link: the listeners for calls and for health and
// metrics, the targets, and the reload of the configuration file. An invalid file
// changes nothing. A target that did not change keeps its connections, its breaker and
// its calls.
package server
