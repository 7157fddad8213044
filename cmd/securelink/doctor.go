package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/securelink-chat/securelink/config"
	"github.com/securelink-chat/securelink/core"
	"github.com/securelink-chat/securelink/internal/profile"
	"github.com/securelink-chat/securelink/store/sqlite"
)

// verdict is how a finding is to be taken.
type verdict string

const (
	good    verdict = "ok"
	warning verdict = "warning"
	bad     verdict = "bad"
)

// finding is one line of the doctor: what was looked at, what was seen, and,
// unless it is good, what to do.
type finding struct {
	What    string  `json:"what"`
	Verdict verdict `json:"verdict"`
	Seen    string  `json:"seen"`
	Remedy  string  `json:"remedy,omitempty"`
}

// Marks of the doctor.
const (
	diskWarn  = 1 << 30 // bytes
	diskBad   = 128 << 20
	fsyncWarn = 50 * time.Millisecond
	fsyncs    = 15
	filesWarn = 4096
	certWarn  = 14 * 24 * time.Hour
)

// examine looks at everything that a server on this machine needs. It changes
// nothing but a file of its own that it removes again.
func examine(ctx context.Context, cfg *config.Config, folder string) []finding {
	findings := []finding{
		{What: "configuration", Verdict: good, Seen: "it is good"},
		examineClock(time.Now()),
		examineFiles(),
	}
	if _, err := os.Stat(folder); errors.Is(err, fs.ErrNotExist) {
		findings = append(findings, finding{"data folder", warning, folder + " is not there yet", "The first start makes it: securelink serve"})
		return append(findings, examinePorts(cfg, false)...)
	}
	running := serverRuns(folder)
	findings = append(findings, examineFolder(folder), examineDisk(folder), examineFsync(folder), examineDatabase(ctx, folder))
	findings = append(findings, examinePorts(cfg, running)...)
	findings = append(findings, examineServer(ctx, cfg, folder, running), examineBackup(cfg, time.Now()))
	if cfg.Web.Cert != "" || cfg.Web.Domain != "" {
		findings = append(findings, examineCertificate(cfg, running, time.Now()))
	}
	return findings
}

// examineClock compares the clock with the newest thing that is known to be
// past: the build. Certificates and limits need a clock that is right.
func examineClock(now time.Time) finding {
	f := finding{What: "clock", Verdict: good, Seen: now.UTC().Format(time.RFC3339)}
	info, _ := debug.ReadBuildInfo()
	if info == nil {
		return f
	}
	for _, s := range info.Settings {
		if built, err := time.Parse(time.RFC3339, s.Value); s.Key == "vcs.time" && err == nil && now.Before(built) {
			f.Verdict, f.Remedy = bad, "It is before this program was built. Set the clock, and keep it: timedatectl set-ntp true"
		}
	}
	return f
}

func examineFiles() finding {
	n, err := fileLimit()
	f := finding{What: "open files", Verdict: good, Seen: fmt.Sprintf("%d allowed", n)}
	switch {
	case err != nil:
		f.Verdict, f.Seen = good, "no limit is known on this system"
	case n < filesWarn:
		f.Verdict, f.Remedy = warning, "Every client is one: raise it with ulimit -n 65536, or LimitNOFILE= in the unit"
	}
	return f
}

