package mls_test

import (
	"errors"
	"fmt"
	"log"

	"github.com/securelink-chat/securelink/mls"
)

// device makes a signature key and a key package for a name.
func device(name string) *mls.PrivateKeyPackage {
	signer, err := mls.NewSigningKey(mls.DefaultSuite)
	if err != nil {
		log.Fatal(err)
	}
	k, err := mls.NewKeyPackage(mls.KeyPackageOptions{
		Suite: mls.DefaultSuite, Signer: signer, Credential: mls.BasicCredential([]byte(name)),
	})
	if err != nil {
		log.Fatal(err)
	}
	return k
}

// Alice makes a group, adds Bob, they talk, and she removes him.
func Example() {
	cfg := mls.Config{Credential: mls.AnyCredential}
	alice, err := mls.CreateWith(cfg, []byte("the garden"), nil, device("alice"))
	if err != nil {
		log.Fatal(err)
	}

	// Bob's key package reaches Alice through some directory; she verifies it.
	bobsKeys := device("bob")
	published, err := mls.ParseKeyPackage(bobsKeys.KeyPackage.Bytes())
	if err != nil {
		log.Fatal(err)
	}
	pending, err := alice.Commit(mls.CommitOptions{
		Proposals:     []mls.Proposal{&mls.Add{KeyPackage: published}},
		TreeInWelcome: true,
	})
	if err != nil {
		log.Fatal(err)
	}
	// The commit counts once everybody is to have it: here nobody else is.
	if alice, err = pending.Apply(); err != nil {
		log.Fatal(err)
	}
	bob, _, err := mls.Join(cfg, pending.Welcome(), []*mls.PrivateKeyPackage{bobsKeys}, nil, mls.JoinOptions{})
	if err != nil {
		log.Fatal(err)
	}

	message, err := alice.Encrypt([]byte("the roses are out"), nil)
	if err != nil {
		log.Fatal(err)
	}
	// alice.Changes() is saved now, before the message leaves.
	received, err := bob.Process(message)
	if err != nil {
		log.Fatal(err)
	}
	sender := bob.View().Leaf(received.Sender.Leaf).Credential()
	fmt.Printf("%s: %s\n", sender.Identity, received.Data)

	pending, err = alice.Commit(mls.CommitOptions{Proposals: []mls.Proposal{&mls.Remove{Index: bob.OwnIndex()}}})
	if err != nil {
		log.Fatal(err)
	}
	received, err = bob.Process(pending.Message())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("bob is removed:", received.Commit.Info().SelfRemoved)
	if alice, err = pending.Apply(); err != nil {
		log.Fatal(err)
	}
	if message, err = alice.Encrypt([]byte("he is gone"), nil); err != nil {
		log.Fatal(err)
	}
	_, err = bob.Process(message)
	fmt.Println("bob reads on:", !errors.Is(err, mls.ErrFutureEpoch))
	// Output:
	// alice: the roses are out
	// bob is removed: true
	// bob reads on: false
}
