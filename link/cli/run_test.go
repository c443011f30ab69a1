package cli

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/lsm/fiso/common/command"
)

// until waits for a condition.
func until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !holds(); {
		if time.Now().After(end) {
			t.Fatal("waited in vain for " + what)
		}
		select {
		case <-time.After(5 * time.Millisecond):
		case <-t.Context().Done():
		}
	}
}

// running runs a command line until stop is called.
func running(t *testing.T, env map[string]string, args ...string) (errs *page, stop func() int) {
	t.Helper()
	errs = &page{}
	ctx, cancel := context.WithCancel(context.Background())
	code := make(chan int, 1)
	go func() {
		code <- Main(ctx, args, command.IO{Out: errs, Err: errs, Getenv: func(k string) string { return env[k] }})
	}()
	return errs, func() int { cancel(); return <-code }
}

// between returns the text of s between before and after.
func between(s, before, after string) string {
	_, rest, _ := strings.Cut(s, before)
	word, _, _ := strings.Cut(rest, after)
	return word
}

func TestRun_sendsTracesAndTellsOfEveryCall(t *testing.T) {
	sent := make(chan string, 10)
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		sent <- r.URL.Path + " " + string(b)
	}))
	defer collector.Close()
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.URL)
	logs, stop := running(t, nil, "run", "--log-level", "debug", file(t, good))
	until(t, "the start", func() bool { return strings.Contains(logs.String(), `"msg":"listening"`) })
	resp, err := http.Get("http://" + between(logs.String(), `"calls":"`, `"`) + "/link/a/") //nolint:forbidigo // a test on loopback, bounded by its own end
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	http.DefaultClient.CloseIdleConnections() //nolint:forbidigo // of this test
	if code := stop(); code != 0 {
		t.Fatalf("exit %d\n%s", code, logs)
	}
	if got := <-sent; !strings.HasPrefix(got, "/v1/traces ") || !strings.Contains(got, "GET /link/a") || !strings.Contains(got, "fiso-link") {
		t.Errorf("sent %q", got)
	}
	line := between(logs.String(), `"msg":"call"`, "\n")
	if !strings.Contains(line, `"trace_id":"`) || !strings.Contains(line, `"code":"CONNECT_FAILED"`) || !strings.Contains(line, `"attempts":3`) {
		t.Errorf("the log tells of the call: %s\n%s", line, logs)
	}
}

func TestRun_refusesTracesThatCannotWork(t *testing.T) {
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
	t.Setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "carrier-pigeon")
	if code, _, errs := call(t.Context(), nil, "run", file(t, good)); code != 1 || !strings.Contains(errs, "carrier-pigeon") {
		t.Errorf("exit %d: %s", code, errs)
	}
}

func TestHelp_ofEveryCommandSaysWhatItDoesAndShowsHow(t *testing.T) {
	a := newApp(command.IO{Out: io.Discard, Err: io.Discard, Getenv: os.Getenv})
	root, _ := a.root()
	commands := append([]*cobra.Command{root}, root.Commands()...)
	for _, c := range commands {
		if c.Short == "" || len(c.Long) <= len(c.Short) || !strings.Contains(c.Example, "  fiso-link ") || strings.HasSuffix(c.Short, ".") {
			t.Errorf("%s: %q, %q, %q", c.Name(), c.Short, c.Long, c.Example)
		}
		_, out, _ := call(t.Context(), nil, strings.Fields(strings.TrimPrefix(c.CommandPath(), "fiso-link")+" --help")...)
		for line := range strings.Lines(out) {
			if len(line) > 121 {
				t.Errorf("%s: a line of %d: %s", c.Name(), len(line), line)
			}
		}
		if !strings.Contains(out, "--output") {
			t.Errorf("%s: %s", c.Name(), out)
		}
	}
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		if code, out, _ := call(t.Context(), nil, "completion", shell); code != 0 || !strings.Contains(out, "fiso-link") {
			t.Errorf("completion %s: exit %d", shell, code)
		}
	}
}
