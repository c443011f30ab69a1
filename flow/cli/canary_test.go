package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lsm/fiso/common/config/configtest"
)

// U20: log, readiness report and commands show no credential of a flow file that was saved with a
// fault.
func TestRun_showsNoCredentialOfAFileThatWasSavedWithAFault(t *testing.T) {
	dir, admin, listen := t.TempDir(), freeAddr(t), freeAddr(t)
	file := filepath.Join(dir, "orders.yaml")
	save := func(sink string) {
		t.Helper()
		text := fmt.Sprintf("name: orders\nsource: {type: http, config: {listen: '%s'}}\nerrorHandling: {onExhausted: block}\nsink:\n  type: http\n  config:\n%s\n", listen, sink)
		if err := os.WriteFile(file, []byte(strings.ReplaceAll(text, "CANARY", configtest.Canary)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const good = "    url: http://127.0.0.1:1/x"
	save(good)
	logs, _ := running(t, nil, "run", "--metrics-addr", admin, dir)
	until(t, "the start", func() bool { code, _ := get(t, "http://"+admin+"/readyz"); return code == 200 })
	for i, sink := range []string{
		`    url: "http://h:99x/x?key=CANARY"`,
		"    url: http://h/x\n    headers: {'X Key 1': CANARY}",
		"    url: http://h/x\n    headers: {X-Key: [CANARY]}",
		"    url: http://h/x\n    headers:\n      - X-Key: CANARY",
		"    url: http://h/x\n    auth: {type: basic, username: 'us:CANARY', password: x}",
		"    url: http://h/x\n    auth: {type: bearer, token: abc,CANARY}",
		"    url: http://h/x\n    auth:\n      token: \"CANARY\n",
	} {
		save(sink)
		var report string
		until(t, "the fault", func() bool {
			_, report = get(t, "http://"+admin+"/readyz?verbose")
			return strings.Contains(report, "note: ") && strings.Count(logs.String(), "orders.yaml:") > i
		})
		if shown := configtest.Shown(report); shown != "" {
			t.Errorf("%s: /readyz?verbose shows %s", sink, shown)
		}
		for _, args := range [][]string{{"validate", file}, {"validate", "-o", "json", file}, {"validate", "--explain", file}, {"check", file}} {
			r := call(t, args...)
			if shown := configtest.Shown(r.out + r.err); r.code == 0 || shown != "" {
				t.Errorf("%s: %s answers %d and shows %q", sink, args[0], r.code, shown)
			}
		}
		save(good)
		until(t, "the good file", func() bool {
			_, report = get(t, "http://"+admin+"/readyz?verbose")
			return !strings.Contains(report, "note: ")
		})
	}
	if shown := configtest.Shown(logs.String()); shown != "" {
		t.Errorf("the log shows %s", shown)
	}
}