// examineFolder checks that nobody else can read what the server keeps.
func examineFolder(folder string) finding {
	f := finding{What: "data folder", Verdict: good, Seen: folder}
	if os.PathSeparator != '/' {
		return f
	}
	for _, name := range []string{"", rootFile, onlineFile, secretFile, coreFile} {
		info, err := os.Stat(filepath.Join(folder, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return finding{f.What, bad, err.Error(), "Run the doctor as the server's user, or mend who owns the folder: chown -R securelink " + folder}
		}
		if info.Mode().Perm()&0o077 != 0 {
			return finding{f.What, bad, fmt.Sprintf("others can read %s", filepath.Join(folder, name)), "chmod -R go= " + folder}
		}
	}
	return f
}

func examineDisk(folder string) finding {
	free, err := diskFree(folder)
	f := finding{What: "disk", Verdict: good, Seen: fmt.Sprintf("%d MiB free", free>>20)}
	switch {
	case err != nil:
		f.Seen = "its free space cannot be asked for on this system"
	case free < diskBad:
		f.Verdict, f.Remedy = bad, "The server stops to take messages when it is full: make room, or move the data folder"
	case free < diskWarn:
		f.Verdict, f.Remedy = warning, "Make room, or move the data folder, before it is full"
	}
	return f
}

// examineFsync measures what every message waits for.
func examineFsync(folder string) finding {
	f := finding{What: "fsync", Verdict: good}
	took, err := fsyncTime(folder)
	if err != nil {
		return finding{f.What, bad, err.Error(), "The server must be able to write there: mend the folder's owner, or the file system"}
	}
	f.Seen = fmt.Sprintf("%.1f ms for a write that lasts", float64(took.Microseconds())/1000)
	if took > fsyncWarn {
		f.Verdict, f.Remedy = warning, "Every message waits for it: put the data folder on a faster disk, and not on a network file system"
	}
	return f
}

// fsyncTime is the median of a few small durable writes.
func fsyncTime(folder string) (_ time.Duration, err error) {
	file, err := os.CreateTemp(folder, ".doctor-")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, file.Close(), os.Remove(file.Name())) }()
	block := make([]byte, 4096)
	var took []time.Duration
	for range fsyncs {
		begun := time.Now()
		if _, err := file.Write(block); err != nil {
			return 0, err
		}
		if err := file.Sync(); err != nil {
			return 0, err
		}
		took = append(took, time.Since(begun))
	}
	slices.Sort(took)
	return took[len(took)/2], nil
}

func examineDatabase(ctx context.Context, folder string) finding {
	path := filepath.Join(folder, coreFile)
	f := finding{What: "database", Verdict: good}
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return finding{f.What, warning, "there is none yet", "The first start makes it: securelink serve"}
	}
	report, err := sqlite.Verify(ctx, path)
	if errors.Is(err, core.ErrNewerSchema) {
		return finding{f.What, bad, err.Error(), "Run the newer version that has used it, or restore the backup of before its upgrade"}
	}
	if err != nil {
		return finding{f.What, bad, err.Error(), "Keep a copy of the folder, and restore the last good backup: securelink restore BACKUP --data NEW-FOLDER"}
	}
	f.Seen = fmt.Sprintf("sound: schema %d, %d users, %d rooms, %d entries, every chain checked", report.Schema, report.Users, report.Rooms, report.Entries)
	if _, newest, err := sqlite.Schema(ctx, path); err == nil && report.Schema < newest {
		f.Seen += fmt.Sprintf("; the next start makes a backup and brings it to schema %d", newest)
	}
	return f
}

// examinePorts says whether the listeners are the server's, or free for it.
func examinePorts(cfg *config.Config, running bool) []finding {
	var out []finding
	for _, p := range []struct{ name, listen string }{
		{"port for terminals", cfg.Core.Listen}, {"port for gateways", cfg.Core.GatewayListen}, {"port of the page", cfg.Web.Listen}, {"port for metrics", cfg.Metrics.Listen},
	} {
		if p.listen == "" {
			continue
		}
		out = append(out, examinePort(p.name, p.listen, running))
	}
	return out
}

func examinePort(name, address string, running bool) finding {
	l, err := net.Listen("tcp", address)
	if err == nil {
		err = l.Close()
	}
	switch {
	case err == nil && running:
		return finding{name, warning, address + " is free, though a server runs", "It runs with another configuration: compare securelink admin status show"}
	case err == nil:
		return finding{What: name, Verdict: good, Seen: address + " is free"}
	case errors.Is(err, errAddrInUse) && running:
		return finding{What: name, Verdict: good, Seen: address + " is in use, by a server as it seems"}
	case errors.Is(err, errAddrInUse):
		return finding{name, bad, "another program has " + address, "Stop that one, or choose another port: securelink config default shows how"}
	}
	return finding{name, bad, err.Error(), listenHint(err)}
}

