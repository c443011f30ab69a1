package spec

import (
	"strings"
	"testing"

	"github.com/lsm/fiso/common/config/configtest"
)

// The canary is in every place where a configuration may hold a credential, or where
// people have put one by mistake.
var withCanaries = map[string]string{
	"in lines": `listenAddr: "127.0.0.1:3500"
targets:
  - name: crm
    host: api.example.com
    basePath: /services
    auth:
      type: bearer
      secretRef:
        filePath: CANARY
    headers:
      set:
        X-Team: CANARY
        X-Other: "CANARY"
      remove: [Cookie]
    allowedPaths: [/api/**]
    retry: {maxAttempts: 3, on: [connect, 503]}
  - name: pay
    host: pay.example.com
    auth:
      type: basic
      username: CANARY
      secretRef: {envVar: CANARY}
    tls:
      certFile: /etc/c.pem
      keyFile: CANARY
  - name: ware
    host: ware.example.com
    auth:
      type: oauth2
      tokenURL: https://login/x?client_secret=CANARY
      clientID: CANARY
      secretRef: {vaultRef: {path: CANARY, key: CANARY, role: CANARY}}
vault:
  address: https://vault:8200/?token=CANARY
  auth:
    method: approle
    roleID: CANARY
    secretID: {envVar: CANARY}
asyncBrokers: [kafka:9092]
asyncSASL:
  mechanism: PLAIN
  username: CANARY
  password: CANARY
`,
	"in one line": `{asyncBrokers: [kafka:9092], asyncSASL: {mechanism: OAUTHBEARER, token: CANARY, extensions: [a=CANARY]}, targets: [` +
		`{name: a, host: a, headers: {set: {A: CANARY, B: b}}, auth: {type: sigv4, region: r, service: s, accessKeyRef: {envVar: CANARY}, secretRef: {filePath: "CANARY"}}}, ` +
		`{name: b, host: b, auth: {type: apiKey, query: key, secretRef: {name: CANARY, key: CANARY}}, tls: {certFile: c, keyFile: CANARY}}]}
`,
}

// UL14: no fault of a configuration shows a credential, whatever is wrong.
func TestParse_showsNoCredentialOfASpoiltFile(t *testing.T) {
	t.Setenv("FISO_SECRETS_DIR", t.TempDir())
	for name, text := range withCanaries {
		t.Run(name, func(t *testing.T) {
			text := strings.ReplaceAll(text, "CANARY", configtest.Canary)
			if _, err := Parse("f.yaml", []byte(text)); err != nil {
				t.Fatal(err)
			}
			configtest.ShowsNothingSpoilt(t, text, 300, func(text string) error {
				_, err := Parse("f.yaml", []byte(text))
				return err
			})
		})
	}
}

// UL14: a secret in a wrong place is reported without being shown.
func TestParse_saysWhatIsWrongWithASecretInTheWrongPlaceWithoutShowingIt(t *testing.T) {
	for name, test := range map[string]struct{ text, want string }{
		"a header in a list":       {"headers: {set: {Authorization: [CANARY]}}", "headers.set.Authorization: expected text, found a list"},
		"headers in a list":        {"headers: {set: [CANARY]}", "headers.set: expected a mapping, found a list"},
		"a header of a bad name":   {"headers: {set: {'Authorization ': CANARY}}", "is not a header name"},
		"a header of our own":      {"headers: {set: {Host: CANARY}}", "Host is set by fiso-link itself"},
		"a header beside set":      {"headers: {Authorization: CANARY}", `unknown key "Authorization"`},
		"a name with its password": {`auth: {type: basic, username: "user:CANARY", secretRef: {envVar: A}}`, "a user name for basic has no colon"},
		"a key in the base path":   {"basePath: /x?key=CANARY", "basePath: the path has a character that cannot stand in one"},
		"a key in a pattern":       {"allowedPaths: ['/x**?key=CANARY']", "allowedPaths[0]: "},
		"a secret in a token URL":  {"auth: {type: oauth2, clientID: c, secretRef: {envVar: A}, tokenURL: 'https://h:x/?client_secret=CANARY'}", "tokenURL: is not a URL"},
		"a key for its file":       {"tls: {certFile: c, keyFile: '-----BEGIN PRIVATE KEY----- CANARY'}", "tls.keyFile: this is not the path of a file"},
		"a certificate for a file": {"tls: {caFile: |\n      -----BEGIN CERTIFICATE-----\n      CANARY\n      -----END CERTIFICATE-----\n    }", ""},
		"a secret for its file":    {"auth: {type: bearer, secretRef: {filePath: |\n      first\n      CANARY\n    , zebra: 1}}", ""},
	} {
		t.Run(name, func(t *testing.T) {
			text := "targets:\n  - name: a\n    host: a\n    " + strings.ReplaceAll(test.text, "CANARY", configtest.Canary) + "\n"
			_, err := Parse("f.yaml", []byte(text))
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v\nwant %s", err, test.want)
			}
			if shown := configtest.ShownBy(err); shown != "" {
				t.Error(shown)
			}
		})
	}
}
