package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"

	"github.com/securelink-chat/securelink/mls"
)

// peer owns all clients of one process.
type peer struct {
	handles int
	clients map[string]*client
	groups  map[string]*group
}

// client is a KeyPackage with its private parts.
type client struct {
	suite   mls.Suite
	signer  *mls.SigningKey
	private *mls.PrivateKeyPackage
}

// group is one client in one group.
type group struct {
	handle  string
	state   *mls.Group
	pending *mls.Pending
	config  mls.Config
	psks    map[string][]byte
}

func newPeer() *peer {
	return &peer{clients: map[string]*client{}, groups: map[string]*group{}}
}

func (p *peer) next(prefix string) string {
	p.handles++
	return prefix + strconv.Itoa(p.handles)
}

func (p *peer) group(req *request) (*group, error) {
	g, ok := p.groups[req.Group]
	if !ok {
		return nil, fmt.Errorf("%w: %q", errNoGroup, req.Group)
	}
	return g, nil
}

// newGroup makes the frame that a group's state is put in: its settings and
// the external keys that it knows.
func (p *peer) newGroup(req *request) *group {
	g := &group{handle: p.next("g"), psks: map[string][]byte{}}
	for _, k := range req.PSKs {
		g.psks[string(k.ID)] = k.PSK
	}
	g.config = mls.Config{
		Credential: mls.AnyCredential,
		PSK:        func(id []byte) []byte { return g.psks[string(id)] },
		KeepEpochs: req.KeepEpochs,
		Padding:    req.PadTo,
	}
	return g
}

// keep stores the group under its handle and reports its state.
func (p *peer) keep(g *group, state *mls.Group) map[string]any {
	g.state = state
	p.groups[g.handle] = g
	return g.describe()
}

// describe is the part of an answer that every change of a group carries.
func (g *group) describe() map[string]any {
	status := map[mls.Status]string{mls.Active: "active", mls.Removed: "removedFromGroup", mls.Suspended: "suspendedPendingReinit"}
	answer := map[string]any{
		"group": g.handle, "suite": g.state.Suite(), "groupId": g.state.GroupID(), "epoch": g.state.Epoch(),
		"leafIndex": g.state.OwnIndex(), "active": status[g.state.Status()],
	}
	if g.state.Status() != mls.Removed {
		answer["epochAuthenticator"] = g.state.EpochAuthenticator()
		answer["treeHash"] = g.state.TreeHash()
		answer["confirmedTranscriptHash"] = g.state.ConfirmedTranscriptHash()
	}
	return answer
}

func (r *request) identity() []byte {
	if r.Identity64 != nil {
		return r.Identity64
	}
	return []byte(r.Identity)
}

// newClient makes a KeyPackage as the request describes it.
func (p *peer) newClient(req *request) (string, *client, error) {
	suite := req.Suite
	if suite == 0 {
		suite = mls.DefaultSuite
	}
	signer, err := mls.NewSigningKey(suite)
	if err != nil {
		return "", nil, err
	}
	options := mls.KeyPackageOptions{
		Suite: suite, Signer: signer, Credential: mls.BasicCredential(req.identity()),
		Capabilities: req.capabilitiesOrDefault(), LastResort: req.LastResort,
	}
	if len(req.Lifetime) == 2 {
		options.Lifetime = &mls.Lifetime{NotBefore: req.Lifetime[0], NotAfter: req.Lifetime[1]}
	}
	private, err := mls.NewKeyPackage(options)
	if err != nil {
		return "", nil, err
	}
	c := &client{suite: suite, signer: signer, private: private}
	handle := p.next("k")
	p.clients[handle] = c
	return handle, c, nil
}

// clientOf is the client that a request names, or a new one for its identity.
func (p *peer) clientOf(req *request) (*client, error) {
	if req.Handle == "" {
		_, c, err := p.newClient(req)
		return c, err
	}
	c, ok := p.clients[req.Handle]
	if !ok {
		return nil, fmt.Errorf("no such key package: %q", req.Handle)
	}
	return c, nil
}

// proposal turns one described proposal into MLS's own.
func (p *peer) proposal(r *proposalRequest) (mls.Proposal, error) {
	switch r.Type {
	case "add":
		kp, err := mls.ParseKeyPackage(r.KeyPackage)
		if err != nil {
			return nil, fmt.Errorf("key package: %w", err)
		}
		return &mls.Add{KeyPackage: kp}, nil
	case "remove":
		if r.LeafIndex == nil {
			return nil, errors.New("remove needs leafIndex")
		}
		return &mls.Remove{Index: *r.LeafIndex}, nil
	case "psk":
		return &mls.PreSharedKey{ID: mls.ExternalPSK(r.ID)}, nil
	case "gce":
		return &mls.GroupContextExtensions{Extensions: toExtensions(r.Extensions)}, nil
	case "reinit":
		return &mls.ReInit{GroupID: r.GroupID, Suite: r.Suite, Version: 1, Extensions: toExtensions(r.Extensions)}, nil
	}
	return nil, fmt.Errorf("unknown proposal type %q", r.Type)
}

// save writes a group's records one after the other, each key and value
// behind its length.
func (g *group) save() []byte {
	var out []byte
	for _, r := range g.state.Records() {
		out = binary.BigEndian.AppendUint32(out, uint32(len(r.Key)))
		out = append(out, r.Key...)
		out = binary.BigEndian.AppendUint32(out, uint32(len(r.Value)))
		out = append(out, r.Value...)
	}
	return out
}

var errSaved = errors.New("the saved group is damaged")

func readSaved(saved []byte) ([]mls.Record, error) {
	field := func() ([]byte, bool) {
		if len(saved) < 4 {
			return nil, false
		}
		n := binary.BigEndian.Uint32(saved)
		saved = saved[4:]
		if uint64(n) > uint64(len(saved)) {
			return nil, false
		}
		value := bytes.Clone(saved[:n])
		saved = saved[n:]
		return value, true
	}
	var records []mls.Record
	for len(saved) > 0 {
		key, ok := field()
		if !ok {
			return nil, errSaved
		}
		value, ok := field()
		if !ok {
			return nil, errSaved
		}
		records = append(records, mls.Record{Key: key, Value: value})
	}
	return records, nil
}
