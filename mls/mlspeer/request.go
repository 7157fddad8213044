package main

import (
	"encoding/json"
	"fmt"

	"github.com/securelink-chat/securelink/mls"
)

// request holds every field that any command takes; []byte is base64.
type request struct {
	Cmd string          `json:"cmd"`
	ID  json.RawMessage `json:"id"`

	Suite        mls.Suite         `json:"suite"`
	Identity     string            `json:"identity"`
	Identity64   []byte            `json:"identity64"`
	Handle       string            `json:"handle"`
	Group        string            `json:"group"`
	GroupID      []byte            `json:"groupId"`
	Extensions   []extension       `json:"extensions"`
	Capabilities *capabilities     `json:"capabilities"`
	Lifetime     []uint64          `json:"lifetime"`
	LastResort   bool              `json:"lastResort"`
	PadTo        int               `json:"padTo"`
	KeepEpochs   int               `json:"keepEpochs"`
	KeyPackage   []byte            `json:"keyPackage"`
	KeyPackages  [][]byte          `json:"keyPackages"`
	InitPriv     []byte            `json:"initPriv"`
	EncPriv      []byte            `json:"encryptionPriv"`
	SigPriv      []byte            `json:"signaturePriv"`
	Tree         *bool             `json:"tree"`
	Public       bool              `json:"public"`
	AAD          []byte            `json:"aad"`
	Merge        *bool             `json:"merge"`
	LeafIndex    *mls.LeafIndex    `json:"leafIndex"`
	LeafIndexes  []mls.LeafIndex   `json:"leafIndexes"`
	Proposals    []proposalRequest `json:"proposals"`
	Proposal     *proposalRequest  `json:"proposal"`
	Path         bool              `json:"path"`
	Welcome      []byte            `json:"welcome"`
	RatchetTree  []byte            `json:"ratchetTree"`
	GroupInfo    []byte            `json:"groupInfo"`
	Resync       bool              `json:"resync"`
	PSKs         []psk             `json:"psks"`
	Message      []byte            `json:"message"`
	Data         []byte            `json:"data"`
	PSK          []byte            `json:"psk"`
	PSKID        []byte            `json:"pskId"`
	Label        string            `json:"label"`
	Context      []byte            `json:"context"`
	Length       int               `json:"length"`
	Saved        []byte            `json:"saved"`
}

type extension struct {
	Type mls.ExtensionType `json:"type"`
	Data []byte            `json:"data"`
}

type capabilities struct {
	Suites      []mls.Suite          `json:"ciphersuites"`
	Extensions  []mls.ExtensionType  `json:"extensions"`
	Proposals   []mls.ProposalType   `json:"proposals"`
	Credentials []mls.CredentialType `json:"credentials"`
}

type psk struct {
	ID  []byte `json:"id"`
	PSK []byte `json:"psk"`
}

type proposalRequest struct {
	Type       string         `json:"type"`
	KeyPackage []byte         `json:"keyPackage"`
	LeafIndex  *mls.LeafIndex `json:"leafIndex"`
	ID         []byte         `json:"id"`
	Extensions []extension    `json:"extensions"`
	GroupID    []byte         `json:"groupId"`
	Suite      mls.Suite      `json:"suite"`
}

// pskID is the id of addPsk's key: in pskId, or in id, which is then also the
// request's own.
func (r *request) pskID() ([]byte, error) {
	if r.PSKID != nil {
		return r.PSKID, nil
	}
	var id []byte
	if err := json.Unmarshal(r.ID, &id); err != nil {
		return nil, fmt.Errorf("the key's id: %w", err)
	}
	return id, nil
}

// yes is the value of an optional switch that is on unless it says otherwise.
func yes(b *bool) bool { return b == nil || *b }

// capabilitiesOrDefault are those asked for, or ours with what the group's
// extensions need.
func (r *request) capabilitiesOrDefault() *mls.Capabilities {
	var types []mls.ExtensionType
	for _, e := range r.Extensions {
		types = append(types, e.Type)
	}
	c := mls.DefaultCapabilities(types...)
	if want := r.Capabilities; want != nil {
		if want.Suites != nil {
			c.Suites = want.Suites
		}
		if want.Extensions != nil {
			c.Extensions = want.Extensions
		}
		if want.Proposals != nil {
			c.Proposals = want.Proposals
		}
		if want.Credentials != nil {
			c.Credentials = want.Credentials
		}
	}
	return &c
}

func toExtensions(in []extension) []mls.Extension {
	out := make([]mls.Extension, 0, len(in))
	for _, e := range in {
		out = append(out, mls.Extension{Type: e.Type, Data: e.Data})
	}
	return out
}
