// Command fiso-flow consumes events, transforms them and delivers them.
package main

import (
	"os"

	"github.com/lsm/fiso/common/command"
	"github.com/lsm/fiso/flow/cli"
)

func main() { os.Exit(command.Main(cli.Main)) }
