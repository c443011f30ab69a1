package server

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lsm/fiso/common/config/configtest"
)

// UL14: neither the log, nor the readiness report, nor the answer to the application
// shows a text that stands in the place of a reference to a secret.
func TestServer_showsNoSecretThatStandsInTheWrongPlace(t *testing.T) {
	up := upstream(t, "a")
	l := start(t, "targets:\n"+aTarget("x", up, ""))
	for _, more := range []string{
		", headers: {set: {Authorization: [CANARY]}}", ", headers: {set: {'Authorization 1': CANARY}}", `, basePath: "/x?key=CANARY"`, `, allowedPaths: ["/x**?key=CANARY"]`,
		`, auth: {type: basic, username: "user:CANARY", secretRef: {envVar: A}}`, ", auth: {type: oauth2, clientID: c, tokenURL: 'https://h:x/?client_secret=CANARY', secretRef: {envVar: A}}",
		", auth: {type: bearer, token: CANARY}", ", tls: {keyFile: '-----BEGIN PRIVATE KEY-----CANARY', certFile: c}",
	} {
		l.write("targets:\n" + aTarget("x", up, strings.ReplaceAll(more, "CANARY", configtest.Canary)))
		var report string
		eventually(t, "the fault", func() bool {
			_, report = get(t, "http://"+l.admin+"/readyz?verbose")
			return strings.Contains(report, "note: ")
		})
		if shown := configtest.Shown(report); shown != "" {
			t.Errorf("%s: /readyz?verbose shows %s", more, shown)
		}
		l.write("targets:\n" + aTarget("x", up, ""))
		eventually(t, "a good file again", func() bool {
			_, body := get(t, "http://"+l.admin+"/readyz?verbose")
			return !strings.Contains(body, "note: ")
		})
	}
	// These are valid: a Secret may come after its target does.
	for i, ref := range []string{"{filePath: CANARY}", "{envVar: CANARY}", "{name: CANARY, key: CANARY}", "{vaultRef: {path: CANARY, key: CANARY}}"} {
		name := string(rune('a' + i))
		l.write("vault: {address: 'http://127.0.0.1:1', auth: {method: token}}\ntargets:\n" +
			aTarget(name, up, strings.ReplaceAll(", auth: {type: bearer, secretRef: "+ref+"}", "CANARY", configtest.Canary)))
		eventually(t, "the target", func() bool { code, _ := l.call(name + "/"); return code == 502 })
		if _, body := l.call(name + "/"); configtest.Shown(body) != "" || !strings.Contains(body, "auth.secretRef") && !strings.Contains(body, "VAULT_TOKEN") {
			t.Errorf("%s: the application is told %s", ref, body)
		}
	}
	if shown := configtest.Shown(l.log.String()); shown != "" {
		t.Errorf("the log shows %s", shown)
	}
}

// UL19: a header whose value is in a file or in a Secret is sent with the current
// content.
func TestServer_followsFilesThatHeadersName(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("FISO_SECRETS_DIR", dir)
	put := func(name, text string) {
		t.Helper()
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put("team", "orders\n")
	put("s/k", "first")
	up := upstream(t, "a")
	l := start(t, "targets:\n"+aTarget("x", up, `, headers: {set: {Authorization: "${file:`+dir+`/team}"}}`)+
		aTarget("y", up, `, headers: {set: {Authorization: {secretRef: {name: s, key: k}}}}`))
	sends := func(target, want string) {
		t.Helper()
		eventually(t, want, func() bool { _, body := l.call(target + "/"); return body == "a / "+want })
	}
	sends("x", "orders")
	sends("y", "first")
	put("team", "pay")
	put("s/k", "other") // same length as before
	sends("x", "pay")
	sends("y", "other")
	if err := os.Remove(filepath.Join(dir, "team")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "words about the file", func() bool {
		_, body := get(t, "http://"+l.admin+"/readyz?verbose")
		return strings.Contains(body, dir+"/team: no such file")
	})
	sends("x", "pay")
	put("team", "back")
	sends("x", "back")
}
