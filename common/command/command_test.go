package command

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime/debug"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spf13/cobra"
	"go.opentelemetry.io/otel/trace"

	"github.com/lsm/fiso/common/config"
)

// result is the exit code and the output of a command line.
type result struct {
	code      int
	out, errs string
}

// call runs a command line of a program whose command run returns the error fail.
func call(t *testing.T, fail error, args ...string) result {
	t.Helper()
	var out, errs bytes.Buffer
	a := &App{IO: IO{Out: &out, Err: &errs}, Name: "prog", Code: func(err error) string {
		if errors.Is(err, errCoded) {
			return "CODED"
		}
		return ""
	}}
	run := &cobra.Command{Use: "run", RunE: func(*cobra.Command, []string) error {
		a.Printf("%s", "ran\n")
		return fail
	}}
	run.Flags().Bool("fast", false, "")
	group := &cobra.Command{Use: "group", Args: UnknownCommand, RunE: func(*cobra.Command, []string) error { return Usagef("say what to do") }}
	group.AddCommand(&cobra.Command{Use: "list", Args: Args(cobra.NoArgs), RunE: func(*cobra.Command, []string) error { return nil }})
	root := &cobra.Command{Use: "prog"}
	root.AddCommand(run, group, a.VersionCommand("v1.2.3"))
	code := a.Execute(t.Context(), args, root, run)
	return result{code, out.String(), errs.String()}
}

var (
	errCoded  = errors.New("it has a code")
	errFaults = config.Errors{
		{Pos: config.Pos{File: "a.yaml", Line: 2, Column: 3}, Code: "UNKNOWN_KEY", Key: "tpoic", Message: `unknown key "tpoic"`, Hint: `did you mean "topic"?`, Line: "  tpoic: x"},
		{Pos: config.Pos{File: "a.yaml", Line: 4, Column: 1}, Code: "BAD_VALUE", Message: "no number"},
	}
)

func TestExecute_saysWhatHappenedByCodeAndText(t *testing.T) {
	const usage = "\nTry 'prog --help'.\n"
	for _, tc := range []struct {
		name string
		fail error
		args []string
		want result
	}{
		{"success", nil, []string{"run"}, result{0, "ran\n", ""}},
		{"no command: that of the root", nil, []string{"--fast"}, result{0, "ran\n", ""}},
		{"a failure", errors.New("broken"), []string{"run"}, result{1, "ran\n", "prog: broken\n"}},
		{"a failure that steers a terminal", errors.New("\x1b[2Jok"), []string{"run"}, result{1, "ran\n", "prog: \\x1b[2Jok\n"}},
		{"a failure that was reported", fmt.Errorf("all of it: %w", ErrReported), []string{"run"}, result{1, "ran\n", ""}},
		{"faults of a file", errFaults, []string{"run"}, result{1, "ran\n", errFaults.Error() + "\n"}},
		{"a usage error", fmt.Errorf("wrapped: %w", Usagef("no %s", "flow")), []string{"run"}, result{2, "ran\n", "prog: wrapped: no flow" + usage}},
		{"an unknown command", nil, []string{"dance"}, result{2, "", `prog: unknown command "dance"` + usage}},
		{"a misspelt command", nil, []string{"rnu"}, result{2, "", `prog: unknown command "rnu"; did you mean "run"?` + usage}},
		{"an unknown command of a command", nil, []string{"group", "burn"}, result{2, "", `prog: unknown command "burn" for group` + usage}},
		{"a misspelt command of a command", nil, []string{"group", "lst"}, result{2, "", `prog: unknown command "lst" for group; did you mean "list"?` + usage}},
		{"a command that needs a command", nil, []string{"group"}, result{2, "", "prog: say what to do" + usage}},
		{"an unknown flag", nil, []string{"run", "--slow"}, result{2, "", "prog: unknown flag: --slow" + usage}},
		{"too many arguments", nil, []string{"group", "list", "x"}, result{2, "", `prog: unknown command "x" for "prog group list"` + usage}},
		{"an unknown output", nil, []string{"run", "-o", "xml"}, result{2, "", `prog: --output is "xml": write text or json` + usage}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := call(t, tc.fail, tc.args...); got != tc.want {
				t.Errorf("got %+v\nwant %+v", got, tc.want)
			}
		})
	}
	if got := call(t, nil, "--help"); got.code != 0 || !strings.Contains(got.out, "--output") || !strings.Contains(got.out, "--fast") || !strings.Contains(got.out, "group") {
		t.Errorf("--help: %+v", got)
	}
}

