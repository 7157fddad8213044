package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/securelink-chat/securelink/core"
	"github.com/securelink-chat/securelink/store/sqlite"
)

// upgradeFolder is where the backup before an upgrade goes if no folder is
// configured, in the data folder.
const upgradeFolder = "before-upgrade"

// backupsOf is where backups of a data folder are made and looked for.
func backupsOf(data, configured string) string {
	if configured != "" {
		return configured
	}
	return filepath.Join(data, upgradeFolder)
}

// backupBeforeUpgrade makes a backup of a database that is about to get a newer
// schema, since the program of before cannot read it afterwards. Without the
// backup there is no upgrade. A database that is newer than this program is
// refused, with the way back.
func backupBeforeUpgrade(ctx context.Context, cfg coreConfig, log *slog.Logger) error {
	has, newest, err := sqlite.Schema(ctx, filepath.Join(cfg.Data, coreFile))
	if err != nil {
		return fail(exitInternal, err, "Is it a database of SecureLink? securelink doctor looks at it more closely")
	}
	into := backupsOf(cfg.Data, cfg.Backups)
	switch {
	case has > newest:
		hint := "Run the newer version, which has used this folder"
		if path, ok := backupOfSchema(into, newest); ok {
			hint += fmt.Sprintf("; or go back to what was before it, and lose what came since: securelink restore %s --data NEWFOLDER", path)
		} else {
			hint += "; or restore a backup of the time before it: securelink restore BACKUP --data NEWFOLDER"
		}
		return fail(exitInternal, fmt.Errorf("%w: schema %d, this program knows %d", core.ErrNewerSchema, has, newest), hint)
	case has == 0 || has == newest:
		return nil
	}
	path, m, err := createBackup(ctx, cfg.Data, into, time.Now())
	if err != nil {
		return fail(exitInternal, errors.Join(fmt.Errorf("no upgrade without a backup before it, and that cannot be made in %s", into), err),
			"Make room there, or name another folder by backup.folder")
	}
	log.Warn("a newer schema: a backup was made before the upgrade", "backup", path, "schema", has, "becomes", newest, "entries", m.Store.Entries)
	return nil
}

// backupOfSchema finds the newest backup that a program can read which knows
// schemas up to newest. It trusts the manifest: a restore checks it.
func backupOfSchema(folder string, newest int) (string, bool) {
	for path := range backups(folder) {
		if m, err := readManifest(path); err == nil && m.Store.Schema <= newest {
			return path, true
		}
	}
	return "", false
}
