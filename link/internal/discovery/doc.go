// Package discovery finds the addresses of a target and chooses among them. The
// addresses are a static list, or come from DNS (A and AAAA, or SRV) and are used for
// their TTL. The least busy address is picked. One that fails several times in a row is
// ejected for a while.
package discovery