// serverRuns says whether a process has the data folder.
func serverRuns(folder string) bool {
	lock, err := profile.OpenData(folder)
	if err == nil {
		lock.Close()
	}
	return errors.Is(err, profile.ErrBusy)
}

func examineServer(ctx context.Context, cfg *config.Config, folder string, running bool) finding {
	f := finding{What: "server", Verdict: good}
	if !running {
		return finding{f.What, warning, "none runs on this folder", "securelink serve, or: systemctl start securelink"}
	}
	answer, err := askAdmin(ctx, folder, adminRequest{Act: "status show"})
	if err != nil {
		return finding{f.What, bad, err.Error(), "It runs and does not answer: look at its log, as journalctl -u securelink"}
	}
	row := answer.Rows[0]
	f.Seen = fmt.Sprintf("version %s, %s clients", row[0], row[slices.Index(answer.Columns, "connections")])
	if row[1] != "yes" {
		return finding{f.What, bad, "not ready: " + row[1], "It cannot write: look at disk and database above"}
	}
	if row[0] != version() {
		return finding{f.What, warning, f.Seen + ", and this program is " + version(), "Restart it to run this version"}
	}
	return f
}

func examineBackup(cfg *config.Config, now time.Time) finding {
	f := finding{What: "backup", Verdict: good}
	if cfg.Backup.Folder == "" {
		return finding{f.What, warning, "no folder for backups is configured", "Set backup.folder, and run securelink backup create once a day"}
	}
	path, made, ok := lastBackup(cfg.Backup.Folder)
	if !ok {
		return finding{f.What, bad, "there is none in " + cfg.Backup.Folder, "securelink backup create"}
	}
	age := now.Sub(made)
	f.Seen = fmt.Sprintf("%s, %d hours old", path, int(age.Hours()))
	if age > time.Duration(cfg.Backup.MaxAge)*time.Hour {
		f.Verdict, f.Remedy = warning, "Something has stopped to make them: securelink backup create, and look at the timer"
	}
	return f
}

// examineCertificate looks at the one that is served, or else at the file.
func examineCertificate(cfg *config.Config, running bool, now time.Time) finding {
	f := finding{What: "certificate", Verdict: good}
	pair, err := tls.Certificate{}, errors.New("it is got when the server runs")
	if cfg.Web.Cert != "" {
		pair, err = tls.LoadX509KeyPair(cfg.Web.Cert, cfg.Web.Key)
	} else if running {
		var conn *tls.Conn
		conn, err = tls.DialWithDialer(&net.Dialer{Timeout: 5 * time.Second}, "tcp", cfg.Web.Listen, &tls.Config{ServerName: cfg.Web.Domain})
		if err == nil {
			pair.Leaf = conn.ConnectionState().PeerCertificates[0]
			err = conn.Close()
		}
	}
	if err != nil {
		return finding{f.What, bad, err.Error(), "web.cert and web.key must be PEM files that belong together; web.domain must lead to port 443 here"}
	}
	left := pair.Leaf.NotAfter.Sub(now)
	f.Seen = fmt.Sprintf("for %s, %d days left", strings.Join(pair.Leaf.DNSNames, ", "), int(left.Hours()/24))
	if left < certWarn {
		f.Verdict, f.Remedy = warning, "Renew it; files are read again by themselves when they change"
		if left < 0 {
			f.Verdict = bad
		}
	}
	return f
}

// healthy asks a gateway on this machine whether it is ready.
func healthy(ctx context.Context, cfg *config.Config) error {
	host, port, err := net.SplitHostPort(cfg.Web.Listen)
	if err != nil {
		return err
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	scheme := "http"
	if !config.Local(cfg.Web.Listen) && !cfg.Web.Plain {
		scheme = "https"
	}
	// Whether the certificate is good is not what is asked here: it is this
	// machine's own server, and may be known by another name.
	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true, ServerName: cfg.Web.Domain}}}
	defer client.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, scheme+"://"+net.JoinHostPort(host, port)+"/readyz", nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("it answers %s", resp.Status)
	}
	return nil
}
