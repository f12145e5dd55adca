package assign

import (
	"fmt"
	"strings"
	"testing"
)

// BenchmarkRun places groups of three, clones and single resources with constraints among them.
func BenchmarkRun(b *testing.B) {
	for _, size := range []struct{ nodes, resources int }{{16, 500}, {100, 2000}, {200, 5000}} {
		b.Run(fmt.Sprintf("nodes=%d/resources=%d", size.nodes, size.resources), func(b *testing.B) {
			var out strings.Builder
			for i := range size.nodes {
				fmt.Fprintf(&out, "node n%d\n", i)
			}
			for i := 0; i < size.resources; i += 5 {
				for k := range 5 {
					fmt.Fprintf(&out, "primitive p%d stickiness=10 active=n%d\n", i+k, i%size.nodes)
				}
				fmt.Fprintf(&out, "group g%d p%d p%d p%d\nlocation g%d n%d 100\ncolocate p%d g%d 100\ncolocate p%d p%d -INFINITY\n", i, i, i+1, i+2, i, (i+1)%size.nodes, i+3, i, i+4, i+3)
			}
			text := out.String()
			for b.Loop() {
				b.StopTimer()
				c, _, err := build(text)
				if err != nil {
					b.Fatal(err)
				}
				c.Trace.Scores, c.Trace.Reasons = false, false
				b.StartTimer()
				Prepare(c)
				Run(c)
			}
		})
	}
}
