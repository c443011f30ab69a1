// Package callctx is a context.Context for programs that make very many short calls:
// fiso-link has one for each connection and each call, and the HTTP sink one for each
// context of its caller. The context package allocates for each context.WithCancel
// and each context.AfterFunc. A Context here is a field of what it belongs to, and a
// Hook a field of what must be done when it ends, so neither allocates.
package callctx
