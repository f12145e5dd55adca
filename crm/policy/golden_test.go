package policy_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/policy"
)

var rewrite = flag.Bool("rewrite", false, "write the golden files anew")

// TestDecide_Golden decides on whole documents, most of them reduced by .ci/peer from larger ones. A file has the rule
// that it shows in lines that begin with #, the document, ---- and the summary of the transition.
func TestDecide_Golden(t *testing.T) {
	t.Parallel()
	files, _ := filepath.Glob("testdata/decide/*.txt")
	if len(files) == 0 {
		t.Fatal("no golden files in testdata/decide")
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			t.Parallel()
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			head, want, ok := strings.Cut(string(data), "\n----\n")
			at := strings.Index(head, "<cib")
			if !ok || at < 1 || head[0] != '#' {
				t.Fatal(`want lines with #, a document, "----" and the summary`)
			}
			doc := mustRead(t, head[at:])
			d, err := policy.Decide(policy.Input{Document: doc, Now: documentTime, Quorate: cib.IsTrue(doc.Head.HaveQuorum)})
			if err != nil {
				t.Fatal(err)
			}
			got := strings.Join(policy.SummaryText(d.Summary()), "\n") + "\n"
			if *rewrite {
				if err := os.WriteFile(file, []byte(head+"\n----\n"+got), 0o600); err != nil {
					t.Fatal(err)
				}
				return
			}
			if got != want {
				t.Errorf("Summary() =\n%s\nwant\n%s", got, want)
			}
		})
	}
}
