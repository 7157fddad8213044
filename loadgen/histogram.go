package loadgen

import (
	"math/bits"
	"sync/atomic"
	"time"
)

// subBits is the resolution of a histogram: 32 steps in every doubling, which
// is an error of at most 3 %.
const subBits = 5

// histogram counts times. Any number of goroutines may record at once.
type histogram struct {
	counts [(64 - subBits) << subBits]atomic.Uint64
	most   atomic.Int64
}

// step is the place of a value. Below 32 every value has its own; above, the
// five bits after the highest count.
func step(v uint64) int {
	n := bits.Len64(v)
	if n <= subBits {
		return int(v)
	}
	shift := n - subBits - 1
	return (shift+1)<<subBits | int(v>>shift)&(1<<subBits-1)
}

// lowest is the smallest value of a place.
func lowest(at int) uint64 {
	shift := at>>subBits - 1
	if shift < 0 {
		return uint64(at)
	}
	return (1<<subBits | uint64(at)&(1<<subBits-1)) << shift
}

func (h *histogram) record(ns int64) {
	ns = max(ns, 0)
	h.counts[step(uint64(ns))].Add(1)
	for {
		most := h.most.Load()
		if ns <= most || h.most.CompareAndSwap(most, ns) {
			return
		}
	}
}

// quantile is a time that a share of all stayed within: the upper end of its
// place, so that it is never flattering. 0 where nothing was recorded.
func (h *histogram) quantile(share float64) time.Duration {
	var all uint64
	for i := range h.counts {
		all += h.counts[i].Load()
	}
	if all == 0 {
		return 0
	}
	want := uint64(share*float64(all-1)) + 1
	var seen uint64
	for i := range h.counts {
		if seen += h.counts[i].Load(); seen >= want {
			upper := lowest(i+1) - 1
			return time.Duration(min(int64(upper), h.most.Load()))
		}
	}
	return time.Duration(h.most.Load())
}
