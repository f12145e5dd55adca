package command

import (
	"fmt"
	"strings"
	"testing"

	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/cib/cibtoml"
)

// BenchmarkApplyConfig is one configuration write, an ACL role, to a document of 100 monitored resources on
// three nodes.
func BenchmarkApplyConfig(b *testing.B) {
	s := hundred(b)
	data := make([][]byte, 2)
	for i := range data {
		e := &Entry{Kind: KindConfig, Config: &Config{Force: true, Changes: []cib.Change{{Kind: cib.KindACLRole, ID: "lab",
			Object: &cib.Object{Role: &cib.ACLRole{ID: "lab", Description: fmt.Sprint(i)}}}}}}
		var err error
		if data[i], err = e.Encode(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		n++
		next, out := Apply(s, s.Index+1, 1, data[n%2])
		if out.Err != nil {
			b.Fatal(out.Err)
		}
		s = next
	}
}

// hundred is a cluster of three nodes with 100 monitored resources.
func hundred(tb testing.TB) *State {
	var text strings.Builder
	text.WriteString("[cluster]\nname = \"x\"\n[nodes]\nn1 = {}\nn2 = {}\nn3 = {}\n")
	for i := range 100 {
		fmt.Fprintf(&text, "[primitives.s%d]\nagent = \"ocf:quorate:Stamp\"\nparams = { base = \"x\" }\nmeta = { resource-stickiness = 100 }\nop.monitor = { interval = \"10s\", timeout = \"10s\" }\n", i)
	}
	doc, err := cibtoml.Read([]byte(text.String()), cibtoml.Options{})
	if err != nil {
		tb.Fatal(err)
	}
	s := New()
	s.ClusterID, s.Document = "x", doc
	return s
}
