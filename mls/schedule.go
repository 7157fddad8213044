package mls

// groupContext is GroupContext (section 8.1).
type groupContext struct {
	suite      Suite
	groupID    []byte
	epoch      uint64
	treeHash   []byte
	confirmed  []byte // confirmed_transcript_hash
	extensions extensionList
}

func (c *groupContext) encode() []byte {
	b := make([]byte, 0, 192+len(c.extensions))
	b = appendU16(appendU16(b, versionMLS10), uint16(c.suite))
	b = appendVec(b, c.groupID)
	b = appendU64(b, c.epoch)
	b = appendVec(b, c.treeHash)
	b = appendVec(b, c.confirmed)
	return appendVec(b, c.extensions)
}

func readGroupContext(r *reader) groupContext {
	if r.u16() != versionMLS10 {
		r.fail()
	}
	return groupContext{Suite(r.u16()), r.vec(), r.u64(), r.vec(), r.vec(), readExtensions(r)}
}

// epochSecrets are what section 8 derives from an epoch's secret. The
// encryption secret is not among them: it goes to the secret tree, which
// consumes it.
type epochSecrets struct {
	senderData    []byte
	exporter      []byte
	external      []byte
	confirmation  []byte
	membership    []byte
	resumption    []byte
	authenticator []byte
	init          []byte
}

func (s *epochSecrets) each(f func(*[]byte)) {
	for _, p := range []*[]byte{&s.senderData, &s.exporter, &s.external, &s.confirmation,
		&s.membership, &s.resumption, &s.authenticator, &s.init} {
		f(p)
	}
}

func (s *epochSecrets) wipe() { s.each(func(p *[]byte) { clear(*p) }) }

// derive is the lower half of the key schedule.
func (cs *suite) derive(epochSecret []byte) (*epochSecrets, []byte) {
	return &epochSecrets{
		senderData:    cs.deriveSecret(epochSecret, "sender data"),
		exporter:      cs.deriveSecret(epochSecret, "exporter"),
		external:      cs.deriveSecret(epochSecret, "external"),
		confirmation:  cs.deriveSecret(epochSecret, "confirm"),
		membership:    cs.deriveSecret(epochSecret, "membership"),
		resumption:    cs.deriveSecret(epochSecret, "resumption"),
		authenticator: cs.deriveSecret(epochSecret, "authentication"),
		init:          cs.deriveSecret(epochSecret, "init"),
	}, cs.deriveSecret(epochSecret, "encryption")
}

// joinerSecret is the upper half.
func (cs *suite) joinerSecret(initSecret, commitSecret, context []byte) []byte {
	return cs.expandWithLabel(cs.extract(initSecret, commitSecret), "joiner", context, cs.nh)
}

// schedule goes from the joiner secret and the PSKs to the welcome secret and
// the secret of the epoch.
func (cs *suite) schedule(joiner, psk, context []byte) (welcome, epoch []byte) {
	member := cs.extract(joiner, psk)
	return cs.deriveSecret(member, "welcome"), cs.expandWithLabel(member, "epoch", context, cs.nh)
}

func (cs *suite) welcomeKey(welcomeSecret []byte) (key, nonce []byte) {
	return cs.expandWithLabel(welcomeSecret, "key", nil, cs.nk), cs.expandWithLabel(welcomeSecret, "nonce", nil, nn)
}

func (cs *suite) export(exporter []byte, label string, context []byte, n int) []byte {
	return cs.expandWithLabel(cs.deriveSecret(exporter, label), "exported", cs.digest(context), n)
}

// confirmedHash is the confirmed transcript hash after a commit (section 8.2).
func (cs *suite) confirmedHash(interim []byte, a *authenticatedContent) []byte {
	b := a.content.append(appendU16(bytesClone(interim), uint16(a.wire)))
	return cs.digest(appendVec(b, a.signature))
}

func (cs *suite) interimHash(confirmed, tag []byte) []byte {
	return cs.digest(appendVec(bytesClone(confirmed), tag))
}
