package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

func manCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "man FOLDER",
		Short: "Write a manual page for every command",
		Long: `Write a manual page for every command into FOLDER, for packages.

  securelink man /usr/share/man/man1
  man -l /usr/share/man/man1/securelink-serve.1

Shell completion: securelink completion bash|zsh|fish|powershell`,
		Args:   cobra.ExactArgs(1),
		Hidden: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := os.MkdirAll(args[0], 0o755); err != nil {
				return fail(exitUsage, err, "")
			}
			return writeManual(cmd.Root(), args[0])
		},
	}
}

// writeManual writes the page of cmd and those of its commands.
func writeManual(cmd *cobra.Command, folder string) error {
	name := strings.ReplaceAll(cmd.CommandPath(), " ", "-")
	var b bytes.Buffer
	manualPage(&b, cmd, name)
	err := os.WriteFile(filepath.Join(folder, name+".1"), b.Bytes(), 0o644)
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() {
			err = errors.Join(err, writeManual(c, folder))
		}
	}
	return err
}

// manualPage writes one page in the man macros of troff.
func manualPage(b *bytes.Buffer, cmd *cobra.Command, name string) {
	// No date and no version: the page is the same wherever it is made.
	fmt.Fprintf(b, ".TH %s 1 \"\" \"SecureLink\" \"SecureLink manual\"\n", strings.ToUpper(name))
	fmt.Fprintf(b, ".SH NAME\n%s \\- %s\n", troff(name), troff(cmd.Short))
	fmt.Fprintf(b, ".SH SYNOPSIS\n.B %s\n", troff(cmd.UseLine()))
	long := cmd.Long
	if cmd.Example != "" {
		long += "\n\n" + cmd.Example
	}
	if long != "" {
		fmt.Fprintf(b, ".SH DESCRIPTION\n.nf\n%s\n.fi\n", troff(long))
	}
	if cmd.HasAvailableLocalFlags() {
		b.WriteString(".SH OPTIONS\n")
		cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
			if f.Hidden {
				return
			}
			kind, about := pflag.UnquoteUsage(f)
			fmt.Fprintf(b, ".TP\n\\fB%s\\fR %s\n%s\n", troff("--"+f.Name), troff(kind), troff(about))
		})
	}
	var also []string
	if cmd.HasParent() {
		also = append(also, strings.ReplaceAll(cmd.Parent().CommandPath(), " ", "-"))
	}
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() {
			also = append(also, name+"-"+c.Name())
		}
	}
	if len(also) > 0 {
		fmt.Fprintf(b, ".SH SEE ALSO\n.BR %s (1)\n", troff(strings.Join(also, " (1),\n.BR ")))
	}
}

// troff escapes text: dashes stay dashes when copied, and no line is a request.
func troff(text string) string {
	text = strings.NewReplacer(`\`, `\e`, "-", `\-`).Replace(text)
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		if strings.HasPrefix(line, ".") && !strings.HasPrefix(line, ".BR ") || strings.HasPrefix(line, "'") {
			lines[i] = `\&` + line
		}
	}
	return strings.Join(lines, "\n")
}
