package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/lsm/fiso/common/config"
	"github.com/lsm/fiso/common/telemetry"
	"github.com/lsm/fiso/link/internal/instance"
	"github.com/lsm/fiso/link/spec"
)

// Exit codes of the contract, section 3.7.
const (
	exitGood   = 0
	exitFailed = 1
	exitUsage  = 2
)

const defaultFile = "/etc/fiso/link/config.yaml"

// IO is the outside of a command.
type IO struct {
	Out, Err io.Writer
	// Terminal reports whether Err is one; logs are then readable lines.
	Terminal bool
	Getenv   func(string) string
}

type app struct {
	IO
	output string
}

// usageError is a call that cannot be understood.
type usageError struct{ error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// Main runs one command line and returns the exit code; run ends with ctx.
func Main(ctx context.Context, args []string, io IO) int {
	a := &app{IO: io}
	root := a.root()
	root.SetArgs(args)
	root.SetOut(io.Out)
	root.SetErr(io.Err)
	err := root.ExecuteContext(ctx)
	var usage usageError
	switch {
	case err == nil:
		return exitGood
	case errors.As(err, &usage):
		fmt.Fprintf(io.Err, "fiso-link: %v\nTry 'fiso-link --help'.\n", err)
		return exitUsage
	}
	a.fail(err)
	return exitFailed
}

// fail says what went wrong: in JSON on the output where that was asked for.
func (a *app) fail(err error) {
	if a.output != "json" {
		fmt.Fprintf(a.Err, "fiso-link: %v\n", err)
		return
	}
	type one struct {
		Code    string `json:"code"`
		Message string `json:"message"`
		Line    int    `json:"line,omitempty"`
		Column  int    `json:"column,omitempty"`
	}
	out := []one{}
	var errs config.Errors
	if errors.As(err, &errs) {
		for _, e := range errs {
			out = append(out, one{e.Code, e.Message, e.Pos.Line, e.Pos.Column})
		}
	} else {
		out = append(out, one{Code: "FAILED", Message: err.Error()})
	}
	_ = a.json(map[string]any{"errors": out}) // a reader that went away is no failure
}

func (a *app) json(v any) error {
	e := json.NewEncoder(a.Out)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "fiso-link",
		Short: "The sidecar that makes an outbound call safe",
		Long: `fiso-link listens on localhost. GET /link/crm/api/v2/x becomes an authenticated,
rate-limited, retried and circuit-broken call to the target called crm, with
credentials that the application never sees. Without a command, it runs.`,
		Example: `  fiso-link validate config.yaml
  fiso-link run config.yaml
  curl localhost:3500/link/crm/api/v2/x`,
		SilenceErrors: true, SilenceUsage: true,
	}
	root.PersistentFlags().StringVarP(&a.output, "output", "o", "text", "how to print the result: text or json")
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.PersistentPreRunE = func(*cobra.Command, []string) error {
		if a.output != "text" && a.output != "json" {
			return usagef("--output is %q: write text or json", a.output)
		}
		return nil
	}
	run := a.runCommand()
	root.Args = func(_ *cobra.Command, args []string) error {
		if len(args) > 0 {
			return usagef("unknown command %q", args[0])
		}
		return nil
	}
	root.RunE = run.RunE
	root.Flags().AddFlagSet(run.Flags())
	root.AddCommand(run, a.validateCommand(), a.checkCommand(), a.schemaCommand(), a.versionCommand())
	return root
}

// file is the configuration file: an argument, the environment, or the default.
func (a *app) file(args []string) string {
	if len(args) > 0 {
		return args[0]
	}
	if f := a.Getenv("FISO_LINK_CONFIG"); f != "" {
		return f
	}
	return defaultFile
}

func atMostOne(c *cobra.Command, args []string) error {
	if err := cobra.MaximumNArgs(1)(c, args); err != nil {
		return usageError{err}
	}
	return nil
}

func (a *app) runCommand() *cobra.Command {
	var o instance.Options
	var level string
	c := &cobra.Command{
		Use:   "run [file]",
		Short: "Serve the targets of a configuration file until told to stop",
		Long: `Serves the targets of the file, and follows the file while it runs: a change is
taken over without cutting the calls of targets that did not change, and a file
that is not valid changes nothing.

SIGTERM and Ctrl-C let calls under way finish; a second signal ends at once.

Environment: FISO_LINK_CONFIG (` + defaultFile + `), FISO_LOG_LEVEL (info).
Flags and arguments override it.`,
		Args: atMostOne,
		RunE: func(c *cobra.Command, args []string) error {
			if level == "" {
				level = a.Getenv("FISO_LOG_LEVEL")
			}
			if level == "" {
				level = "info"
			}
			l, err := telemetry.ParseLevel(level)
			if err != nil {
				return usageError{err}
			}
			o.File, o.Log = a.file(args), telemetry.Logger(a.Err, l, a.Terminal)
			i, err := instance.New(o)
			if err != nil {
				return err
			}
			return i.Run(c.Context())
		},
	}
	c.Flags().StringVar(&o.ListenAddr, "listen-addr", "", "where applications call, instead of the file's listenAddr")
	c.Flags().StringVar(&o.MetricsAddr, "metrics-addr", "", "where /healthz, /readyz and /metrics listen, instead of the file's metricsAddr")
	c.Flags().StringVar(&level, "log-level", "", "debug, info, warn or error (FISO_LOG_LEVEL, info)")
	return c
}

func (a *app) validateCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "validate [file]",
		Short: "Check a configuration file, and connect to nothing",
		Args:  atMostOne,
		RunE: func(_ *cobra.Command, args []string) error {
			file := a.file(args)
			cfg, err := a.read(file)
			if err != nil {
				return err
			}
			if a.output == "json" {
				return a.json(map[string]any{"errors": []string{}, "targets": len(cfg.Targets)})
			}
			fmt.Fprintf(a.Out, "%s: valid, %d target(s)\n", file, len(cfg.Targets))
			return nil
		},
	}
}

func (a *app) read(file string) (*spec.Config, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read the configuration: %w", err)
	}
	return spec.Parse(file, data)
}

func (a *app) schemaCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON Schema of a configuration file, for editors",
		Args:  cobra.NoArgs,
		RunE:  func(*cobra.Command, []string) error { return a.json(spec.Schema()) },
	}
}

// Version is set by the release build (-ldflags -X).
var Version = ""

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			v := Version
			if info, ok := debug.ReadBuildInfo(); ok && v == "" {
				v = info.Main.Version
			}
			if v == "" {
				v = "dev"
			}
			if a.output == "json" {
				return a.json(map[string]string{"version": v, "go": runtime.Version(), "platform": runtime.GOOS + "/" + runtime.GOARCH})
			}
			fmt.Fprintf(a.Out, "fiso-link %s (%s, %s/%s)\n", v, runtime.Version(), runtime.GOOS, runtime.GOARCH)
			return nil
		},
	}
}
