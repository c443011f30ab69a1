package grpc

import (
	"crypto/sha256"
	"crypto/subtle"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/lsm/fiso/common/config"
)

// authorizer checks the bearer token of a call. Comparisons take constant time.
type authorizer struct {
	tokens []config.Secret // any of them is accepted; none: no token is asked for
}

func newAuthorizer(a SourceAuth) authorizer {
	if a.Type != sourceBearer {
		return authorizer{}
	}
	if a.Token.IsZero() {
		return authorizer{a.Tokens}
	}
	return authorizer{append([]config.Secret{a.Token}, a.Tokens...)}
}

// check returns the status that ends a call without a right token. unreadable is the
// error of a token that cannot be read: the producer is not at fault.
func (a authorizer) check(md metadata.MD) (refusal error, unreadable error) {
	if len(a.tokens) == 0 {
		return nil, nil
	}
	found := false
	if values := md.Get("authorization"); len(values) == 1 {
		if scheme, token, _ := strings.Cut(values[0], " "); strings.EqualFold(scheme, "Bearer") {
			found, unreadable = a.knows(strings.TrimSpace(token))
		}
	}
	switch {
	case found:
		return nil, nil
	case unreadable != nil:
		return status.Error(codes.Unavailable, "the source cannot check credentials now"), unreadable
	}
	return status.Error(codes.Unauthenticated, "the token is missing or wrong; send the metadata authorization: Bearer and the token"), nil
}

// knows compares token with each token of the source.
func (a authorizer) knows(token string) (found bool, unreadable error) {
	for _, s := range a.tokens {
		value, err := s.Current()
		if err != nil {
			unreadable = err
		} else if value != "" && equalSecrets(value, token) {
			found = true
		}
	}
	return found, unreadable
}

// equalSecrets compares hashes, because they have equal lengths.
func equalSecrets(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}
