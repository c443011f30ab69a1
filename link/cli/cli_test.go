package cli

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/lsm/fiso/common/command"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// page is the output of a command.
type page struct {
	mu sync.Mutex
	b  strings.Builder
}

func (p *page) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.b.Write(b)
}

func (p *page) String() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.b.String()
}

// call runs one command line, with environment variables before it.
func call(ctx context.Context, env map[string]string, args ...string) (code int, out, errs string) {
	var o, e page
	code = Main(ctx, args, command.IO{Out: &o, Err: &e, Getenv: func(k string) string { return env[k] }})
	return code, o.String(), e.String()
}

func file(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

const good = "listenAddr: 127.0.0.1:0\nmetricsAddr: 127.0.0.1:0\ntargets: [{name: a, protocol: http, host: '127.0.0.1:1'}]\n"

func TestMain_commands(t *testing.T) {
	fine, bad := file(t, good), file(t, "targets: [{name: A}]\n")
	for name, test := range map[string]struct {
		env  map[string]string
		args []string
		code int
		out  string
		err  string
	}{
		"validate":              {nil, []string{"validate", fine}, 0, "valid, 1 target(s)", ""},
		"validate, JSON":        {nil, []string{"validate", "-o", "json", fine}, 0, "{\n  \"errors\": [],\n  \"ok\": true,\n  \"targets\": 1\n}\n", ""},
		"validate, by variable": {map[string]string{"FISO_LINK_CONFIG": fine}, []string{"validate"}, 0, "valid", ""},
		"validate, default":     {nil, []string{"validate"}, 1, "", "/etc/fiso/link/config.yaml"},
		"validate, faults":      {nil, []string{"validate", bad}, 1, "", `"A" is not a name for a target`},
		"faults in JSON":        {nil, []string{"validate", "-o", "json", bad}, 1, `"code": "BAD_VALUE"`, ""},
		"a failure in JSON":     {nil, []string{"validate", "-o", "json", "/nowhere"}, 1, `"code": "FAILED"`, ""},
		"schema":                {nil, []string{"schema"}, 0, `"circuitBreaker"`, ""},
		"version":               {nil, []string{"version"}, 0, "fiso-link ", ""},
		"version, JSON":         {nil, []string{"version", "-o", "json"}, 0, `"platform"`, ""},
		"check":                 {nil, []string{"check", fine}, 1, "FAILED a ", "1 step(s) failed"},
		"check, JSON":           {nil, []string{"check", "-o", "json", fine}, 1, `"ok": false`, ""},
		"check, no target":      {nil, []string{"check", file(t, "targets: []")}, 0, "", ""},
		"check, no file":        {nil, []string{"check", "/nowhere"}, 1, "", "read the configuration"},
		"check, certificate":    {nil, []string{"check", file(t, "targets: [{name: a, host: a, tls: {caFile: /nowhere}}]")}, 1, "read caFile", "1 step(s) failed"},
		"help":                  {nil, []string{"--help"}, 0, "fiso-link run config.yaml", ""},
		"run, no file":          {nil, []string{"run", "/nowhere"}, 1, "", "does not exist"},
		"run, level":            {nil, []string{"run", "--log-level", "loud", fine}, 2, "", "loud"},
		"unknown command":       {nil, []string{"dance"}, 2, "", `unknown command "dance"`},
		"misspelt command":      {nil, []string{"valdate"}, 2, "", `unknown command "valdate"; did you mean "validate"?`},
		"unknown flag":          {nil, []string{"run", "--dance"}, 2, "", "Try 'fiso-link --help'"},
		"two files":             {nil, []string{"run", "a", "b"}, 2, "", "accepts at most 1 arg"},
		"an argument to none":   {nil, []string{"schema", "x"}, 2, "", "unknown command"},
		"output":                {nil, []string{"validate", "-o", "xml", fine}, 2, "", `--output is "xml"`},
	} {
		t.Run(name, func(t *testing.T) {
			code, out, errs := call(t.Context(), test.env, test.args...)
			if code != test.code || !strings.Contains(out, test.out) || !strings.Contains(errs, test.err) {
				t.Errorf("exit %d\nout: %s\nerr: %s", code, out, errs)
			}
		})
	}
}

func TestMain_versionOfARelease(t *testing.T) {
	Version = "v1.2.3"
	defer func() { Version = "" }()
	if _, out, _ := call(t.Context(), nil, "version"); !strings.Contains(out, "fiso-link v1.2.3 ") {
		t.Error(out)
	}
}

func TestMain_runsUntilItIsTold(t *testing.T) {
	for _, args := range [][]string{{"run"}, {}} { // run is the default
		var errs page
		ctx, cancel := context.WithCancel(t.Context())
		code := make(chan int, 1)
		env := map[string]string{"FISO_LINK_CONFIG": file(t, good), "FISO_LOG_LEVEL": "info"}
		go func() {
			code <- Main(ctx, args, command.IO{Out: &errs, Err: &errs, Getenv: func(k string) string { return env[k] }})
		}()
		for end := time.Now().Add(10 * time.Second); !strings.Contains(errs.String(), `"msg":"listening"`); {
			if time.Now().After(end) {
				t.Fatal(errs.String())
			}
			select {
			case <-time.After(5 * time.Millisecond):
			case <-t.Context().Done():
			}
		}
		cancel()
		if got := <-code; got != 0 {
			t.Errorf("exit %d: %s", got, errs.String())
		}
	}
}
