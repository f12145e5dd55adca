package schedule

import (
	"fmt"
	"strings"
	"testing"

	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/policy/assign"
	"github.com/quorate/quorate/crm/policy/model"
)

// large makes a cluster of nodes and primitives in chains of five ordered and colocated ones: nothing is known
// of them (cold), or all run (steady) and, if lost, the first node is gone.
func large(nodes, resources int, cold, lost bool) *builder {
	b := newBuilder()
	for i := range nodes {
		b.line(fmt.Sprintf("node node%d", i+1))
	}
	if lost {
		n := b.c.Nodes[0]
		n.Online, n.Unclean, n.Score = false, true, model.MinInfinity
	}
	b.line("device F active=node2")
	var unknown []string
	for _, n := range b.c.Nodes {
		unknown = append(unknown, n.Name)
	}
	for i := range resources {
		o := map[string]string{"monitor": "10", "fencing": ""}
		if cold {
			o["unknown"] = strings.Join(unknown, ",")
		} else {
			o["active"] = fmt.Sprintf("node%d", i/5%nodes+1)
		}
		r := b.primitive(fmt.Sprintf("r%d", i), nil, o)
		b.c.Resources = append(b.c.Resources, r)
		if i%5 > 0 {
			first := fmt.Sprintf("r%d", i-1)
			b.line(fmt.Sprintf("colocation r%d %s", i, first))
			b.doc.Config.Constraints = append(b.doc.Config.Constraints, cib.Constraint{Kind: cib.Order, ID: fmt.Sprintf("o%d", i), First: first, Then: r.ID})
		}
	}
	return b
}

func BenchmarkSchedule(b *testing.B) {
	for _, size := range [...][2]int{{16, 300}, {100, 2000}} {
		for _, state := range [...]string{"cold", "lost"} {
			b.Run(fmt.Sprintf("nodes=%d/resources=%d/%s", size[0], size[1], state), func(b *testing.B) {
				b.ReportAllocs()
				actions := 0
				for b.Loop() {
					b.StopTimer()
					w := large(size[0], size[1], state == "cold", state == "lost")
					if w.err != nil {
						b.Fatal(w.err)
					}
					assign.Prepare(w.c)
					b.StartTimer()
					Internal(w.c)
					b.StopTimer()
					assign.Run(w.c)
					b.StartTimer()
					Run(w.c)
					Graph(w.c)
					actions = len(w.c.Actions)
				}
				b.ReportMetric(float64(actions), "actions")
			})
		}
	}
}
