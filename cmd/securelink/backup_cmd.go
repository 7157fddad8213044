package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"
)

func backupCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "backup",
		Short: "Make and check backups of a server",
		Long: `Make and check backups of a server, while it runs. A backup holds the database
and the keys: whoever has it can be the server (and read no message).

  securelink backup create /var/backups/securelink
  securelink backup create - | ssh elsewhere 'cat > securelink.tar'
  securelink backup verify /var/backups/securelink/securelink-20260102-030405
  securelink restore /var/backups/securelink/securelink-20260102-030405 --data FOLDER`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(backupCreateCommand(), backupVerifyCommand())
	return cmd
}

func backupCreateCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "create [FOLDER|-]",
		Short: "Make a backup, as a new folder inside FOLDER, or as a tar archive",
		Args:  cobra.MaximumNArgs(1),
	}
	s := addSettings(cmd, map[string]string{"data": "server.data"})
	asJSON := cmd.Flags().Bool("json", false, "print JSON")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		cfg, data, err := s.loadFolder()
		if err != nil {
			return err
		}
		into := cfg.Backup.Folder
		if len(args) == 1 {
			into = args[0]
		}
		if into == "" {
			return fail(exitUsage, errors.New("where should it go?"), "Name a folder, or set backup.folder, or - for a tar archive")
		}
		if into == "-" {
			return streamBackup(cmd, data)
		}
		path, m, err := createBackup(cmd.Context(), data, into, time.Now())
		if err != nil {
			return backupFailure(err)
		}
		return printBackup(cmd.OutOrStdout(), *asJSON, "Backed up", path, m)
	}
	return cmd
}

// streamBackup makes the backup beside the data, which has room for it, and
// removes it when it was written out.
func streamBackup(cmd *cobra.Command, data string) (err error) {
	work, err := os.MkdirTemp(data, ".backup-")
	if err != nil {
		return backupFailure(err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	path, _, err := createBackup(cmd.Context(), data, work, time.Now())
	if err != nil {
		return backupFailure(err)
	}
	if err := tarFolder(cmd.OutOrStdout(), path); err != nil {
		return backupFailure(err)
	}
	return nil
}

func backupVerifyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "verify BACKUP",
		Short: "Read a whole backup: files, database, and the chain of every room",
		Args:  cobra.ExactArgs(1),
	}
	asJSON := cmd.Flags().Bool("json", false, "print JSON")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		m, err := verifyBackup(cmd.Context(), args[0])
		if err != nil {
			return backupFailure(err)
		}
		return printBackup(cmd.OutOrStdout(), *asJSON, "Good", args[0], m)
	}
	return cmd
}

func restoreCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "restore BACKUP --data FOLDER",
		Short: "Make a server's data folder from a backup",
		Long: `Make a server's data folder from a backup, into a folder that is empty. The server
has the same fingerprint as before. What was written after the backup is gone on
the server: it signs that it was restored, so that clients know why a log ends
earlier than they saw it.

  securelink restore /var/backups/securelink/securelink-20260102-030405 --data /srv/securelink`,
		Args: cobra.ExactArgs(1),
	}
	s := addSettings(cmd, map[string]string{"data": "server.data"})
	asJSON := cmd.Flags().Bool("json", false, "print JSON")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		_, data, err := s.loadFolder()
		if err != nil {
			return err
		}
		m, err := restoreBackup(cmd.Context(), args[0], data)
		if err != nil {
			return backupFailure(err)
		}
		return printBackup(cmd.OutOrStdout(), *asJSON, "Restored", data, m)
	}
	return cmd
}

// backupFailure gives an error that has no exit code one.
func backupFailure(err error) error {
	var failed *failure
	if errors.As(err, &failed) {
		return err
	}
	return fail(exitInternal, err, "")
}

func printBackup(out io.Writer, asJSON bool, what, path string, m manifest) error {
	if asJSON {
		return printJSON(out, struct {
			Schema string   `json:"schema"`
			Path   string   `json:"path"`
			Backup manifest `json:"backup"`
		}{"securelink.backup.1", path, m})
	}
	_, err := fmt.Fprintf(out, "%s: %s\n  made %s, %d users, %d devices, %d rooms, %d entries\n", what, path,
		m.Made.Format(time.RFC3339), m.Store.Users, m.Store.Devices, m.Store.Rooms, m.Store.Entries)
	return err
}
