package temporal

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/lsm/fiso/common/config"
	"github.com/lsm/fiso/common/connector"
)

// credential gives the token of a call. It is safe for concurrent use.
type credential interface {
	// token returns the current token. Its error has a class.
	token(ctx context.Context) (string, error)
	// refused is told that the server refused the token.
	refused()
	close()
}

// newCredential returns nil where no credential is configured.
func newCredential(a *ClientAuth) (credential, error) {
	switch {
	case !a.APIKey.IsZero():
		return apiKey{a.APIKey}, nil
	case !a.OAuth2.isZero():
		return newOAuth2(&a.OAuth2)
	}
	return nil, nil
}

// apiKey is read for each call, so that a rotated key is used from the next call on.
type apiKey struct{ secret config.Secret }

func (k apiKey) token(context.Context) (string, error) {
	value, err := reveal(k.secret)
	if err != nil {
		return "", connector.AsBlocked(fmt.Errorf("credential (auth.apiKey): %w", err))
	}
	return value, nil
}

func (apiKey) refused() {}
func (apiKey) close()   {}

// reveal reads a secret that goes into a header. A failure concerns the connector and not the
// event, so its class is blocked.
func reveal(secret config.Secret) (string, error) {
	value, err := secret.Reveal()
	switch {
	case err != nil:
		return "", err
	case value == "":
		return "", errors.New("the secret is empty")
	case !headerValue(value):
		return "", errors.New("the secret holds a blank, a line break or another character that a header cannot have")
	}
	return value, nil
}

// headerValue reports whether s is printable ASCII without blanks.
func headerValue(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' })
}
