// Package discovery finds the addresses of a target and chooses among them: a
// static list, or what DNS says for as long as it says it (A and AAAA, or SRV).
// The least busy address is taken; one that fails several times in a row is put
// aside for a while, and comes back.
package discovery
