// Command fiso-link is a sidecar that makes outbound calls safe: an application calls
// localhost, and fiso-link makes the outbound call.
package main

import (
	"os"

	"github.com/lsm/fiso/common/command"
	"github.com/lsm/fiso/link/cli"
)

func main() { os.Exit(command.Main(cli.Main)) }
