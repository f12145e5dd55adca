package shell

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/quorate/quorate/crm/api/editor"
	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/cib/cibtoml"
	"github.com/quorate/quorate/crm/cib/cibxml"
)

// TestCorpus_ExportIsNoChange exports every CIB of the scheduler corpus as TOML and reads it as "plan" does: the file
// wants nothing that is not there.
func TestCorpus_ExportIsNoChange(t *testing.T) {
	t.Parallel()
	dir := filepath.Join("..", "..", "..", "shared", "conformance", "scheduler", "xml")
	files, _ := filepath.Glob(filepath.Join(dir, "*.xml"))
	if len(files) == 0 {
		t.Skipf("skipped: %s is not here", dir)
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
		text, err := cibtoml.Write(doc, cibtoml.Options{})
		if err != nil {
			t.Errorf("%s: %v", filepath.Base(file), err)
			continue
		}
		back, err := cibtoml.Read(text, cibtoml.Options{})
		if err != nil {
			t.Errorf("%s: %v", filepath.Base(file), err)
			continue
		}
		if got := cib.Describe(doc, cib.Diff(doc, new(Shell).asWritten(&editor.Snapshot{Doc: doc}, back, "x.toml"))); len(got) > 0 {
			t.Errorf("%s: plan of its export: %q", filepath.Base(file), got)
		}
	}
}
