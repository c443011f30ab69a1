package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/lsm/fiso/common/config"
	"github.com/lsm/fiso/common/terminal"
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
	// OutTerminal reports whether Out is one; the demo then draws a panel.
	OutTerminal bool
	Getenv      func(string) string
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
		fmt.Fprintf(a.Err, "fiso-link: %s\n", terminal.Text(err.Error()))
		return
	}
	var steps stepsFailed
	if errors.As(err, &steps) {
		return // the one document on the output has them
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
	root.AddCommand(run, a.demoCommand(), a.validateCommand(), a.checkCommand(), a.schemaCommand(), a.versionCommand())
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

// arguments makes a wrong number of them a fault of usage.
func arguments(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if err := check(c, args); err != nil {
			return usageError{err}
		}
		return nil
	}
}

func (a *app) validateCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "validate [file]",
		Short: "Check a configuration file, and connect to nothing",
		Long: `Checks the file as run would, and shows every fault with its line, its column
and what was meant. It connects to nothing, and reads no Secret that a secretRef names.`,
		Example: `  fiso-link validate config.yaml
  fiso-link validate -o json config.yaml`,
		Args: arguments(cobra.MaximumNArgs(1)),
		RunE: func(_ *cobra.Command, args []string) error {
			file := a.file(args)
			cfg, err := a.read(file, config.Unmounted())
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

func (a *app) read(file string, opts ...config.Option) (*spec.Config, error) {
	data, err := config.ReadFile(context.Background(), file, config.MaxFile)
	if err != nil {
		return nil, fmt.Errorf("read the configuration: %w", err)
	}
	return spec.Parse(file, data, opts...)
}

func (a *app) schemaCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "schema",
		Short:   "Print the JSON Schema of a configuration file, for editors",
		Long:    `Prints the JSON Schema of a configuration file: editors complete and check by it.`,
		Example: `  fiso-link schema > fiso-link.schema.json`,
		Args:    arguments(cobra.NoArgs),
		RunE:    func(*cobra.Command, []string) error { return a.json(spec.Schema()) },
	}
}
