package cli

import (
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/lsm/fiso/common/command"
)

//go:embed init.yaml
var initFile string

func (a *app) initCommand() *cobra.Command {
	var name string
	c := &cobra.Command{
		Use:   "init [file]",
		Short: "Write a commented flow file to start from",
		Long: `Writes a flow file whose comments say what each key does, to standard output or
to a new file. It never overwrites an existing file.`,
		Example: `  fiso-flow init > order-events.yaml
  fiso-flow init --name payments payments.yaml`,
		Args: command.Args(cobra.MaximumNArgs(1)),
		RunE: func(_ *cobra.Command, args []string) error {
			text := strings.ReplaceAll(initFile, "order-events", name)
			if len(args) == 0 {
				a.Printf("%s", text)
				return nil
			}
			if err := writeNew(args[0], text); err != nil {
				return err
			}
			a.Errorf("wrote %s\nnext: fiso-flow validate --explain %s\n", args[0], args[0])
			return nil
		},
	}
	c.Flags().StringVar(&name, "name", "order-events", "`name` of the flow")
	return c
}

func writeNew(path, text string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s already exists: name another file, or remove it first", path)
	}
	if err != nil {
		return fmt.Errorf("write a flow file: %w", err)
	}
	_, err = f.WriteString(text)
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}
