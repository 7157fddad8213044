package main

import (
	"errors"
	"fmt"

	"github.com/securelink-chat/securelink/mls"
)

// commands are what the peer understands.
var commands = map[string]func(*peer, *request) (map[string]any, error){
	"hello":            hello,
	"newKeyPackage":    newKeyPackage,
	"importKeyPackage": importKeyPackage,
	"createGroup":      createGroup,
	"addMembers":       addMembers,
	"remove":           remove,
	"update":           update,
	"commit":           commit,
	"propose":          propose,
	"mergePending":     mergePending,
	"dropPending":      dropPending,
	"joinWelcome":      joinWelcome,
	"process":          process,
	"encrypt":          encrypt,
	"decrypt":          decrypt,
	"exportGroupInfo":  exportGroupInfo,
	"externalJoin":     externalJoin,
	"addPsk":           addPSK,
	"exporter":         exporter,
	"listMembers":      listMembers,
	"state":            state,
	"saveGroup":        saveGroup,
	"loadGroup":        loadGroup,
	"cloneGroup":       cloneGroup,
}

func hello(*peer, *request) (map[string]any, error) {
	return map[string]any{"peer": "securelink", "version": "1", "suites": mls.Suites()}, nil
}

func newKeyPackage(p *peer, req *request) (map[string]any, error) {
	handle, c, err := p.newClient(req)
	if err != nil {
		return nil, err
	}
	kp := c.private.KeyPackage
	return map[string]any{"keyPackage": kp.Bytes(), "ref": kp.Ref(), "handle": handle}, nil
}

func importKeyPackage(p *peer, req *request) (map[string]any, error) {
	kp, err := mls.ParseKeyPackage(req.KeyPackage)
	if err != nil {
		return nil, fmt.Errorf("key package: %w", err)
	}
	signer, err := mls.ParseSigningKey(kp.Suite(), req.SigPriv)
	if err != nil {
		return nil, fmt.Errorf("signature key: %w", err)
	}
	private, err := mls.ImportKeyPackage(kp, req.InitPriv, req.EncPriv, signer)
	if err != nil {
		return nil, err
	}
	handle := p.next("k")
	p.clients[handle] = &client{suite: kp.Suite(), signer: signer, private: private}
	return map[string]any{"ref": kp.Ref(), "handle": handle}, nil
}

func createGroup(p *peer, req *request) (map[string]any, error) {
	c, err := p.clientOf(req)
	if err != nil {
		return nil, err
	}
	g := p.newGroup(req)
	state, err := mls.Create(g.config, mls.CreateOptions{
		Suite: c.suite, GroupID: req.GroupID, Signer: c.signer, Credential: c.private.KeyPackage.Leaf().Credential(),
		Capabilities: req.capabilitiesOrDefault(), Extensions: toExtensions(req.Extensions),
	})
	if err != nil {
		return nil, err
	}
	return p.keep(g, state), nil
}

// commitWith makes one commit and applies it unless the request says merge:
// false.
func (p *peer) commitWith(req *request, options mls.CommitOptions) (map[string]any, error) {
	g, err := p.group(req)
	if err != nil {
		return nil, err
	}
	options.AuthenticatedData, options.Public = req.AAD, req.Public
	options.TreeInWelcome = yes(req.Tree)
	pending, err := g.state.Commit(options)
	if err != nil {
		return nil, err
	}
	answer := map[string]any{"commit": pending.Message()}
	if welcome := pending.Welcome(); welcome != nil {
		answer["welcome"] = welcome
		if !options.TreeInWelcome {
			answer["ratchetTree"] = pending.Next().Tree()
		}
	}
	g.pending = pending
	if yes(req.Merge) {
		if err := g.merge(); err != nil {
			return nil, err
		}
	}
	for k, v := range g.describe() {
		answer[k] = v
	}
	return answer, nil
}

func (g *group) merge() error {
	if g.pending == nil {
		return errors.New("no commit is pending")
	}
	state, err := g.pending.Apply()
	if err != nil {
		return err
	}
	g.state, g.pending = state, nil
	return nil
}

func addMembers(p *peer, req *request) (map[string]any, error) {
	var options mls.CommitOptions
	for _, raw := range req.KeyPackages {
		kp, err := mls.ParseKeyPackage(raw)
		if err != nil {
			return nil, fmt.Errorf("key package: %w", err)
		}
		options.Proposals = append(options.Proposals, &mls.Add{KeyPackage: kp})
	}
	return p.commitWith(req, options)
}

func remove(p *peer, req *request) (map[string]any, error) {
	indexes := req.LeafIndexes
	if req.LeafIndex != nil {
		indexes = append(indexes, *req.LeafIndex)
	}
	var options mls.CommitOptions
	for _, i := range indexes {
		options.Proposals = append(options.Proposals, &mls.Remove{Index: i})
	}
	return p.commitWith(req, options)
}

