// Package command is the common shell of Fiso's commands: exit codes, output for a
// person or as JSON, printing of errors and of faults in configuration files, usage
// errors, and the signals that end a process. It is for a main that builds its
// commands with cobra. The program decides what the commands do.
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
