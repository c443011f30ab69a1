package cli

import (
	"strings"
	"testing"
)

// L10, https://github.com/hashicorp/go-retryablehttp/issues/206: no output shows a
// secret that is in a wrong place of the configuration.
func TestCommands_neverShowASecretThatStandsInTheWrongPlace(t *testing.T) {
	const canary = "c4n4ry-0f-4-s3cret"
	for name, text := range map[string]string{
		"instead of a reference":    "targets: [{name: a, host: a, auth: {type: bearer, secretRef: " + canary + "}}]",
		"in a reference":            "targets: [{name: a, host: a, auth: {type: bearer, secretRef: {value: " + canary + "}}}]",
		"in a list":                 "targets: [{name: a, host: a, auth: {type: bearer, secretRef: [" + canary + "]}}]",
		"instead of auth":           "targets: [{name: a, host: a, auth: " + canary + "}]",
		"as a token":                "targets: [{name: a, host: a, auth: {type: bearer, token: " + canary + "}}]",
		"as a password":             "targets: [{name: a, host: a, auth: {type: basic, username: u, passwd: " + canary + "}}]",
		"in the host":               "targets: [{name: a, host: 'u:" + canary + "@a'}]",
		"in a URL as host":          "targets: [{name: a, host: 'https://u:" + canary + "@a/'}]",
		"in the token's URL":        "targets: [{name: a, host: a, auth: {type: oauth2, tokenURL: 'ftp://u:" + canary + "@a/', clientID: c, secretRef: {envVar: A}}}]",
		"in Vault's address":        "vault: {address: 'http://u:" + canary + "@v:p', auth: {method: token}}",
		"as Vault's token":          "vault: {address: 'http://v', auth: {method: token, tokenRef: " + canary + "}}",
		"as Vault's secret id":      "vault: {address: 'http://v', auth: {method: approle, roleID: r, secretID: " + canary + "}}",
		"in a header":               "targets: [{name: a, host: a, headers: {set: {Authorization: [" + canary + "]}}}]",
		"with a key that is wrong":  "targets:\n  - name: a\n    host: a\n    auth:\n      tpye: bearer\n      password: " + canary,
		"in a file that is no YAML": "targets:\n  - name: a\n    auth: {type: bearer, password: \"" + canary + "\n  x: [",
		"as Kafka's password":       "asyncSASL: {mechanism: PLAIN, username: u, password: " + canary + "}\ntargets: 1",
	} {
		t.Run(name, func(t *testing.T) {
			f := file(t, text+"\n")
			for _, args := range [][]string{{"validate", f}, {"validate", "-o", "json", f}, {"check", f}, {"run", f}} {
				code, out, errs := call(t.Context(), nil, args...)
				if code == 0 {
					t.Errorf("%s takes it", args[0])
				}
				if strings.Contains(out+errs, canary) {
					t.Errorf("%s shows it: %s%s", args[0], out, errs)
				}
			}
		})
	}
}
