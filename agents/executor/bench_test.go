package executor

import (
	"fmt"
	"testing"
	"time"

	"github.com/quorate/quorate/membership/identity"
)

// One monitor becomes due, runs and finishes without news, among many.
func BenchmarkMonitor(b *testing.B) {
	for _, n := range []int{100, 1000, 5000} {
		b.Run(fmt.Sprintf("monitors=%d", n), func(b *testing.B) {
			c := core(b, Config{})
			var list []Recurring
			for i := range n {
				list = append(list, Recurring{Origin: Key{1, 1, uint64(i)}, Call: 1, Request: request(fmt.Sprintf("r%d", i), "monitor", 10*time.Second)})
			}
			c.SetRecurring(0, list)
			var now identity.Instant
			for b.Loop() {
				now, _ = c.Deadline()
				c.Tick(now)
				for _, r := range c.Ready().Start {
					c.RunFinished(now, done(r.ID, 0))
				}
				c.Ready()
			}
		})
	}
}
