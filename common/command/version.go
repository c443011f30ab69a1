package command

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// VersionCommand prints the version of the program. release is the version that the
// release build sets; "" uses what the go command recorded.
func (a *App) VersionCommand(release string) *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print the version",
		Long:    fmt.Sprintf("Prints the version of %s, of Go that built it, and the platform.", a.Name),
		Example: fmt.Sprintf("  %[1]s version\n  %[1]s version -o json", a.Name),
		Args:    Args(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			v, platform := version(release), runtime.GOOS+"/"+runtime.GOARCH
			if a.JSON() {
				return a.PrintJSON(map[string]string{"version": v, "go": runtime.Version(), "platform": platform})
			}
			a.Printf("%s %s (%s, %s)\n", a.Name, v, runtime.Version(), platform)
			return nil
		},
	}
}

func version(release string) string {
	info, _ := debug.ReadBuildInfo()
	return versionOf(release, info)
}

// versionOf returns the release's version, or that of the module, or "dev" with the
// commit if it is known.
func versionOf(release string, info *debug.BuildInfo) string {
	switch {
	case release != "":
		return release
	case info == nil:
		return "dev"
	case info.Main.Version != "" && info.Main.Version != "(devel)":
		return info.Main.Version
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 12 {
			return "dev-" + s.Value[:12]
		}
	}
	return "dev"
}
