package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/securelink-chat/securelink/internal/profile"
	"github.com/securelink-chat/securelink/line"
)

func sendCommand() *cobra.Command {
	var flags clientFlags
	var r line.SendRequest
	var server string
	var asJSON bool
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "send --room ROOM TEXT|-",
		Short: "Send one message, for scripts",
		Long: `Send one message and wait until the server has it; "-" reads the standard
input. It prints the message's id. Beside a running chat or listen of the same
profile it hands the message over to that.`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			r.Text = strings.Join(args, " ")
			if r.Text == "-" {
				raw, err := io.ReadAll(io.LimitReader(cmd.InOrStdin(), 1<<20))
				if err != nil {
					return fail(exitInternal, err, "")
				}
				r.Text = strings.TrimRight(string(raw), "\r\n")
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), timeout)
			defer cancel()
			result, err := send(ctx, flags, server, r, cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			return report(cmd, result, asJSON)
		},
	}
	flags.add(cmd)
	cmd.Flags().StringVar(&server, "server", "", "address of the server (default: this machine)")
	cmd.Flags().StringVar(&r.Room, "room", "", "room to write in: its name or id (default: the Lounge)")
	cmd.Flags().StringVar(&r.Name, "name", "", "your name, the first time")
	cmd.Flags().StringVar(&r.Key, "key", "", "id of the message, 32 hexadecimal digits: the same one twice is one message")
	cmd.Flags().StringVar(&r.ReplyTo, "reply-to", "", "id of the message that this one answers")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	cmd.Flags().DurationVar(&timeout, "timeout", time.Minute, "how long to try")
	return cmd
}

// send opens the profile, or hands the message to whoever has it open.
func send(ctx context.Context, flags clientFlags, server string, r line.SendRequest, log io.Writer) (result line.SendResult, err error) {
	t, err := parseTarget(server)
	if err != nil {
		return result, fail(exitUsage, err, "")
	}
	p, path, err := flags.open(ctx, t, log)
	if errors.Is(err, profile.ErrBusy) {
		if result, err = handOver(ctx, path, r); err != nil {
			return result, fail(exitInternal, err, "")
		}
		return result, nil
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return result, fail(exitNetwork, errors.New("it took too long"), "Give it more time: --timeout")
	}
	if err != nil {
		return result, err
	}
	err = p.run(ctx, func(ctx context.Context) error {
		port := p.hub.Port()
		defer port.Close()
		result = line.Send(ctx, port, r)
		return nil
	})
	return result, err
}

// report prints what became of a message and sets the exit code.
func report(cmd *cobra.Command, result line.SendResult, asJSON bool) error {
	if asJSON {
		if err := json.NewEncoder(cmd.OutOrStdout()).Encode(result); err != nil {
			return fail(exitInternal, err, "")
		}
	} else if result.State == "sent" {
		fmt.Fprintln(cmd.OutOrStdout(), result.ID)
	}
	if result.State == "sent" {
		return nil
	}
	hint := ""
	if result.RetryMS > 0 {
		hint = fmt.Sprintf("Try again in %d ms.", result.RetryMS)
	}
	return fail(exitCodeOf(result.Code), errors.New(result.Error), hint)
}

func listenCommand() *cobra.Command {
	var flags clientFlags
	var o line.ListenOptions
	var server string
	cmd := &cobra.Command{
		Use:   "listen --room ROOM [--json] [--since CURSOR]",
		Short: "Print what happens in a room, for scripts",
		Long: `Print what happens in a room, each thing once and in order, until it is stopped.
With --json it is one object a line; "cursor" says where to go on with --since.
An admin's device also gets "type":"knock" of who asks to come in by a link
("target"), which is in no log and comes again after a restart.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.Out = cmd.OutOrStdout()
			t, err := parseTarget(server)
			if err != nil {
				return fail(exitUsage, err, "")
			}
			p, _, err := flags.open(cmd.Context(), t, cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			return p.run(cmd.Context(), func(ctx context.Context) error {
				stop, err := p.answerLocally(ctx)
				if err != nil {
					fmt.Fprintln(os.Stderr, "securelink: send will not work beside this:", err)
				}
				defer stop()
				port := p.hub.Port()
				defer port.Close()
				return lineError(line.Listen(ctx, port, o))
			})
		},
	}
	flags.add(cmd)
	cmd.Flags().StringVar(&server, "server", "", "address of the server (default: this machine)")
	cmd.Flags().StringVar(&o.Room, "room", "", "room to listen to: its name or id (default: the Lounge)")
	cmd.Flags().StringVar(&o.Since, "since", "", "cursor after which to begin (default: now)")
	cmd.Flags().StringVar(&o.Name, "name", "", "your name, the first time")
	cmd.Flags().BoolVar(&o.JSON, "json", false, "print JSON, one object a line")
	return cmd
}
