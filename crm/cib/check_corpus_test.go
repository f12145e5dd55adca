package cib_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/cib/cibxml"
)

// TestCheck_Corpus checks every document of the scheduler corpus, all of which Pacemaker accepts: errors would keep administrators from importing what works for them.
func TestCheck_Corpus(t *testing.T) {
	t.Parallel()
	files, _ := filepath.Glob(filepath.Join("..", "..", "..", "shared", "conformance", "scheduler", "xml", "*.xml"))
	if len(files) == 0 {
		t.Skip("skipped: the scheduler corpus is not here")
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		doc, _, err := cibxml.Read(data)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range cib.Check(doc) {
			if p.Severity == cib.Error {
				t.Errorf("%s: %v", filepath.Base(file), p)
			}
		}
	}
}
