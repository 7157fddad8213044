package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"
)

// The doctor's own exit codes, as monitoring tools read them.
const (
	doctorWarning = 1
	doctorBad     = 2
)

func doctorCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Look at what a server here needs, and say what to mend",
		Long: `Look at what a server on this machine needs: clock, file limits, permissions, disk,
fsync, the database with every room's chain, ports, certificate, the last backup.

  securelink doctor
  securelink doctor --config /etc/securelink/securelink.toml --json

Exit codes: 0 all is well, 1 there are warnings, 2 something is bad.`,
		Args: cobra.NoArgs,
	}
	s := addSettings(cmd, map[string]string{"data": "server.data"})
	asJSON := cmd.Flags().Bool("json", false, "print JSON")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		var findings []finding
		cfg, err := s.load()
		if err != nil {
			findings = []finding{{"configuration", bad, err.Error(), "All options: securelink config default"}}
		} else {
			folder, err := dataFolder(&cfg.Config)
			if err != nil {
				return err
			}
			findings = examine(cmd.Context(), &cfg.Config, folder)
		}
		if err := printFindings(cmd.OutOrStdout(), *asJSON, findings); err != nil {
			return err
		}
		code := exitOK
		for _, f := range findings {
			switch f.Verdict {
			case warning:
				code = max(code, doctorWarning)
			case bad:
				code = doctorBad
			}
		}
		if code == exitOK {
			return nil
		}
		return &failure{code: code, err: errors.New("the doctor found something"), quiet: true}
	}
	return cmd
}

func printFindings(out io.Writer, asJSON bool, findings []finding) error {
	if asJSON {
		return printJSON(out, struct {
			Schema   string    `json:"schema"`
			Findings []finding `json:"findings"`
		}{"securelink.doctor.1", findings})
	}
	signs := map[verdict]string{good: "✓", warning: "!", bad: "✗"}
	for _, f := range findings {
		if _, err := fmt.Fprintf(out, "%s %-18s %s\n", signs[f.Verdict], f.What, f.Seen); err != nil {
			return err
		}
		if f.Remedy != "" {
			if _, err := fmt.Fprintf(out, "  %-18s → %s\n", "", f.Remedy); err != nil {
				return err
			}
		}
	}
	return nil
}

func healthcheckCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:    "healthcheck",
		Short:  "Ask the server here whether it is ready (for containers)",
		Long:   "Ask the server on this machine, through its page, whether it is ready. Exit codes: 0 it is, 3 it is not.",
		Args:   cobra.NoArgs,
		Hidden: true,
	}
	s := addSettings(cmd, map[string]string{"listen": "web.listen", "plain": "web.plain", "domain": "web.domain"})
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, err := s.load()
		if err != nil {
			return err
		}
		if err := healthy(cmd.Context(), &cfg.Config); err != nil {
			return fail(exitNetwork, fmt.Errorf("not ready: %w", err), "")
		}
		return nil
	}
	return cmd
}