func TestProblems_areTheFaultsOfAFileOrOneError(t *testing.T) {
	for _, tc := range []struct {
		name string
		fail error
		want []Problem
	}{
		{"faults of a file", fmt.Errorf("parse: %w", errFaults), []Problem{
			{"UNKNOWN_KEY", `unknown key "tpoic"`, "a.yaml", 2, 3, "tpoic", `did you mean "topic"?`},
			{Code: "BAD_VALUE", Message: "no number", File: "a.yaml", Line: 4, Column: 1},
		}},
		{"an error with a code", errCoded, []Problem{{Code: "CODED", Message: "it has a code"}}},
		{"another error", errors.New("a <b> & c"), []Problem{{Code: "FAILED", Message: "a <b> & c"}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := call(t, tc.fail, "run", "--output", "json")
			var doc struct {
				OK     *bool
				Errors []Problem
			}
			if err := json.Unmarshal([]byte(strings.TrimPrefix(got.out, "ran\n")), &doc); err != nil || got.code != 1 || got.errs != "" || doc.OK == nil || *doc.OK {
				t.Fatalf("%v: %+v", err, got)
			}
			if fmt.Sprint(doc.Errors) != fmt.Sprint(tc.want) || strings.Contains(got.out, `\u003c`) {
				t.Errorf("got %+v, want %+v: %s", doc.Errors, tc.want, got.out)
			}
		})
	}
	a := &App{}
	if got := a.Problems(nil); got == nil || len(got) > 0 {
		t.Errorf("no error: %v, want an empty list", got)
	}
	if got := a.Problems(errCoded); len(got) != 1 || got[0].Code != "FAILED" {
		t.Errorf("without Code: %+v", got)
	}
}

// brokenPipe fails every write.
type brokenPipe struct{}

func (brokenPipe) Write([]byte) (int, error) { return 0, errors.New("broken pipe") }

func TestExecute_saysInTextWhatCannotBePrintedAsJSON(t *testing.T) {
	var errs bytes.Buffer
	a := &App{IO: IO{Out: brokenPipe{}, Err: &errs}, Name: "prog"}
	version := a.VersionCommand("")
	root := &cobra.Command{Use: "prog"}
	root.AddCommand(version)
	if code := a.Execute(t.Context(), []string{"version", "-o", "json"}, root, version); code != ExitFailed || errs.String() != "prog: print the result as JSON: broken pipe\n" {
		t.Errorf("exit code %d, %q", code, &errs)
	}
}

func TestVersion_isPrintedForPeopleAndMachines(t *testing.T) {
	if got := call(t, nil, "version"); got.code != 0 || !strings.HasPrefix(got.out, "prog v1.2.3 (go1.") {
		t.Errorf("%+v", got)
	}
	var doc map[string]string
	got := call(t, nil, "version", "-o", "json")
	if err := json.Unmarshal([]byte(got.out), &doc); err != nil || doc["version"] != "v1.2.3" || doc["go"] == "" || doc["platform"] == "" {
		t.Errorf("%v: %+v", err, got)
	}
}

func TestVersionOf_namesTheBuild(t *testing.T) {
	commit := []debug.BuildSetting{{Key: "vcs.revision", Value: "0123456789abcdef"}}
	for _, tc := range []struct {
		name, release string
		info          *debug.BuildInfo
		want          string
	}{
		{"a release", "v1.2.3", nil, "v1.2.3"},
		{"nothing known", "", nil, "dev"},
		{"nothing in it", "", &debug.BuildInfo{}, "dev"},
		{"a module", "", &debug.BuildInfo{Main: debug.Module{Version: "v0.1.0"}}, "v0.1.0"},
		{"a commit", "", &debug.BuildInfo{Main: debug.Module{Version: "(devel)"}, Settings: commit}, "dev-0123456789ab"},
	} {
		if got := versionOf(tc.release, tc.info); got != tc.want {
			t.Errorf("%s: got %s, want %s", tc.name, got, tc.want)
		}
	}
}