func update(p *peer, req *request) (map[string]any, error) {
	return p.commitWith(req, mls.CommitOptions{ForcePath: true})
}

func commit(p *peer, req *request) (map[string]any, error) {
	options := mls.CommitOptions{ByReference: true, ForcePath: req.Path}
	for i := range req.Proposals {
		proposal, err := p.proposal(&req.Proposals[i])
		if err != nil {
			return nil, err
		}
		options.Proposals = append(options.Proposals, proposal)
	}
	return p.commitWith(req, options)
}

func propose(p *peer, req *request) (map[string]any, error) {
	g, err := p.group(req)
	if err != nil {
		return nil, err
	}
	if req.Proposal == nil {
		return nil, errors.New("propose needs a proposal")
	}
	options := mls.ProposeOptions{AuthenticatedData: req.AAD, Public: req.Public}
	var message []byte
	if req.Proposal.Type == "update" {
		message, err = g.state.ProposeUpdate(nil, options)
	} else {
		var proposal mls.Proposal
		if proposal, err = p.proposal(req.Proposal); err != nil {
			return nil, err
		}
		message, err = g.state.Propose(proposal, options)
	}
	if err != nil {
		return nil, err
	}
	answer := g.describe()
	answer["message"] = message
	return answer, nil
}

func mergePending(p *peer, req *request) (map[string]any, error) {
	g, err := p.group(req)
	if err != nil {
		return nil, err
	}
	if err := g.merge(); err != nil {
		return nil, err
	}
	return g.describe(), nil
}

func dropPending(p *peer, req *request) (map[string]any, error) {
	g, err := p.group(req)
	if err != nil {
		return nil, err
	}
	if g.pending != nil {
		g.pending.Drop()
		g.pending = nil
	}
	return g.describe(), nil
}

func joinWelcome(p *peer, req *request) (map[string]any, error) {
	var keys []*mls.PrivateKeyPackage
	if req.Handle != "" {
		c, err := p.clientOf(req)
		if err != nil {
			return nil, err
		}
		keys = append(keys, c.private)
	} else {
		for _, c := range p.clients {
			keys = append(keys, c.private)
		}
	}
	g := p.newGroup(req)
	opened, err := mls.OpenWelcome(g.config, req.Welcome, keys, mls.JoinOptions{})
	if err != nil {
		return nil, err
	}
	state, _, err := opened.Join(req.RatchetTree)
	if err != nil {
		return nil, err
	}
	return p.keep(g, state), nil
}

func exportGroupInfo(p *peer, req *request) (map[string]any, error) {
	g, err := p.group(req)
	if err != nil {
		return nil, err
	}
	info, err := g.state.GroupInfo(mls.GroupInfoOptions{Tree: yes(req.Tree), ExternalPub: true})
	if err != nil {
		return nil, err
	}
	return map[string]any{"groupInfo": info, "ratchetTree": g.state.Tree()}, nil
}

func externalJoin(p *peer, req *request) (map[string]any, error) {
	info, err := mls.ParseGroupInfo(req.GroupInfo)
	if err != nil {
		return nil, fmt.Errorf("group info: %w", err)
	}
	if req.Suite == 0 {
		req.Suite = info.Suite()
	}
	c, err := p.clientOf(req)
	if err != nil {
		return nil, err
	}
	g := p.newGroup(req)
	options := mls.ExternalOptions{
		Tree: req.RatchetTree, Signer: c.signer, Credential: c.private.KeyPackage.Leaf().Credential(),
		Capabilities: req.capabilitiesOrDefault(), AuthenticatedData: req.AAD,
	}
	for _, k := range req.PSKs {
		options.PSKs = append(options.PSKs, k.ID)
	}
	if req.Resync {
		old, err := ownLeaf(g.config, info, req.RatchetTree, options.Credential)
		if err != nil {
			return nil, err
		}
		options.Resync = &old
	}
	pending, err := mls.JoinExternal(g.config, req.GroupInfo, options)
	if err != nil {
		return nil, err
	}
	message := pending.Message()
	state, err := pending.Apply()
	if err != nil {
		return nil, err
	}
	answer := p.keep(g, state)
	answer["commit"] = message
	return answer, nil
}

// ownLeaf finds the leaf that a client who lost its state has in the tree.
func ownLeaf(config mls.Config, info *mls.GroupInfo, tree []byte, who mls.Credential) (mls.LeafIndex, error) {
	view, err := info.Verify(config, tree)
	if err != nil {
		return 0, err
	}
	for m := range view.Members() {
		if string(m.Leaf.Credential().Identity) == string(who.Identity) {
			return m.Index, nil
		}
	}
	return 0, errors.New("no leaf of this identity is in the tree")
}
