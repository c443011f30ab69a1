package credential

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"strings"
	"time"

	"github.com/lsm/fiso/common/http1"
)

// headerField is a credential in one field of the header.
type headerField struct {
	name, value string
	end         time.Time
}

func (f *headerField) apply(_ context.Context, out *http1.Outgoing) error {
	out.Header.Set(f.name, f.value)
	return nil
}

func (f *headerField) isOn(out *http1.Outgoing) bool { return out.Header.Get(f.name) == f.value }
func (f *headerField) expires() time.Time            { return f.end }

func newBearer(values []string) (wireCredential, error) {
	return &headerField{name: authorization, value: "Bearer " + values[0], end: jwtEnd(values[0])}, nil
}

func newHeader(name, key string) (wireCredential, error) {
	return &headerField{name: name, value: key}, nil
}

func newBasic(user, password string) (wireCredential, error) {
	return &headerField{name: authorization, value: "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))}, nil
}

// jwtEnd returns the exp of a token that is a JWT (RFC 7519, section 4.1.4), else zero.
// It does not verify the token, which the target does: it only keeps expired tokens
// from being sent.
func jwtEnd(token string) time.Time {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return time.Time{}
	}
	claims, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(parts[1], "="))
	if err != nil {
		return time.Time{}
	}
	var c struct {
		Exp float64 `json:"exp"`
	}
	if json.Unmarshal(claims, &c) != nil || !(c.Exp > 0 && c.Exp < 1<<40) {
		return time.Time{}
	}
	return time.Unix(int64(c.Exp), 0)
}
