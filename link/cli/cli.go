package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/lsm/fiso/common/command"
	"github.com/lsm/fiso/common/config"
	"github.com/lsm/fiso/link/spec"
)

const defaultFile = "/etc/fiso/link/config.yaml"

// Version is set by the release build (-ldflags -X); if empty, the version that the go
// command recorded is used.
var Version = ""

// app is one run of the command line.
type app struct{ command.App }

func newApp(io command.IO) *app { return &app{command.App{IO: io, Name: "fiso-link"}} }

// Main runs one command line and returns the exit code. The commands end when ctx does.
func Main(ctx context.Context, args []string, io command.IO) int {
	a := newApp(io)
	root, run := a.root()
	return a.Execute(ctx, args, root, run)
}

// root returns the command line, and the command that it runs if none is named.
func (a *app) root() (root, run *cobra.Command) {
	root = &cobra.Command{
		Use:   a.Name,
		Short: "The sidecar that makes outbound calls safe",
		Long: `fiso-link listens on localhost. GET /link/crm/api/v2/x becomes an authenticated,
rate-limited, retried and circuit-broken call to the target called crm, with
credentials that the application never sees. run is the default command.`,
		Example: `  fiso-link validate config.yaml
  fiso-link run config.yaml
  curl localhost:3500/link/crm/api/v2/x`,
	}
	run = a.runCommand()
	root.AddCommand(run, a.demoCommand(), a.validateCommand(), a.checkCommand(), a.schemaCommand(), a.VersionCommand(Version))
	return root, run
}

// file returns the configuration file: the argument, FISO_LINK_CONFIG, or the default.
func (a *app) file(args []string) string {
	if len(args) > 0 {
		return args[0]
	}
	if f := a.Getenv("FISO_LINK_CONFIG"); f != "" {
		return f
	}
	return defaultFile
}

func (a *app) validateCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "validate [file]",
		Short: "Check a configuration file, and connect to nothing",
		Long: `Checks the file as run would, and shows every fault with its line, its column
and a hint. It connects to nothing, and reads no Secret that a secretRef names.`,
		Example: `  fiso-link validate config.yaml
  fiso-link validate -o json config.yaml`,
		Args: command.Args(cobra.MaximumNArgs(1)),
		RunE: func(_ *cobra.Command, args []string) error {
			file := a.file(args)
			cfg, err := a.read(file, config.Unmounted())
			if err != nil {
				return err
			}
			if a.JSON() {
				return a.PrintJSON(map[string]any{"ok": true, "errors": a.Problems(nil), "targets": len(cfg.Targets)})
			}
			a.Printf("%s: valid, %d target(s)\n", file, len(cfg.Targets))
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
		Long:    `Prints the JSON Schema of a configuration file, with which editors complete and check.`,
		Example: `  fiso-link schema > fiso-link.schema.json`,
		Args:    command.Args(cobra.NoArgs),
		RunE:    func(*cobra.Command, []string) error { return a.PrintJSON(spec.Schema()) },
	}
}
