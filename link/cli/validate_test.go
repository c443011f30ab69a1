package cli

import (
	"strings"
	"testing"
)

// UL19: unlike run, validate needs no Secret, wherever its reference is. A number in
// retry.on is a status.
func TestValidate_readsNoSecret(t *testing.T) {
	t.Setenv("FISO_SECRETS_DIR", t.TempDir())
	f := file(t, `asyncBrokers: [a:1]
asyncSASL: {mechanism: PLAIN, username: u, password: {secretRef: {name: a, key: b}}}
targets:
  - name: a
    host: a
    auth: {type: bearer, secretRef: {name: a, key: b}}
    headers: {set: {X-Key: {secretRef: {name: a, key: b}}}}
    retry: {on: [connect, 503]}
  - {name: b, host: b, retry: {on: 503}}
`)
	if code, out, errs := call(t.Context(), nil, "validate", f); code != 0 || !strings.Contains(out, "valid, 2 target(s)") {
		t.Errorf("%d %s %s", code, out, errs)
	}
	if code, _, errs := call(t.Context(), nil, "run", f); code == 0 || !strings.Contains(errs, "targets[0].headers.set.X-Key: open ") || !strings.Contains(errs, "is the Secret mounted there?") {
		t.Errorf("run takes it: %d %s", code, errs)
	}
	bad := file(t, "targets: [{name: a, host: a, headers: {set: {K: {secretRef: {name: a/b, key: c}}}}}]\n")
	if code, _, errs := call(t.Context(), nil, "validate", bad); code == 0 || !strings.Contains(errs, "secretRef.name: ") {
		t.Errorf("a bad reference is taken: %d %s", code, errs)
	}
}
