package mls

import (
	"bytes"
	"fmt"
)

// encryptedSecrets is EncryptedGroupSecrets (section 12.4.3.1).
type encryptedSecrets struct {
	ref    []byte
	secret ciphertext
}

func (e encryptedSecrets) append(b []byte) []byte { return e.secret.append(appendVec(b, e.ref)) }

// welcomeMessage writes an MLSMessage with a Welcome.
func welcomeMessage(s Suite, secrets []encryptedSecrets, info []byte) []byte {
	b := appendU16(messageHeader(wireWelcome, len(info)+1400*len(secrets)+16), uint16(s))
	b = appendVecOf(b, func(b []byte) []byte {
		for _, e := range secrets {
			b = e.append(b)
		}
		return b
	})
	return appendVec(b, info)
}

// groupSecrets is GroupSecrets.
type groupSecrets struct {
	joiner     []byte
	pathSecret []byte // nil if there is none
	psks       []PSKID
}

func (s *groupSecrets) append(b []byte) []byte {
	b = appendVec(b, s.joiner)
	b = appendOptional(b, s.pathSecret != nil)
	if s.pathSecret != nil {
		b = appendVec(b, s.pathSecret)
	}
	return appendVecOf(b, func(b []byte) []byte {
		for _, id := range s.psks {
			b = id.append(b)
		}
		return b
	})
}

func readGroupSecrets(r *reader) *groupSecrets {
	s := &groupSecrets{joiner: r.vec()}
	if r.optional() {
		s.pathSecret = r.vec()
	}
	list := r.sub()
	for list.more() {
		s.psks = append(s.psks, readPSKID(list))
	}
	r.close(list)
	return s
}

const welcomeLabel = "Welcome"

// makeWelcome encrypts the new epoch's secrets to all who join by a commit.
func (p *Pending) makeWelcome(d *draft, n *next) error {
	t, cs := d.t, n.group.cs
	defer clear(n.joiner)
	defer clear(n.welcome)
	if len(t.added) == 0 {
		return nil
	}
	o := GroupInfoOptions{Tree: d.options.TreeInWelcome}
	if d.options.WelcomeExtensions != nil {
		var err error
		if o.Extensions, err = d.options.WelcomeExtensions(n.group); err != nil {
			return fmt.Errorf("welcome extensions: %w", err)
		}
	}
	info, err := n.group.groupInfo(o)
	if err != nil {
		return err
	}
	key, nonce := cs.welcomeKey(n.welcome)
	aead, err := cs.newAEAD(key)
	if err != nil {
		return fmt.Errorf("welcome: %w", err)
	}
	info = aead.Seal(nil, nonce, info, nil)
	secrets := make([]encryptedSecrets, len(t.added))
	err = parallel(len(secrets), func(k int) error {
		s := &groupSecrets{joiner: n.joiner, psks: t.psks}
		if d.path != nil {
			s.pathSecret = d.path.secretFor(t.added[k])
		}
		to, err := cs.publicKey(t.packages[k].initKey)
		if err != nil {
			return err
		}
		secrets[k].ref = t.packages[k].Ref()
		secrets[k].secret, err = cs.seal(to, welcomeLabel, info, s.append(nil))
		return err
	})
	if err != nil {
		return err
	}
	p.welcome = welcomeMessage(cs.id, secrets, info)
	for k, s := range secrets {
		p.pieces = append(p.pieces, WelcomePiece{s.ref, t.packages[k], welcomeMessage(cs.id, []encryptedSecrets{s}, info)})
	}
	return nil
}

// JoinOptions say what else a joiner has.
type JoinOptions struct {
	// From is the group that this one follows, for a re-initialised group: its
	// resumption key is found there.
	From *Group
}

// OpenedWelcome is a Welcome whose secrets were decrypted. The GroupInfo in it
// is unverified until [OpenedWelcome.Join] succeeds.
type OpenedWelcome struct {
	*GroupInfo
	cfg     Config
	options JoinOptions
	key     *PrivateKeyPackage
	secrets *groupSecrets
	epoch   []byte // epoch_secret
}

// String keeps the secrets out of logs.
func (w *OpenedWelcome) String() string { return "[redacted]" }

// GoString keeps the secrets out of logs.
func (w *OpenedWelcome) GoString() string { return "[redacted]" }

