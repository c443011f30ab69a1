// Package command is what the commands of Fiso have in common on the outside:
// exit codes, output for a person or as JSON, how errors and the faults of
// configuration files are shown, usage errors, and the signals that end a
// process. It is for a main that builds its commands with cobra; what the
// commands do is the program's.
//
//	func main() { os.Exit(command.Main(cli.Main)) }
//
//	func Main(ctx context.Context, args []string, io command.IO) int {
//		a := &command.App{IO: io, Name: "fiso-flow"}
//		run := runCommand(a)
//		root := &cobra.Command{Use: a.Name}
//		root.AddCommand(run, a.VersionCommand(Version))
//		return a.Execute(ctx, args, root, run)
//	}
package command
