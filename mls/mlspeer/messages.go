package main

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/securelink-chat/securelink/mls"
)

func process(p *peer, req *request) (map[string]any, error) {
	g, err := p.group(req)
	if err != nil {
		return nil, err
	}
	// A log that echoes one's own commit is how it becomes accepted.
	if g.pending != nil && bytes.Equal(g.pending.Message(), req.Message) {
		return mergePending(p, req)
	}
	received, err := g.state.Process(req.Message)
	if err != nil {
		return nil, err
	}
	answer := map[string]any{"aad": received.AuthenticatedData}
	switch received.Kind {
	case mls.KindApplication:
		answer["kind"], answer["data"], answer["sender"] = "application", received.Data, received.Sender.Leaf
	case mls.KindProposal:
		answer["kind"] = "proposal"
	case mls.KindCommit:
		answer["kind"] = "handshake"
		state, err := received.Commit.Apply()
		if err != nil {
			return nil, err
		}
		if g.pending != nil { // it lost the race
			g.pending.Drop()
			g.pending = nil
		}
		g.state = state
	}
	for k, v := range g.describe() {
		answer[k] = v
	}
	return answer, nil
}

func encrypt(p *peer, req *request) (map[string]any, error) {
	g, err := p.group(req)
	if err != nil {
		return nil, err
	}
	message, err := g.state.Encrypt(req.Data, req.AAD)
	if err != nil {
		return nil, err
	}
	return map[string]any{"message": message}, nil
}

func decrypt(p *peer, req *request) (map[string]any, error) {
	g, err := p.group(req)
	if err != nil {
		return nil, err
	}
	received, err := g.state.Decrypt(req.Message)
	if err != nil {
		return nil, err
	}
	return map[string]any{"data": received.Data, "aad": received.AuthenticatedData, "sender": received.Sender.Leaf}, nil
}

func addPSK(p *peer, req *request) (map[string]any, error) {
	g, err := p.group(req)
	if err != nil {
		return nil, err
	}
	id, err := req.pskID()
	if err != nil {
		return nil, err
	}
	g.psks[string(id)] = req.PSK
	return g.describe(), nil
}

func exporter(p *peer, req *request) (map[string]any, error) {
	g, err := p.group(req)
	if err != nil {
		return nil, err
	}
	if req.Length < 0 || req.Length > 1<<12 {
		return nil, fmt.Errorf("length %d is out of range", req.Length)
	}
	secret, err := g.state.Exporter(req.Label, req.Context, req.Length)
	if err != nil {
		return nil, err
	}
	return map[string]any{"secret": secret}, nil
}

func listMembers(p *peer, req *request) (map[string]any, error) {
	g, err := p.group(req)
	if err != nil {
		return nil, err
	}
	members := []map[string]any{}
	for m := range g.state.View().Members() {
		members = append(members, map[string]any{
			"leafIndex": m.Index, "identity64": m.Leaf.Credential().Identity, "signatureKey": m.Leaf.SignatureKey(),
		})
	}
	return map[string]any{"members": members}, nil
}

func state(p *peer, req *request) (map[string]any, error) {
	g, err := p.group(req)
	if err != nil {
		return nil, err
	}
	return g.describe(), nil
}

func saveGroup(p *peer, req *request) (map[string]any, error) {
	g, err := p.group(req)
	if err != nil {
		return nil, err
	}
	if g.pending != nil {
		return nil, errors.New("a commit is pending: merge or drop it first")
	}
	return map[string]any{"saved": g.save()}, nil
}

func loadGroup(p *peer, req *request) (map[string]any, error) {
	records, err := readSaved(req.Saved)
	if err != nil {
		return nil, err
	}
	g := p.newGroup(req)
	state, err := mls.Load(g.config, records)
	if err != nil {
		return nil, err
	}
	return p.keep(g, state), nil
}

func cloneGroup(p *peer, req *request) (map[string]any, error) {
	g, err := p.group(req)
	if err != nil {
		return nil, err
	}
	c := p.newGroup(req)
	c.config.KeepEpochs, c.config.Padding = g.config.KeepEpochs, g.config.Padding
	for id, key := range g.psks {
		c.psks[id] = key
	}
	records, err := readSaved(g.save())
	if err != nil {
		return nil, err
	}
	// A copy through the saved form has its own settings and shares nothing.
	state, err := mls.Load(c.config, records)
	if err != nil {
		return nil, err
	}
	return p.keep(c, state), nil
}
