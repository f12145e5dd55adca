package policy_test

import (
	"bytes"
	"fmt"
	"syscall"
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

// BenchmarkDecide decides from a parsed document: cold, with one node lost, and where there is nothing to do.
func BenchmarkDecide(b *testing.B) {
	for _, size := range sizes {
		for _, state := range [...]string{"cold", "failed", "steady"} {
			b.Run(fmt.Sprintf("nodes=%d/resources=%d/%s", size.Nodes, size.Resources, state), func(b *testing.B) {
				in := loadInput(b, size, "mixed", state)
				measured(b, func() {
					if _, err := policy.Decide(in); err != nil {
						b.Fatal(err)
					}
				})
			})
		}
	}
}

// measured runs f in a loop and also reports the processor time of the process, which tells more than the time on
// the clock where others use the machine.
func measured(b *testing.B, f func()) {
	b.Helper()
	var before, after syscall.Rusage
	b.ReportAllocs()
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &before); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		f()
	}
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &after); err != nil {
		b.Fatal(err)
	}
	used := after.Utime.Nano() - before.Utime.Nano() + after.Stime.Nano() - before.Stime.Nano()
	b.ReportMetric(float64(used)/float64(b.N)/1e6, "cpu-ms/op")
}

// BenchmarkDecideMix decides on one kind of resources at a time.
func BenchmarkDecideMix(b *testing.B) {
	for _, mix := range [...]string{"primitives", "groups", "clones", "chains", "anti"} {
		for _, state := range [...]string{"cold", "failed"} {
			b.Run(fmt.Sprintf("mix=%s/nodes=32/resources=1000/%s", mix, state), func(b *testing.B) {
				in := loadInput(b, generate.Size{Nodes: 32, Resources: 1000}, mix, state)
				measured(b, func() {
					if _, err := policy.Decide(in); err != nil {
						b.Fatal(err)
					}
				})
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
				measured(b, func() { simulate.Execute(in.Document, d, nil, documentTime) })
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
			measured(b, func() {
				if _, _, err := cibxml.Read(text); err != nil {
					b.Fatal(err)
				}
			})
		})
	}
}
