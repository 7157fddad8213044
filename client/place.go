package client

// shift is how much later than its entry's number a line stands in this
// device's timeline, from a place on: what lay behind it before a restore keeps
// its lines.
type shift struct {
	_     struct{} `cbor:",toarray"`
	After uint64   // entries of the log after this one
	By    uint64
}

// place is where an entry stands in the timeline.
func (c *chat) place(seq uint64) uint64 {
	for i := len(c.rec.Shifts) - 1; i >= 0; i-- {
		if s := c.rec.Shifts[i]; seq > s.After {
			return seq + s.By
		}
	}
	return seq
}

// entryAt is the entry that a line belongs to; false if the log has lost it.
func (c *chat) entryAt(cursor uint64) (uint64, bool) {
	place, end := cursor>>8, ^uint64(0)
	for i := len(c.rec.Shifts) - 1; i >= 0; i-- {
		s := c.rec.Shifts[i]
		if place > s.After+s.By {
			return place - s.By, place-s.By <= end
		}
		end = min(end, s.After)
	}
	return place, place <= end
}