// KeyPackage is the one that the Welcome was made for.
func (w *OpenedWelcome) KeyPackage() *PrivateKeyPackage { return w.key }

// PSKs lists the pre-shared keys that the epoch was made with.
func (w *OpenedWelcome) PSKs() []PSKID { return w.secrets.psks }

// JoinInfo tells about a group that was joined.
type JoinInfo struct {
	Signer     LeafIndex
	SignerLeaf *Leaf
	// Extensions are the GroupInfo's.
	Extensions []Extension
	PSKs       []PSKID
}

// OpenWelcome decrypts a Welcome with whichever of the keys it is for.
func OpenWelcome(cfg Config, welcome []byte, keys []*PrivateKeyPackage, o JoinOptions) (*OpenedWelcome, error) {
	w, err := openWelcome(cfg, welcome, keys, o)
	if err != nil {
		return nil, fmt.Errorf("open welcome: %w", err)
	}
	return w, nil
}

func openWelcome(cfg Config, welcome []byte, keys []*PrivateKeyPackage, o JoinOptions) (*OpenedWelcome, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	r := &reader{b: bytesClone(welcome)}
	if err := readHeader(r, wireWelcome); err != nil {
		return nil, err
	}
	w := &OpenedWelcome{cfg: cfg, options: o}
	s := Suite(r.u16())
	mine, err := findSecrets(r, s, keys, w)
	if err != nil {
		return nil, err
	}
	sealed := r.vec()
	if err := r.end("welcome"); err != nil {
		return nil, err
	}
	cs, err := lookup(s)
	if err != nil {
		return nil, err
	}
	if w.key == nil {
		return nil, ErrNoKeyPackage
	}
	initKey, err := cs.privateKey(w.key.initKey)
	if err != nil {
		return nil, err
	}
	plain, err := cs.open(initKey, welcomeLabel, sealed, mine)
	if err != nil {
		return nil, fmt.Errorf("group secrets: %w", err)
	}
	sr := &reader{b: plain}
	w.secrets = readGroupSecrets(sr)
	if err := sr.end("group secrets"); err != nil {
		return nil, err
	}
	return w, w.openInfo(cs, sealed)
}

// findSecrets looks for the entry of one of the keys, and remembers the key.
func findSecrets(r *reader, s Suite, keys []*PrivateKeyPackage, w *OpenedWelcome) (ciphertext, error) {
	refs := map[string]*PrivateKeyPackage{}
	for _, k := range keys {
		if k.KeyPackage.suite == s {
			refs[string(k.KeyPackage.Ref())] = k
		}
	}
	var mine ciphertext
	list := r.sub()
	for list.more() {
		ref, c := list.vec(), readCiphertext(list)
		if k := refs[string(ref)]; k != nil && w.key == nil {
			w.key, mine = k, c
		}
	}
	r.close(list)
	return mine, nil
}

// openInfo runs the key schedule up to the GroupInfo, which also gives the
// GroupContext that the rest of it needs.
func (w *OpenedWelcome) openInfo(cs *suite, sealed []byte) error {
	for i, id := range w.secrets.psks {
		if len(id.Nonce) != cs.nh {
			return fmt.Errorf("nonce of psk %d: %w", i, ErrPSK)
		}
	}
	keys, err := w.cfg.pskKeys(w.secrets.psks, w.options.From)
	if err != nil {
		return err
	}
	psk := cs.pskSecret(w.secrets.psks, keys)
	member := cs.extract(w.secrets.joiner, psk)
	key, nonce := cs.welcomeKey(cs.deriveSecret(member, "welcome"))
	aead, err := cs.newAEAD(key)
	if err != nil {
		return fmt.Errorf("group info: %w", err)
	}
	plain, err := aead.Open(nil, nonce, sealed, nil)
	if err != nil {
		return fmt.Errorf("group info: %w", ErrDecrypt)
	}
	if w.GroupInfo, err = readGroupInfo(&reader{b: plain}); err != nil {
		return err
	}
	if w.GroupInfo.cs != cs {
		return fmt.Errorf("welcome and group info differ: %w", ErrSuiteMismatch)
	}
	w.epoch = cs.expandWithLabel(member, "epoch", w.contextRaw, cs.nh)
	return w.checkResumption()
}

