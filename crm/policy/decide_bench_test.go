package policy_test

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/cib/cibxml"
	"github.com/quorate/quorate/crm/policy"
	"github.com/quorate/quorate/crm/policy/generate"
	"github.com/quorate/quorate/crm/simulate"
)

// sizes are those of the table in docs/performance.md.
var sizes = []generate.Size{{Nodes: 3, Resources: 30}, {Nodes: 16, Resources: 300}, {Nodes: 32, Resources: 1000}, {Nodes: 100, Resources: 2000}, {Nodes: 200, Resources: 5000}}

func loadXML(b *testing.B, size generate.Size, mix, state string) []byte {
	b.Helper()
	size.Mix, size.State = mix, state
	var text bytes.Buffer
	if err := generate.Load(&text, size); err != nil {
		b.Fatal(err)
	}
	return text.Bytes()
}

func loadInput(b *testing.B, size generate.Size, mix, state string) policy.Input {
	b.Helper()
	doc, _, err := cibxml.Read(loadXML(b, size, mix, state))
	if err != nil {
		b.Fatal(err)
	}
	return policy.Input{Document: doc, Now: documentTime, Quorate: cib.IsTrue(doc.Head.HaveQuorum)}
}

// BenchmarkDecide decides from a parsed document: cold, and with one node lost.
func BenchmarkDecide(b *testing.B) {
	for _, size := range sizes {
		for _, state := range [...]string{"cold", "failed"} {
			b.Run(fmt.Sprintf("nodes=%d/resources=%d/%s", size.Nodes, size.Resources, state), func(b *testing.B) {
				in := loadInput(b, size, "mixed", state)
				b.ReportAllocs()
				for b.Loop() {
					if _, err := policy.Decide(in); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// BenchmarkDecideMix decides on one kind of resources at a time.
func BenchmarkDecideMix(b *testing.B) {
	for _, mix := range [...]string{"primitives", "groups", "clones", "chains", "anti"} {
		for _, state := range [...]string{"cold", "failed"} {
			b.Run(fmt.Sprintf("mix=%s/nodes=32/resources=1000/%s", mix, state), func(b *testing.B) {
				in := loadInput(b, generate.Size{Nodes: 32, Resources: 1000}, mix, state)
				b.ReportAllocs()
				for b.Loop() {
					if _, err := policy.Decide(in); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// BenchmarkExecute carries a transition out on a copy of the document, without deciding on it.
func BenchmarkExecute(b *testing.B) {
	for _, size := range sizes[:4] {
		for _, state := range [...]string{"cold", "failed"} {
			b.Run(fmt.Sprintf("nodes=%d/resources=%d/%s", size.Nodes, size.Resources, state), func(b *testing.B) {
				in := loadInput(b, size, "mixed", state)
				d, err := policy.Decide(in)
				if err != nil {
					b.Fatal(err)
				}
				b.ReportAllocs()
				for b.Loop() {
					simulate.Execute(in.Document, d, nil, documentTime)
				}
			})
		}
	}
}

// BenchmarkReadXML reads a document with full history.
func BenchmarkReadXML(b *testing.B) {
	for _, size := range sizes[:4] {
		b.Run(fmt.Sprintf("nodes=%d/resources=%d", size.Nodes, size.Resources), func(b *testing.B) {
			text := loadXML(b, size, "mixed", "steady")
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := cibxml.Read(text); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
