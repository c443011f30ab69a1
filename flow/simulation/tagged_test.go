//go:build !synctests

package simulation

import (
	"flag"
	"os"
	"os/exec"
	"testing"
)

// TestSimulation runs the simulation proper, which needs the build tag
// synctests: with it the mutexes of franz-go let virtual time pass while
// somebody waits for one, as sync.Mutex does not.
func TestSimulation(t *testing.T) {
	args := []string{"test", "-tags=synctests", "-count=1", "-timeout=0"}
	if raced {
		args = append(args, "-race")
	}
	args = append(args, "-run=^TestSimulation$", ".")
	if testing.Verbose() {
		args = append(args, "-v")
	}
	if testing.Short() {
		args = append(args, "-short")
	}
	flag.Visit(func(f *flag.Flag) {
		switch f.Name {
		case "seeds", "first", "seed", "faults":
			args = append(args, "-"+f.Name+"="+f.Value.String())
		}
	})
	c := exec.CommandContext(t.Context(), "go", args...)
	c.Stdout, c.Stderr = os.Stdout, os.Stderr
	if err := c.Run(); err != nil {
		t.Errorf("go %v: %v", args, err)
	}
}
