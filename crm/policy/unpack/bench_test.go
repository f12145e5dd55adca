package unpack

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/cib/cibxml"
)

// BenchmarkUnpack measures reading the working state from a parsed document.
func BenchmarkUnpack(b *testing.B) {
	script := filepath.Join("..", "..", "..", "..", "shared", "conformance", "gen_cib.py")
	if _, err := os.Stat(script); err != nil {
		b.Skip("the generator of documents is not there:", err)
	}
	for _, size := range []struct{ nodes, resources int }{{16, 500}, {100, 2000}} {
		for _, state := range []string{"cold", "steady"} {
			out, err := exec.Command("python3", script, "--nodes", fmt.Sprint(size.nodes), "--resources",
				fmt.Sprint(size.resources), "--mix", "mixed", "--state", state).Output()
			if err != nil {
				b.Skip("the generator of documents cannot run:", err)
			}
			doc, _, err := cibxml.Read(out)
			if err != nil {
				b.Fatal(err)
			}
			doc, _ = cib.Upgrade(doc)
			b.Run(fmt.Sprintf("nodes=%d/resources=%d/%s", size.nodes, size.resources, state), func(b *testing.B) {
				for b.Loop() {
					if _, err := Unpack(doc, Options{Now: time.Unix(1700000000, 0).UTC()}); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
