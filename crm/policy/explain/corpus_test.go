package explain_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/cib/cibxml"
	"github.com/quorate/quorate/crm/policy"
	"github.com/quorate/quorate/crm/policy/explain"
	"github.com/quorate/quorate/crm/policy/model"
)

// TestScores_Corpus adds up the contributions for every primitive and node of the corpus and compares the sum
// with the score that the assignment used.
func TestScores_Corpus(t *testing.T) {
	t.Parallel()
	files, _ := filepath.Glob(filepath.Join("..", "..", "..", "..", "shared", "conformance", "scheduler", "xml", "*.xml"))
	if len(files) == 0 {
		t.Skip("no ../shared/conformance/scheduler/xml beside the checkout")
	}
	checked, differ := 0, 0
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		doc, _, err := cibxml.Read(data)
		if err != nil {
			continue
		}
		d, err := policy.Decide(policy.Input{Document: doc, Now: time.Unix(1700001000, 0).UTC(), Quorate: cib.IsTrue(doc.Head.HaveQuorum),
			Sanitized: true, Trace: model.Trace{Reasons: true}})
		if err != nil {
			continue
		}
		for _, r := range d.Cluster.All {
			if r.Kind != cib.Primitive {
				continue
			}
			sentences(t, d.Cluster, r, filepath.Base(file))
			for _, s := range explain.Scores(d.Cluster, r) {
				checked++
				if s.Sum != s.Score {
					differ++
					if differ <= 40 {
						t.Logf("%s: %s on %s: sum %d, score %d: %v", filepath.Base(file), r.ID, s.Node, s.Sum, s.Score, s.Contributions)
					}
				}
			}
		}
	}
	if checked == 0 {
		t.Fatal("no pair was compared")
	}
	if differ > 0 {
		t.Errorf("the contributions of %d of %d pairs do not add up to the score", differ, checked)
	}
}

// sentences asks about r on every node: each answer has a sentence, on one screen.
func sentences(t *testing.T, c *model.Cluster, r *model.Resource, file string) {
	t.Helper()
	const screen = 24
	nodes := []string{""}
	for _, n := range c.Nodes {
		nodes = append(nodes, n.Name)
	}
	for _, node := range nodes {
		list, err := explain.Explain(c, r.ID, node)
		if err != nil || len(list) != 1 && r.ConfigID != r.ID {
			t.Errorf("%s: explain %s %s: %d answers, %v", file, r.ID, node, len(list), err)
			continue
		}
		for i := range list {
			in := &list[i]
			lines := len(in.Why) + len(in.Actions) + len(in.Blocked)
			if len(in.Why) == 0 || lines > screen {
				t.Errorf("%s: explain %s %s: %d lines, of which %d sentences", file, r.ID, node, lines, len(in.Why))
			}
			for _, s := range in.Why {
				if s == "" || !strings.HasSuffix(s, ".") || strings.Contains(s, "  ") {
					t.Errorf("%s: explain %s %s: %q is no sentence", file, r.ID, node, s)
				}
			}
		}
	}
}
