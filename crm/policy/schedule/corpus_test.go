package schedule

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/cib/cibxml"
	"github.com/quorate/quorate/crm/policy/assign"
	"github.com/quorate/quorate/crm/policy/unpack"
	"github.com/quorate/quorate/crm/rule/iso8601"
	"github.com/quorate/quorate/crm/transition"
)

// corpus is the field's scheduler tests, beside the repository.
const corpus = "../../../../shared/conformance/scheduler"

// leastGraphs is how many of the corpus's graphs have to be equal. It is raised as the figure rises, and never
// lowered.
const leastGraphs = 511

// decideDocument runs all phases on a document.
func decideDocument(doc *cib.Document, now time.Time) (*transition.Graph, error) {
	quorate := cib.IsTrue(doc.Head.HaveQuorum)
	c, err := unpack.Unpack(doc, unpack.Options{Now: now, Quorate: &quorate, Sanitized: true})
	if err != nil {
		return nil, err
	}
	assign.Prepare(c)
	Internal(c)
	CheckHistory(c)
	assign.Run(c)
	Run(c)
	return Graph(c), nil
}

var (
	notCompared = regexp.MustCompile(`(crm_feature_set|batch-limit)="[^"]*"`)
	space       = regexp.MustCompile(`\s+`)
)

// compact takes out of a graph what the field's own comparison does not look at.
func compact(graph []byte) string {
	return string(space.ReplaceAll(notCompared.ReplaceAll(graph, nil), nil))
}

// TestCorpus_Graphs compares whole graphs: action numbers, attributes for the executors, inputs and the order
// of all that.
func TestCorpus_Graphs(t *testing.T) {
	t.Parallel()
	files, _ := filepath.Glob(corpus + "/exp/*.exp")
	if len(files) == 0 {
		t.Skip("the scheduler corpus is not at " + corpus + " (it is not part of the repository)")
	}
	var args map[string]struct{ Args []string }
	data, err := os.ReadFile(corpus + "/args.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &args); err != nil {
		t.Fatal(err)
	}
	equal := 0
	var differ []string
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".exp")
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(corpus + "/xml/" + name + ".xml")
		if err != nil {
			t.Fatal(err)
		}
		doc, _, err := cibxml.Read(data)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
		if a := args[name].Args; len(a) == 2 && a[0] == "-t" {
			if now, err = iso8601.ParseDate(a[1], now, time.UTC); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		} else if seconds, err := strconv.ParseInt(doc.Head.ExecutionDate, 10, 64); err == nil {
			now = time.Unix(seconds, 0).UTC()
		}
		g, err := decideDocument(doc, now)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if compact(g.XML()) == compact(want) {
			equal++
		} else {
			differ = append(differ, name)
		}
	}
	t.Logf("%d of %d graphs are equal; not %s", equal, len(files), strings.Join(differ, " "))
	if equal < min(leastGraphs, len(files)) {
		t.Errorf("%d of %d graphs are equal, want at least %d", equal, len(files), leastGraphs)
	}
}
