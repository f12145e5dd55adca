package policy_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/cib/cibxml"
	"github.com/quorate/quorate/crm/policy"
)

// BenchmarkDecide decides on the generated documents of the corpus beside the project, cold and with one node
// lost; it skips where the generator is absent.
func BenchmarkDecide(b *testing.B) {
	gen := filepath.Join("..", "..", "..", "shared", "conformance", "gen_cib.py")
	if _, err := os.Stat(gen); err != nil {
		b.Skip("no ../shared/conformance/gen_cib.py beside the checkout")
	}
	for _, size := range []struct{ nodes, resources int }{{3, 30}, {16, 300}, {32, 1000}, {100, 2000}} {
		for _, state := range []string{"cold", "failed"} {
			b.Run(fmt.Sprintf("nodes=%d/resources=%d/%s", size.nodes, size.resources, state), func(b *testing.B) {
				data, err := exec.Command("python3", gen, "--nodes", fmt.Sprint(size.nodes), "--resources", fmt.Sprint(size.resources), "--state", state).Output()
				if err != nil {
					b.Skip("python3: ", err)
				}
				doc, _, err := cibxml.Read(data)
				if err != nil {
					b.Fatal(err)
				}
				in := policy.Input{Document: doc, Now: time.Unix(1700001000, 0), Quorate: cib.IsTrue(doc.Head.HaveQuorum)}
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
