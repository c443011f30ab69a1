// Package call is the vocabulary of one call on its way through fiso-link: what
// an application sent (Request), what goes on to the target (Outgoing), what
// comes back (Answer), and how it is answered (ResponseWriter). HTTP/1.1 (package
// http1) and HTTP/2, on either side, speak in these words, so that the policy
// between them is written once.
//
// Texts are strings: whoever reads a message from a connection copies its head
// once, and nothing here refers to a buffer that will be used again.
package call
