package identity

import (
	"crypto/sha256"
	"encoding/hex"
	"testing"
)

// TestVectors holds every derivation to fixed values: a change of any of them
// makes new users out of old ones, or locks people out.
func TestVectors(t *testing.T) {
	sum := func(b []byte) string {
		h := sha256.Sum256(b)
		return hex.EncodeToString(h[:])
	}
	hexOf := func(b []byte) string { return hex.EncodeToString(b) }
	link := LinkSecret(seed(50))
	id, token, box, psk := link.ID(), link.FetchToken(), link.SealKey(), link.PSK()
	user, login := alice.User(root), laptop.SignLogin(root, seed(40), laptopID, alice.User(root))
	profile, _ := alice.SignProfile(root, "Alice", 3)
	leave := &Statement{Kind: StatementLeave, Group: group, User: user, Device: laptopID, JoinID: stay}
	laptop.SignStatement(root, leave)
	salt := PasswordSalt(root, "alice", [16]byte{1})
	auth, err := PasswordAuth("correct horse", salt, DefaultPasswordParams)
	if err != nil {
		t.Fatal(err)
	}
	verifier, fake, hash := PasswordVerifier(auth, [16]byte{2}), FakeSalt(seed(1), "nobody"), TokenHash(token)
	for _, v := range []struct{ name, got, want string }{
		{"user id", user.String(), "f0183b5b40b9ce6ccc3559c6031cf28da39a4197f826ee51d2a774defdcac049"},
		{"certificate", sum(alice.Certify(root, laptopID, laptop.Public(), ClassNative, 1700000000).Encode()), "1937e38666068429eab2ad126b9f33195b2347ad4011a1f9fc211b6bb374e3b6"},
		{"profile", sum(profile.Encode()), "43eada9cf8f2fd3079bc23fae69e3b7ff90ac8ded1439722c093142efdee97d4"},
		{"login", sum(login[:]), "a0c9495338a3be6a14ef9171079bb5ceeb4eb8e68b1656151a1df0964e85d75b"},
		{"enrolment code", EnrolmentCode(root, user, laptopID, laptop.Public(), ClassNative).String(), "W35E-89DB-P1J1-8BVS"},
		{"safety number", SafetyNumber(Peer{user, alice.Public()}, Peer{bob.User(root), bob.Public()}).String(), "78055 87890 26760 57623 62531 79354 14220 77132 19354 58669 62937 56144"},
		{"statement", sum(leave.Encode()), "36be06e9d9e3c7e4e0bae69e42a4f2275cb09d2637740e0c7c05ef361ff4bd33"},
		{"link id", hexOf(id[:]), "bac1570a0f37d4ba515a4a34d1b7121e"},
		{"fetch token", hexOf(token[:]), "455b6214def975c9fe83e279d12db6f6752678273f024aa83ebe529d2322456e"},
		{"token hash", hexOf(hash[:]), "5359cd3094130aaf84771859c3a9fb8777a43dba238c46fd1fce6f05a1438889"},
		{"seal key", hexOf(box[:]), "436979a20d0b5ca2234cdcee4b1a4723161951bf71956c48864743f7b88b7638"},
		{"psk", hexOf(psk[:]), "0bf2a0e0c44f677e5a98d93024681c1537b86fae12994d33c86350e221f2b720"},
		{"password salt", hexOf(salt[:]), "a2a8b0ab6130fc3acfb26895d24637e522e12ccef3ed913c020709e00f305cd8"},
		{"password auth", hexOf(auth[:]), "1d0053a4ef61c97c7cc0f20e63a5de18846637455c315c3f81005f8633e0fa66"},
		{"verifier", hexOf(verifier[:]), "b3cdebe7771d683e65845053f0f086e93552e7e04becba45b37242b1445068e0"},
		{"fake salt", hexOf(fake[:]), "7dad82e2a1403a71517422b38214450c"},
	} {
		if v.got != v.want {
			t.Errorf("%s:\n got %s\nwant %s", v.name, v.got, v.want)
		}
	}
}
