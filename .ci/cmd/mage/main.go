// Command mage is `go tool mage`: mage itself, pinned by the root go.mod, which
// also takes the flags of a target with two dashes (`go tool mage demo --keep`).
package main

import (
	"os"
	"strings"

	"github.com/magefile/mage/mage"
)

func main() {
	for i, arg := range os.Args {
		if i > 0 && len(arg) > len("--") && strings.HasPrefix(arg, "--") {
			os.Args[i] = arg[1:]
		}
	}
	os.Exit(mage.Main())
}
