package http

import (
	"cmp"
	"errors"
	"strings"

	"github.com/lsm/fiso/common/config"
)

// Kinds of authentication.
const (
	authNone   = "none"
	authBearer = "bearer"
	authBasic  = "basic"
	authAPIKey = "apiKey"
	authHMAC   = "hmac"
)

const defaultKeyHeader = "X-API-Key"

// SinkAuth is the credential that a sink presents. A secret from a file is read again
// when the file changes.
type SinkAuth struct {
	Type     string        `yaml:"type" default:"none" enum:"none|bearer|basic|apiKey" doc:"Kind of credential."`
	Token    config.Secret `yaml:"token" doc:"The token of type bearer."`
	Username string        `yaml:"username" doc:"The user of type basic."`
	Password config.Secret `yaml:"password" doc:"The password of type basic."`
	Key      config.Secret `yaml:"key" doc:"The key of type apiKey."`
	Header   string        `yaml:"header" secret:"false" doc:"The header that carries the key of type apiKey; X-API-Key unless query is set."`
	Query    string        `yaml:"query" secret:"false" doc:"The query parameter that carries the key of type apiKey, for APIs that take it nowhere else."`
}

// validate joins all faults of the block. Keys are named as in the configuration file.
func (a *SinkAuth) validate() error {
	fields := []authField{
		{"token", authBearer, !a.Token.IsZero(), true},
		{"username", authBasic, a.Username != "", true},
		{"password", authBasic, !a.Password.IsZero(), true},
		{"key", authAPIKey, !a.Key.IsZero(), true},
		{"header", authAPIKey, a.Header != "", false},
		{"query", authAPIKey, a.Query != "", false},
	}
	faults := checkAuthFields(a.Type, fields)
	if a.Header != "" && a.Query != "" {
		faults = append(faults, config.Fault("auth.query", "the key goes either into a header or into the query; leave one of the two out"))
	}
	faults = append(faults, checkUsername(a.Username))
	if a.Header != "" {
		faults = append(faults, checkHeaderName("auth.header", a.Header))
	}
	return errors.Join(faults...)
}

// checkUsername refuses a colon, at which basic authentication would split the name
// (RFC 7617, section 2).
func checkUsername(name string) error {
	if strings.ContainsAny(name, ":\r\n\x00") {
		return config.Fault("auth.username", "a user name for basic must not have a colon or a line break; write the part after the colon into auth.password")
	}
	return nil
}

// headerName returns the header that carries the credential, or "".
func (a *SinkAuth) headerName() string {
	switch {
	case a.Type == authBearer || a.Type == authBasic:
		return "Authorization"
	case a.Type == authAPIKey && a.Query == "":
		return cmp.Or(a.Header, defaultKeyHeader)
	}
	return ""
}

// authField is one key of an auth block: the type that it belongs to, whether it is
// set, and whether its type requires it.
type authField struct {
	key, of       string
	set, required bool
}

// checkAuthFields finds required keys that are missing and keys that the type would
// ignore.
func checkAuthFields(kind string, fields []authField) []error {
	var faults []error
	for _, f := range fields {
		switch {
		case f.set && f.of != kind:
			faults = append(faults, config.Fault("auth."+f.key, "%s belongs to type: %s, and type is %s", f.key, f.of, cmp.Or(kind, authNone)))
		case !f.set && f.required && f.of == kind:
			faults = append(faults, config.Fault("auth."+f.key, "type: %s needs %s", kind, f.key))
		}
	}
	return faults
}
