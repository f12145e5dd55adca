package replica_test

import (
	"fmt"
	"testing"
	"testing/cryptotest"
	"time"
)

// TestLeaderLost_NoDuel: the voters learn at different moments that the leader is dead, with disks of different speed. Goal:
// candidates do not take each other's votes again and again. Method: many seeds, and a bound for the worst; without turns that
// are put off, it was 2 s with a disk of 2 ms and 10 s with one of 40 ms.
func TestLeaderLost_NoDuel(t *testing.T) {
	for _, nodes := range []int{3, 5} {
		for _, disk := range []time.Duration{2 * time.Millisecond, 40 * time.Millisecond, 200 * time.Millisecond} {
			t.Run(fmt.Sprintf("nodes=%d/disk=%v", nodes, disk), func(t *testing.T) {
				var worst time.Duration
				for seed := uint64(1); seed <= 60; seed++ {
					cryptotest.SetGlobalRandom(t, seed)
					c := newCluster(t, seed, nil)
					c.grow(nodes)
					c.run(time.Second)
					old := c.leader()
					c.crash(old)
					c.disk = disk // a save takes half of it to one and a half
					at := c.now
					for _, n := range c.nodes {
						if n.up() {
							c.after(time.Duration(c.rng.IntN(120))*time.Millisecond, func() { c.leaderLost(n, old.id) })
						}
					}
					c.wait(fmt.Sprintf("a new leader, seed %d", seed), 500*time.Millisecond+6*disk, func() bool { return c.leader() != nil })
					worst = max(worst, c.now.Sub(at))
				}
				t.Logf("worst %v", worst)
			})
		}
	}
}
