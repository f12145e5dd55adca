package replica_test

import (
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"
)

// seeds gives the seeds of a chaos test; QUORATE_SEED picks one.
func seeds(t *testing.T, n uint64) []uint64 {
	if s := os.Getenv("QUORATE_SEED"); s != "" {
		v, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatalf("QUORATE_SEED: %v", err)
		}
		return []uint64{v}
	}
	out := make([]uint64, n)
	for i := range out {
		out[i] = uint64(i) + 1
	}
	return out
}

func TestChaos(t *testing.T) {
	for _, nodes := range []int{3, 5} {
		acked, lost, snaps, terms := 0, 0, 0, 0
		for _, seed := range seeds(t, 40) {
			t.Run(fmt.Sprintf("nodes=%d/seed=%d", nodes, seed), func(t *testing.T) {
				c := chaos(t, seed, nodes, time.Minute)
				acked += len(c.acked)
				lost += c.lost
				snaps += c.snaps
				terms += len(c.acting)
			})
		}
		t.Logf("%d nodes: %d requests acknowledged, %d dropped, %d snapshots sent, %d terms with a leader", nodes, acked, lost, snaps, terms)
		if acked < 1000 || snaps == 0 || terms < 100 {
			t.Errorf("the faults leave too little to check")
		}
	}
}
