// Package call defines the types of a call on its way through fiso-link: what an
// application sent (Request), what goes to the target (Outgoing), what the target
// answers (Answer), and how the call is answered (ResponseWriter). HTTP/1.1 (package
// http1) and HTTP/2 use these types on both sides, so that the policy between them is
// written once.
//
// Texts are strings: the reader of a message copies its head once, and nothing here
// refers to a buffer that is reused.
package call
