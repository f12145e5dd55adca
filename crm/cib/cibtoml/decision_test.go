package cibtoml_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/cib/cibtoml"
	"github.com/quorate/quorate/crm/cib/cibxml"
	"github.com/quorate/quorate/crm/policy"
)

// TestCorpus_SameDecision lets the policy decide on every document of the scheduler corpus as it is and with
// its configuration from TOML: the transitions are the same, byte for byte.
func TestCorpus_SameDecision(t *testing.T) {
	t.Parallel()
	files, _ := filepath.Glob(filepath.Join("..", "..", "..", "..", "shared", "conformance", "scheduler", "xml", "*.xml"))
	if len(files) == 0 {
		t.Skip("skipped: the scheduler corpus is not here")
	}
	decide := func(t *testing.T, doc *cib.Document) []byte {
		now := time.Unix(1700000000, 0).UTC()
		if s, err := strconv.ParseInt(doc.Head.ExecutionDate, 10, 64); err == nil {
			now = time.Unix(s, 0).UTC()
		}
		d, err := policy.Decide(policy.Input{Document: doc, Now: now, Quorate: cib.IsTrue(doc.Head.HaveQuorum)})
		if err != nil {
			return []byte(err.Error())
		}
		return d.Graph.XML()
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".xml"), func(t *testing.T) {
			t.Parallel()
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
				t.Fatal(err)
			}
			again, err := cibtoml.Read(text, cibtoml.Options{})
			if err != nil {
				t.Fatal(err)
			}
			again.Head, again.Status = doc.Head, doc.Status
			want, got := decide(t, doc), decide(t, again)
			if !bytes.Equal(got, want) {
				t.Errorf("the decision from TOML differs:\n%s\nwant\n%s", got, want)
			}
		})
	}
}
