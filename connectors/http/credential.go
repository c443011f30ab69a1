package http

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"

	"github.com/lsm/fiso/common/config"
	"github.com/lsm/fiso/common/connector"
)

// credential writes a secret into requests. It reads the secret for each request, so
// that a rotated secret is used from the next request on.
type credential struct {
	kind   string
	user   string
	secret config.Secret
	header string // apiKey in a header
	query  string // apiKey in the query
}

func newCredential(a SinkAuth) credential {
	c := credential{kind: a.Type, user: a.Username}
	switch a.Type {
	case authBearer:
		c.secret = a.Token
	case authBasic:
		c.secret = a.Password
	case authAPIKey:
		c.secret, c.query = a.Key, a.Query
		if c.query == "" {
			c.header = cmp.Or(a.Header, defaultKeyHeader)
		}
	}
	return c
}

// reveal returns the current secret. A failure concerns the sink and not the event, so
// its class is blocked.
func (c *credential) reveal() (string, error) {
	if c.kind == authNone || c.kind == "" {
		return "", nil
	}
	value, err := c.secret.Reveal()
	switch {
	case err != nil:
	case value == "":
		err = errors.New("the secret is empty")
	case c.kind != authBasic && c.query == "" && !validFieldValue(value):
		err = errors.New("the secret holds a line break or another control character")
	}
	if err != nil {
		return "", connector.AsBlocked(fmt.Errorf("credential (auth.type %s): %w", c.kind, err))
	}
	return value, nil
}

// appendQuery adds the key to the request target.
func (c *credential) appendQuery(dst []byte, value string, hasQuery bool) []byte {
	if c.query == "" {
		return dst
	}
	separator := byte('?')
	if hasQuery {
		separator = '&'
	}
	dst = append(dst, separator)
	dst = append(dst, url.QueryEscape(c.query)...)
	dst = append(dst, '=')
	return append(dst, url.QueryEscape(value)...)
}

// appendHeader adds the header line of the credential, if it has one.
func (c *credential) appendHeader(dst []byte, value string) []byte {
	switch {
	case c.kind == authBearer:
		dst = append(dst, "Authorization: Bearer "...)
		dst = append(dst, value...)
	case c.kind == authBasic:
		dst = append(dst, "Authorization: Basic "...)
		dst = base64.StdEncoding.AppendEncode(dst, []byte(c.user+":"+value))
	case c.header != "":
		dst = append(dst, c.header...)
		dst = append(dst, ": "...)
		dst = append(dst, value...)
	default:
		return dst
	}
	return append(dst, "\r\n"...)
}

// redact removes the credential from an answer, in every form in which it was sent:
// some servers echo the request in their error pages.
func (c *credential) redact(answer []byte, value string) []byte {
	if value == "" {
		return answer
	}
	forms := []string{value, url.QueryEscape(value)}
	if c.kind == authBasic {
		forms = append(forms, base64.StdEncoding.EncodeToString([]byte(c.user+":"+value)))
	}
	for _, form := range forms {
		answer = bytes.ReplaceAll(answer, []byte(form), []byte(config.Mask))
	}
	return answer
}