// checkResumption is section 11.2 and 12.4.3.1: at most one reinit or branch
// key, in the first epoch, from the group that is followed.
func (w *OpenedWelcome) checkResumption() error {
	found := 0
	for _, id := range w.secrets.psks {
		if id.Type != PSKResumption || id.Usage == UsageApplication {
			continue
		}
		if found++; found > 1 || w.context.epoch != 1 || id.Usage == UsageBranch {
			return fmt.Errorf("resumption key of usage %d: %w", id.Usage, ErrPSK)
		}
		if err := w.options.From.checkSuccessor(&w.context); err != nil {
			return err
		}
	}
	return nil
}

// checkSuccessor compares a new group with the ReInit that ended this one.
func (g *Group) checkSuccessor(context *groupContext) error {
	p := g.reInit
	if p == nil || g.status != Suspended {
		return fmt.Errorf("the old group was not ended: %w", ErrReInit)
	}
	if !bytes.Equal(p.GroupID, context.groupID) || p.Suite != context.suite ||
		!bytes.Equal(rawExtensions(p.Extensions), context.extensions) {
		return fmt.Errorf("not the group that was announced: %w", ErrReInit)
	}
	return nil
}

// Join enters the group. tree is the ratchet tree, nil if it is inside the
// Welcome. It can be called again after an error, but not after success.
func (w *OpenedWelcome) Join(tree []byte) (*Group, *JoinInfo, error) {
	g, err := w.join(tree)
	if err != nil {
		return nil, nil, fmt.Errorf("join: %w", err)
	}
	clear(w.epoch)
	clear(w.secrets.joiner)
	clear(w.secrets.pathSecret)
	return g, &JoinInfo{w.signer, g.tree.leaf(w.signer), w.extensions.all(), w.secrets.psks}, nil
}

// Join opens a Welcome and enters the group in one step.
func Join(cfg Config, welcome []byte, keys []*PrivateKeyPackage, tree []byte, o JoinOptions) (*Group, *JoinInfo, error) {
	w, err := OpenWelcome(cfg, welcome, keys, o)
	if err != nil {
		return nil, nil, err
	}
	return w.Join(tree)
}

func (w *OpenedWelcome) join(beside []byte) (*Group, error) {
	t, err := w.ratchetTree(beside)
	if err != nil {
		return nil, err
	}
	if err := w.verify(w.cfg, t); err != nil {
		return nil, err
	}
	own := -1
	for i, l := range t.leaves {
		if l != nil && bytes.Equal(l.raw, w.key.KeyPackage.leaf.raw) {
			own = i
		}
	}
	if own < 0 {
		return nil, fmt.Errorf("own leaf is not in the tree: %w", ErrWelcome)
	}
	if LeafIndex(own) == w.signer {
		return nil, fmt.Errorf("signed by the joiner: %w", ErrWelcome)
	}
	cs := w.cs
	g := &Group{cfg: w.cfg, cs: cs, context: w.context, contextRaw: bytesClone(w.contextRaw), tree: t, own: LeafIndex(own),
		keys: privateKeys{LeafIndex(own).node(): bytesClone(w.key.encryptionKey)}, signer: w.key.signer,
		tag: w.tag}
	if w.secrets.pathSecret != nil {
		if err := g.takePath(w.signer, w.secrets.pathSecret); err != nil {
			return nil, err
		}
	}
	g.start(bytesClone(w.epoch))
	if !equalSecret(g.tag, cs.mac(g.secrets.confirmation, g.context.confirmed)) {
		return nil, ErrConfirmationTag
	}
	g.interim = cs.interimHash(g.context.confirmed, g.tag)
	return g, nil
}

// takePath derives a joiner's keys from the path secret in its Welcome: those
// from the lowest node above both it and the signer.
func (g *Group) takePath(signer LeafIndex, secret []byte) error {
	steps := g.tree.filteredPath(signer)
	for k, s := range steps {
		if g.own.node().under(s.copath) {
			opened, err := g.tree.climb(steps[k:], secret)
			if err != nil {
				return err
			}
			for x, key := range opened.keys {
				g.keys[x] = key
			}
			return nil
		}
	}
	return fmt.Errorf("path secret: %w", ErrWelcome)
}
