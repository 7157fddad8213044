package main

import (
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/securelink-chat/securelink/config"
)

func configCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Show and check the server's configuration",
		Long: `Show and check the server's configuration. Flags come before SECURELINK_*
variables, those before the file, that before the defaults.

  securelink config default > securelink.toml
  securelink config check --config securelink.toml
  securelink config show --sources`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(configDefaultCommand(), configCheckCommand(), configShowCommand())
	return cmd
}

func configDefaultCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "default",
		Short: "Print a file with every option, its default and what it is for",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return config.Annotated(cmd.OutOrStdout(), configLimits())
		},
	}
}

func configCheckCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Say whether the server would start with this configuration",
		Args:  cobra.NoArgs,
	}
	s := addSettings(cmd, nil)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, err := s.load()
		if err != nil {
			return err
		}
		if _, err := limitsOf(&cfg.Config); err != nil {
			return fail(exitUsage, err, "")
		}
		fmt.Fprintln(cmd.OutOrStdout(), "The configuration is good.")
		return nil
	}
	return cmd
}

func configShowCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "show",
		Short: "Print what is in force; secrets are not shown",
		Args:  cobra.NoArgs,
	}
	s := addSettings(cmd, nil)
	sources := cmd.Flags().Bool("sources", false, "say where each value comes from, and which of them SIGHUP changes in a running server")
	asJSON := cmd.Flags().Bool("json", false, "as JSON, with the sources")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		cfg, err := s.load()
		if err != nil {
			return err
		}
		if *asJSON {
			return printJSON(cmd.OutOrStdout(), cfg.Settings())
		}
		w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 8, 2, ' ', 0)
		section := ""
		var errs []error
		for _, setting := range cfg.Settings() {
			head, key, _ := strings.Cut(setting.Name, ".")
			if head != section {
				section = head
				fmt.Fprintf(w, "[%s]\n", section)
			}
			line := key + " = " + setting.Value
			if *sources {
				line += "\t# " + setting.From
				if setting.Reload {
					line += " (reload)"
				}
			}
			_, err := fmt.Fprintln(w, line)
			errs = append(errs, err)
		}
		return errors.Join(append(errs, w.Flush())...)
	}
	return cmd
}
