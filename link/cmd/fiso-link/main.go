// Command fiso-link makes outbound calls safe: an application calls localhost,
// and fiso-link the world.
package main

import (
	"os"

	"github.com/lsm/fiso/common/command"
	"github.com/lsm/fiso/link/cli"
)

func main() { os.Exit(command.Main(cli.Main)) }
