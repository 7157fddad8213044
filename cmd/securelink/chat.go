package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/securelink-chat/securelink/line"
)

func chatCommand() *cobra.Command {
	var flags clientFlags
	var o line.Options
	cmd := &cobra.Command{
		Use:   "chat [SERVER|LINK]",
		Short: "Talk, line by line, in any terminal or a pipe",
		Long: `Talk, line by line, in any terminal, a pipe or a screen reader.

Without an address it goes to the server on this machine. A link leads to its
room. What you type is a message; /help lists the commands.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.In, o.Out = cmd.InOrStdin(), cmd.OutOrStdout()
			o.Terminal = atTerminal(o.In) && atTerminal(o.Out)
			o.Password = askPassword(cmd)
			o.Width = widthOf(o.Out)
			return chat(cmd.Context(), flags, o, strings.Join(args, ""), cmd)
		},
	}
	flags.add(cmd)
	cmd.Flags().StringVar(&o.Room, "room", "", "room to begin in: its name or id (default: the Lounge)")
	cmd.Flags().StringVar(&o.Name, "name", "", "your name, the first time")
	cmd.Flags().StringVar(&o.Login, "login", "", "login name of your account, for a new device")
	cmd.Flags().BoolVar(&o.Register, "register", false, "make the account that --login names")
	return cmd
}

func chat(ctx context.Context, flags clientFlags, o line.Options, arg string, cmd *cobra.Command) error {
	t, err := parseTarget(arg)
	if err != nil {
		return fail(exitUsage, err, "")
	}
	p, _, err := flags.open(ctx, t, cmd.ErrOrStderr())
	if err != nil {
		return err
	}
	if p.fresh {
		fmt.Fprintf(o.Out, "First visit to %s. Its key's fingerprint is\n  %x\nCompare it with what the server printed when it started.\n", t.address, p.pin)
	}
	if t.link != "" {
		o.Room = t.link
	}
	o.Claim = t.admin
	return p.run(ctx, func(ctx context.Context) error {
		stop, err := p.answerLocally(ctx)
		if err != nil {
			fmt.Fprintln(cmd.ErrOrStderr(), "securelink: send will not work beside this:", err)
		}
		defer stop()
		port := p.hub.Port()
		defer port.Close()
		return lineError(line.Run(ctx, port, o))
	})
}

// run works with the engine until f ends, then ends the engine too.
func (o *opened) run(ctx context.Context, f func(context.Context) error) error {
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go o.hub.Run(ctx)
	go func() {
		ended <- o.engine.Run(ctx)
		cancel() // without an engine there is nothing to wait for
	}()
	err := f(ctx)
	cancel()
	if failed := <-ended; failed != nil && err == nil {
		err = fail(exitInternal, failed, "")
	}
	return errors.Join(err, o.close())
}

// lineError gives the end of a talk its exit code.
func lineError(err error) error {
	var told *line.Problem
	switch {
	case err == nil:
		return nil
	case errors.As(err, &told):
		return &failure{code: exitCodeOf(told.Code), err: err, quiet: told.Told}
	case errors.Is(err, line.ErrNoRoom):
		return &failure{code: exitNotInRoom, err: err, quiet: true}
	case errors.Is(err, line.ErrRefused):
		return &failure{code: exitNetwork, err: err, quiet: true}
	}
	return fail(exitInternal, err, "")
}

// exitCodeOf is the exit code for a problem's code.
func exitCodeOf(code string) int {
	switch code {
	case "usage", "too-large", "malformed":
		return exitUsage
	case "offline", "busy", "closing", "internal-server":
		return exitNetwork
	case "untrusted", "kdf-downgrade":
		return exitUntrusted
	case "limited":
		return exitRate
	case "no-account", "bad-credentials", "not-registering", "refused", "banned", "revoked", "waiting", "unauthenticated", "conflict":
		return exitDenied
	case "no-room", "not-member", "not-found", "gone":
		return exitNotInRoom
	}
	return exitInternal
}

// widthOf asks a terminal for its width whenever it is needed: it may change.
func widthOf(out io.Writer) func() int {
	f, ok := out.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return nil
	}
	return func() int {
		width, _, err := term.GetSize(int(f.Fd()))
		if err != nil {
			return 0
		}
		return width
	}
}

// oneByte reads no more than it needs, so that what follows the password stays
// for others.
type oneByte struct{ io.Reader }

func (r oneByte) Read(p []byte) (int, error) { return r.Reader.Read(p[:min(1, len(p))]) }

// askPassword asks at the terminal without showing what is typed; elsewhere
// the password is the first line of the input.
func askPassword(cmd *cobra.Command) func(string) (string, error) {
	return func(prompt string) (string, error) {
		if f, ok := cmd.InOrStdin().(*os.File); ok && term.IsTerminal(int(f.Fd())) {
			fmt.Fprint(cmd.OutOrStdout(), prompt)
			raw, err := term.ReadPassword(int(f.Fd()))
			fmt.Fprintln(cmd.OutOrStdout())
			return string(raw), err
		}
		raw, err := bufio.NewReader(oneByte{cmd.InOrStdin()}).ReadString('\n')
		return strings.TrimRight(raw, "\r\n"), err
	}
}
