package credential

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"strings"
	"time"

	"github.com/lsm/fiso/link/internal/call"
)

// field is a proof that is one field of the header.
type field struct {
	name, value string
	end         time.Time
}

func (f *field) put(_ context.Context, out *call.Outgoing) error {
	out.Header.Set(f.name, f.value)
	return nil
}

func (f *field) on(out *call.Outgoing) bool { return out.Header.Get(f.name) == f.value }
func (f *field) expires() time.Time         { return f.end }

func proveBearer(values []string) (proof, error) {
	return &field{name: authorization, value: "Bearer " + values[0], end: jwtEnd(values[0])}, nil
}

func proveHeader(name, key string) (proof, error) { return &field{name: name, value: key}, nil }

func proveBasic(user, password string) (proof, error) {
	return &field{name: authorization, value: "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))}, nil
}

// jwtEnd is the exp of a token that is a JWT (RFC 7519, section 4.1.4), zero
// where it is none or has none. Whether the token is genuine is for the target
// to say: here it only spares it tokens that cannot be good any more.
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
