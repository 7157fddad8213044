package gateway

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/acme"
	"golang.org/x/crypto/acme/autocert"
)

// tlsBase is TLS as every browser that can run the app speaks it.
func tlsBase() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS13, NextProtos: []string{"h2", "http/1.1"}}
}

// ACME gets certificates for the domains, and renews them, from the authority
// with that directory or else from Let's Encrypt; keys and certificates are kept
// in folder. It answers the tls-alpn-01 challenge on the TLS port itself, which
// must be reachable as port 443. (RFC 8555, RFC 8737)
//
// An authority that gives none is in the log: browsers say only that something
// is wrong.
func ACME(folder, email, directory string, log *slog.Logger, domains ...string) *tls.Config {
	if directory == "" {
		directory = autocert.DefaultACMEDirectory
	}
	m := &autocert.Manager{
		Client:     &acme.Client{DirectoryURL: directory},
		Prompt:     autocert.AcceptTOS,
		Cache:      autocert.DirCache(folder),
		HostPolicy: autocert.HostWhitelist(domains...),
		Email:      email,
	}
	c := tlsBase()
	c.GetCertificate = func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		cert, err := m.GetCertificate(hello)
		if err != nil && slices.Contains(domains, hello.ServerName) { // other names are strangers' mistakes
			log.Error("no certificate", "for", hello.ServerName, "from", directory, "err", err)
		}
		return cert, err
	}
	c.NextProtos = append(c.NextProtos, acme.ALPNProto)
	return c
}

// certCheck is how often certificate files are looked at, at most.
const certCheck = time.Second

// certFiles is a certificate that is read again when its files have changed.
type certFiles struct {
	cert, key string
	log       *slog.Logger

	mu      sync.Mutex
	checked time.Time
	stamp   [2]fileStamp
	current *tls.Certificate
}

type fileStamp struct {
	at   time.Time
	size int64
}

// CertificateFiles uses a certificate (with its chain) and key in PEM files. When
// they change, new connections get the new one; if that cannot be read, log
// hears of it and the old one stays.
func CertificateFiles(cert, key string, log *slog.Logger) (*tls.Config, error) {
	if log == nil {
		log = discard
	}
	f := &certFiles{cert: cert, key: key, log: log}
	if err := f.load(); err != nil {
		return nil, err
	}
	c := tlsBase()
	c.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return f.get(), nil }
	return c, nil
}

// get returns the certificate of now.
func (f *certFiles) get() *tls.Certificate {
	f.mu.Lock()
	defer f.mu.Unlock()
	if time.Since(f.checked) < certCheck {
		return f.current
	}
	f.checked = time.Now()
	if stamp, err := f.look(); err == nil && stamp == f.stamp {
		return f.current
	}
	if err := f.load(); err != nil {
		f.log.Error("the new certificate cannot be used; the old one stays", "err", err)
	} else {
		f.log.Info("certificate read again")
	}
	return f.current
}

// look returns what tells one state of the files from another.
func (f *certFiles) look() (stamp [2]fileStamp, err error) {
	for i, name := range []string{f.cert, f.key} {
		info, err := os.Stat(name)
		if err != nil {
			return stamp, err
		}
		stamp[i] = fileStamp{info.ModTime(), info.Size()}
	}
	return stamp, nil
}

// load reads the files. The caller holds mu, or is alone.
func (f *certFiles) load() error {
	stamp, err := f.look()
	if err != nil {
		return fmt.Errorf("gateway: certificate: %w", err)
	}
	pair, err := tls.LoadX509KeyPair(f.cert, f.key)
	if err != nil {
		return fmt.Errorf("gateway: certificate: %w", err)
	}
	f.current, f.stamp, f.checked = &pair, stamp, time.Now()
	return nil
}

// The names of a self-signed certificate's files.
const (
	selfCert = "web-cert.pem"
	selfKey  = "web-key.pem"
	selfLife = 397 * 24 * time.Hour // the longest that browsers take
	selfLeft = 30 * 24 * time.Hour
)

// SelfSigned uses the certificate in folder, and makes one for hosts (names and
// addresses) where there is none, or it ends soon, or one of hosts is not in it.
// fingerprint is the SHA-256 of it, as browsers show it.
func SelfSigned(folder string, hosts []string, now time.Time) (c *tls.Config, fingerprint string, err error) {
	certFile, keyFile := filepath.Join(folder, selfCert), filepath.Join(folder, selfKey)
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, "", fmt.Errorf("gateway: self-signed certificate: %w", err)
	}
	if err != nil || !covers(pair.Leaf, hosts, now) {
		if pair, err = makeSelfSigned(certFile, keyFile, hosts, now); err != nil {
			return nil, "", fmt.Errorf("gateway: self-signed certificate: %w", err)
		}
	}
	c = tlsBase()
	c.Certificates = []tls.Certificate{pair}
	return c, Fingerprint(pair.Certificate[0]), nil
}

func covers(leaf *x509.Certificate, hosts []string, now time.Time) bool {
	if leaf == nil || now.Add(selfLeft).After(leaf.NotAfter) {
		return false
	}
	return !slices.ContainsFunc(hosts, func(h string) bool { return leaf.VerifyHostname(h) != nil })
}

// makeSelfSigned makes a key and a certificate and writes both.
func makeSelfSigned(certFile, keyFile string, hosts []string, now time.Time) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return tls.Certificate{}, err
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "SecureLink on this network"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(selfLife),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
	}
	for _, h := range hosts {
		if ip := net.ParseIP(h); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, h)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return tls.Certificate{}, err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return tls.Certificate{}, err
	}
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	keyPEM := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
	if err := os.WriteFile(keyFile, keyPEM, 0o600); err != nil {
		return tls.Certificate{}, err
	}
	if err := os.WriteFile(certFile, certPEM, 0o644); err != nil {
		return tls.Certificate{}, err
	}
	return tls.X509KeyPair(certPEM, keyPEM)
}

// Fingerprint is the SHA-256 of a certificate's DER form in pairs of hex digits,
// as browsers show it.
func Fingerprint(der []byte) string {
	sum := sha256.Sum256(der)
	pairs := make([]string, len(sum))
	for i, b := range sum {
		pairs[i] = strings.ToUpper(hex.EncodeToString([]byte{b}))
	}
	return strings.Join(pairs, ":")
}