func TestLogger_takesItsLevelFromTheFlagThenTheEnvironment(t *testing.T) {
	for _, tc := range []struct {
		flag, env string
		want      slog.Level
	}{
		{"", "", slog.LevelInfo}, {"", "warn", slog.LevelWarn}, {"debug", "warn", slog.LevelDebug},
	} {
		a := &App{IO: IO{Err: &bytes.Buffer{}, Getenv: func(name string) string { return map[string]string{"FISO_LOG_LEVEL": tc.env}[name] }}}
		log, err := a.Logger(tc.flag)
		if err != nil || !log.Enabled(t.Context(), tc.want) || log.Enabled(t.Context(), tc.want-1) {
			t.Errorf("flag %q, environment %q: %v, level is not %v", tc.flag, tc.env, err, tc.want)
		}
	}
	a := &App{IO: IO{Err: &bytes.Buffer{}}, Name: "prog"}
	if _, err := a.Logger("loud"); a.exitCode(err) != ExitUsage || !strings.Contains(err.Error(), `log level "loud" is not known`) {
		t.Errorf("error = %v", err)
	}
}

func TestTraced_sendsTracesWhereTheEnvironmentSaysSo(t *testing.T) {
	sent := make(chan string, 1)
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { sent <- r.URL.Path }))
	defer collector.Close()
	a, log := &App{Name: "prog"}, slog.New(slog.DiscardHandler)
	errRun := errors.New("what run returned")
	for _, endpoint := range []string{"", collector.URL} {
		t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
		err := a.Traced(t.Context(), "", log, func(p trace.TracerProvider) error {
			if (p != nil) != (endpoint != "") {
				t.Errorf("endpoint %q: the provider is %v", endpoint, p)
			}
			if p != nil {
				_, span := p.Tracer("t").Start(t.Context(), "s")
				span.End()
			}
			return errRun
		})
		if !errors.Is(err, errRun) {
			t.Errorf("error = %v", err)
		}
	}
	if path := <-sent; path != "/v1/traces" {
		t.Errorf("traces were sent to %s", path)
	}
	t.Setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "carrier-pigeon")
	err := a.Traced(t.Context(), "", log, func(trace.TracerProvider) error { t.Error("it runs"); return nil })
	if err == nil || !strings.Contains(err.Error(), "carrier-pigeon") {
		t.Errorf("error = %v", err)
	}
}

func TestTraced_saysWhenTheLastTracesAreLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var logs bytes.Buffer
		ctx, cancel := context.WithCancel(t.Context())
		cancel() // the program stops: the last traces are sent nevertheless
		begun := time.Now()
		sendLast(ctx, func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }, slog.New(slog.NewTextHandler(&logs, nil)))
		if !strings.Contains(logs.String(), `msg="last traces lost" error="context deadline exceeded"`) || time.Since(begun) != 3*time.Second {
			t.Errorf("after %v the log is %s", time.Since(begun), &logs)
		}
	})
}

func TestMain_givesTheOutsideOfTheProcess(t *testing.T) {
	before := os.Args
	defer func() { os.Args = before }()
	os.Args = []string{"prog", "run", "--fast"}
	t.Setenv("FISO_TEST", "x")
	code := Main(func(ctx context.Context, args []string, io IO) int {
		if strings.Join(args, " ") != "run --fast" || io.Getenv("FISO_TEST") != "x" || io.In != os.Stdin || io.Out != os.Stdout || io.Err != os.Stderr || ctx.Err() != nil {
			t.Errorf("arguments %q, %+v, %v", args, io, ctx.Err())
		}
		return 7
	})
	if code != 7 {
		t.Errorf("exit code %d", code)
	}
}
