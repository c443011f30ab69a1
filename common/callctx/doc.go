// Package callctx is a context.Context for programs that make very many short calls.
// fiso-link has one for each connection and each call; the HTTP sink has one for each
// context of its caller. The context package allocates in each context.WithCancel and
// context.AfterFunc. A Context of this package is a field of its owner, and so is a
// Hook that runs when it ends: neither allocates.
package callctx
