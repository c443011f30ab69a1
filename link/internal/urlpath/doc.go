// Package urlpath gives a request's path one form, which is matched against
// a target's allowedPaths and goes onto the wire. Nothing is matched in one form
// and sent in another: that is how access rules of proxies have been got around
// (https://nvd.nist.gov/vuln/detail/CVE-2026-41491,
// https://nvd.nist.gov/vuln/detail/CVE-2025-32431,
// https://nvd.nist.gov/vuln/detail/CVE-2025-66490).
//
// The form: every escape has upper-case digits; unreserved characters are
// plain (RFC 3986, section 6.2.2); what RFC 3986 does not allow plain, and no
// reader takes for a delimiter, is escaped; a trailing slash stays.
//
// What two readers might read in two ways has no form and is refused: dot
// segments, empty segments, escaped slashes (unless they were asked for),
// backslashes, control characters, bad escapes, text that an upstream which
// decodes twice would decode again, text that is no UTF-8, and segments that
// turn into one of these when an upstream strips parameters (";x") or blanks, cuts
// at an escaped "?" or "#", or maps letters to compatible ones.
//
// Where only the rules would differ, rules decide: a path is allowed if what it
// says is, and what such upstreams see of it.
//
// It is pure: no state, no I/O, safe for concurrent use.
package urlpath
