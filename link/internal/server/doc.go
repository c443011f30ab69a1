// Package server is one running fiso-link: the listener, the targets of its
// configuration file, which it follows, and the server that tells how they
// stand. A file that does not validate changes nothing; a target that did not
// change keeps its connections, its breaker and its calls.
package server
