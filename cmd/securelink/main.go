// Command securelink is the server, the terminal client and the tools of an
// end-to-end encrypted chat, in one file.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:])
	stop()
	os.Exit(code)
}

// run does what the arguments say and returns the exit code.
func run(ctx context.Context, args []string) int {
	root := newRoot()
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	var failed *failure
	if !errors.As(err, &failed) {
		// Everything that our own commands report is a failure; what is left
		// is cobra's complaint about the arguments.
		failed = &failure{code: exitUsage, err: err, hint: "Run: securelink help"}
	}
	if !failed.quiet {
		fmt.Fprintf(os.Stderr, "securelink: %v\n", failed.err)
		if failed.hint != "" {
			fmt.Fprintln(os.Stderr, failed.hint)
		}
	}
	return failed.code
}

const about = `SecureLink is an end-to-end encrypted chat that you host yourself.

  securelink serve                    start a server on this machine
  securelink chat                     talk (in the Lounge of the server here)
  securelink chat chat.example.org    talk on another server
  securelink demo                     see it work, and what the server sees`

func newRoot() *cobra.Command {
	cobra.EnableCommandSorting = false
	cobra.AddTemplateFunc("grouped", grouped)
	root := &cobra.Command{
		Use:           "securelink",
		Short:         "End-to-end encrypted chat that you host yourself",
		Long:          about,
		Args:          cobra.NoArgs,
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return cmd.Help()
		},
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	root.SetUsageTemplate(usage)
	root.AddCommand(commands()...)
	root.SetHelpCommand(&cobra.Command{
		Use:    "help [COMMAND]",
		Short:  "Show what a command does",
		Hidden: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			found, _, err := cmd.Root().Find(args)
			if err != nil {
				return fail(exitUsage, err, "Run: securelink help")
			}
			return found.Help()
		},
	})
	return root
}

// commands lists every command, in the order of the help.
func commands() []*cobra.Command {
	return []*cobra.Command{
		newServeCmd(),
		chatCommand(),
		sendCommand(),
		listenCommand(),
		demoCommand(),
		newCoreCmd(),
		newLimitsCmd(),
		gatewayCommand(),
		configCommand(),
		doctorCommand(),
		healthcheckCommand(),
		adminCommand(),
		backupCommand(),
		restoreCommand(),
		manCommand(),
		benchCommand(),
		versionCommand(),
	}
}

// groups are the lines of the first help screen; a command that is in none is
// among the last.
var groups = []struct{ title, names string }{
	{"Run", "serve core gateway"},
	{"Chat", "chat send listen demo"},
	{"Look after it", "doctor config admin backup restore"},
	{"Tools", ""},
}

// grouped lists the commands for the first help screen, a line a group.
func grouped(cmd *cobra.Command) string {
	lines := make([][]string, len(groups))
	for _, c := range cmd.Commands() {
		if !c.IsAvailableCommand() {
			continue
		}
		in := len(groups) - 1
		for i, g := range groups {
			if slices.Contains(strings.Fields(g.names), c.Name()) {
				in = i
			}
		}
		lines[in] = append(lines[in], c.Name())
	}
	var out strings.Builder
	for i, g := range groups {
		if len(lines[i]) > 0 {
			fmt.Fprintf(&out, "\n  %-14s %s", g.title, strings.Join(lines[i], ", "))
		}
	}
	return out.String()
}

// usage is cobra's template without what does not fit one screen.
const usage = `Usage:{{if .Runnable}} {{.UseLine}}{{end}}{{if .HasAvailableSubCommands}}
       {{.CommandPath}} COMMAND -h      more about one command

Commands:{{if .HasParent}}{{range .Commands}}{{if .IsAvailableCommand}}
  {{rpad .Name 14}} {{.Short}}{{end}}{{end}}{{else}}{{grouped .}}{{end}}{{end}}{{if .HasAvailableLocalFlags}}

Flags:
{{.LocalFlags.FlagUsages | trimTrailingWhitespaces}}{{end}}
`
