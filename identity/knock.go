package identity

// Knock is a device's wish to be let into a room by a join link that needs an
// admin's approval, as it is signed. The signature names room and link: who
// holds a link and somebody else's certificate cannot ask in their name.
type Knock struct {
	Group  GroupID
	Link   [16]byte
	Device DeviceID
	At     uint64 // the asker's clock, Unix milliseconds
}

func (k Knock) signed(root PublicKey) []byte {
	w := labelled("SecureLink/1 knock")
	w.Fixed(root[:])
	w.Fixed(k.Group[:])
	w.Fixed(k.Link[:])
	w.Fixed(k.Device[:])
	w.U64(k.At)
	return w.B
}

// SignKnock signs a wish to be let in.
func (d *DeviceKey) SignKnock(root PublicKey, k Knock) Signature { return d.sign(k.signed(root)) }

// VerifyKnock checks the signature of SignKnock.
func VerifyKnock(root, key PublicKey, k Knock, signature Signature) error {
	return verify(key, k.signed(root), signature)
}
