// Command mage is `go tool mage`: mage itself, pinned by the root go.mod, which
// also takes the flags of a target with two dashes (`go tool mage demo --keep`),
// and a number after one (`go tool mage simulate --seeds 1000`).
package main

import (
	"os"
	"strings"

	"github.com/magefile/mage/mage"
)

func main() {
	os.Args = append(os.Args[:1], plain(os.Args[1:])...)
	os.Exit(mage.Main())
}

// plain are the arguments as mage takes them: -flag and -flag=value.
func plain(args []string) []string {
	var out []string
	for i := 0; i < len(args); i++ {
		arg := args[i]
		if len(arg) > len("--") && strings.HasPrefix(arg, "--") {
			arg = arg[1:]
			if i+1 < len(args) && isNumber(args[i+1]) && !strings.Contains(arg, "=") {
				i++
				arg += "=" + args[i]
			}
		}
		out = append(out, arg)
	}
	return out
}

// isNumber reports whether an argument can be no target: it begins with a digit.
func isNumber(arg string) bool { return arg != "" && arg[0] >= '0' && arg[0] <= '9' }
