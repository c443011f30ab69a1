package spec

import (
	"errors"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/lsm/fiso/common/config"
)

// secretRefs returns the references to the secrets of a credential, by key.
func (a *Auth) secretRefs() map[string]*SecretRef {
	return map[string]*SecretRef{"secretRef": a.SecretRef, "accessKeyRef": a.AccessKeyRef, "sessionTokenRef": a.SessionTokenRef}
}

// keysByType lists the keys of auth that each type uses; those with a star are
// required.
var keysByType = map[string][]string{
	"none":   {},
	"bearer": {"secretRef*"},
	"apiKey": {"secretRef*", "header", "query"},
	"basic":  {"secretRef*", "username*"},
	"oauth2": {"secretRef*", "tokenURL*", "clientID*", "scopes", "audience", "params", "tokenType", "tls", "proxy", "clientAuth"},
	"mtls":   {},
	"sigv4":  {"secretRef*", "accessKeyRef*", "sessionTokenRef", "region*", "service*"},
}

// setKeys reports which keys of auth the file gives a value.
func (a *Auth) setKeys() map[string]bool {
	return map[string]bool{
		"secretRef": a.SecretRef != nil, "header": a.Header != "", "query": a.Query != "", "username": a.Username != "",
		"tokenURL": a.TokenURL != "", "clientID": a.ClientID != "", "scopes": len(a.Scopes) > 0, "audience": a.Audience != "",
		"params": len(a.Params) > 0, "tokenType": a.TokenType != "", "tls": !a.TLS.IsZero(), "proxy": a.Proxy != nil,
		"clientAuth":   a.ClientAuth == "post", // basic is the default
		"accessKeyRef": a.AccessKeyRef != nil, "sessionTokenRef": a.SessionTokenRef != nil, "region": a.Region != "", "service": a.Service != "",
	}
}

// Validate checks that the keys match the type.
func (a *Auth) Validate() error {
	keys, known := keysByType[a.Type]
	if !known {
		return nil // reported by the enum
	}
	var errs []error
	set := a.setKeys()
	for _, key := range keys {
		if name, needed := strings.CutSuffix(key, "*"); needed && !set[name] {
			errs = append(errs, config.Fault(name, "missing: auth of type %s needs it", a.Type))
		}
	}
	for _, key := range sorted(set) {
		if set[key] && !slices.Contains(keys, key) && !slices.Contains(keys, key+"*") {
			errs = append(errs, config.Fault(key, "is not used by auth of type %s: remove it, or correct the type", a.Type))
		}
	}
	if a.Header != "" && a.Query != "" {
		errs = append(errs, config.Fault("query", "the key goes in a header or in the query; keep one of the two"))
	}
	if a.Header != "" {
		errs = append(errs, headerName("header", a.Header))
	}
	if strings.ContainsAny(a.Username, ":\r\n") {
		errs = append(errs, config.Fault("username", "a user name for basic has no colon and no line break"))
	}
	if a.TokenURL != "" {
		errs = append(errs, checkURL("tokenURL", a.TokenURL, "https://login.example.com/oauth2/token"))
	}
	if strings.HasPrefix(a.TokenURL, "http:") && !a.TLS.IsZero() {
		errs = append(errs, config.Fault("tls", "tokenURL is not fetched by TLS: write it with https://, or remove tls"))
	}
	for _, name := range slices.Sorted(maps.Keys(a.Params)) {
		if key, own := reservedParams[name]; own {
			errs = append(errs, config.Fault("params", "%s cannot be set here%s", name, key))
		}
	}
	return errors.Join(errs...)
}

// reservedParams are token request parameters that params cannot set, with a hint.
var reservedParams = map[string]string{
	"grant_type": ": it is client_credentials", "scope": ": write it as scopes", "audience": ": write it as audience",
	"client_id": ": write it as clientID", "client_secret": ": write it as secretRef, with clientAuth: post",
}

func sorted(m map[string]bool) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func (t *Target) validateAuth() error {
	if t.Auth.Type != "mtls" {
		return nil
	}
	if t.TLS.CertFile == "" {
		return config.Fault("tls.certFile", "missing: auth of type mtls presents the certificate of tls.certFile and tls.keyFile")
	}
	return nil
}

// Validate checks that exactly one form is used, and is complete.
func (r *SecretRef) Validate() error {
	forms := 0
	for _, used := range []bool{r.FilePath != "", r.EnvVar != "", r.VaultRef != nil, r.Name != "" || r.Key != ""} {
		if used {
			forms++
		}
	}
	switch {
	case forms == 0:
		return config.Fault("", "names no secret: write filePath, envVar, vaultRef, or name and key")
	case forms > 1:
		return config.Fault("", "names a secret in more than one way; keep one of filePath, envVar, vaultRef, and name with key")
	case r.Name == "" && r.Key != "", r.Name != "" && r.Key == "":
		return config.Fault("", "a Kubernetes Secret is named by both name and key")
	}
	return nil
}

// Validate checks that the keys that the method needs are set.
func (a *VaultAuth) Validate() error {
	var errs []error
	need := func(key string, ok bool) {
		if !ok {
			errs = append(errs, config.Fault(key, "missing: the method %s needs it", a.Method))
		}
	}
	switch a.Method {
	case "kubernetes":
		need("role", a.Role != "")
	case "approle":
		need("roleID", a.RoleID != "")
		need("secretID", a.SecretID != nil)
	}
	for key, ref := range map[string]*SecretRef{"secretID": a.SecretID, "tokenRef": a.TokenRef} {
		if ref != nil && ref.VaultRef != nil {
			errs = append(errs, config.Fault(key, "cannot come from Vault: the login at Vault needs it"))
		}
	}
	return errors.Join(errs...)
}

// Validate checks the address.
func (v *Vault) Validate() error {
	var errs []error
	if ref := v.Proxy.secretRef(); ref != nil && ref.VaultRef != nil {
		errs = append(errs, config.Fault("proxy.secretRef", "cannot come from Vault: the login at Vault needs it"))
	}
	if v.Address != "" { // reported as missing: required
		errs = append(errs, checkURL("address", v.Address, "https://vault:8200"))
	}
	return errors.Join(errs...)
}

// checkURL checks the URL of a server. Its error does not quote the URL, which may hold
// a secret.
func checkURL(key, text, example string) error {
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" || u.Scheme != "https" && u.Scheme != "http" {
		return config.Fault(key, "is not a URL: write a complete one, as %s", example)
	}
	if n, err := strconv.Atoi(u.Port()); u.Port() != "" && (err != nil || n < 1 || n > 65535) {
		return config.Fault(key, "has an invalid port: write one from 1 to 65535, or none")
	}
	return nil
}
