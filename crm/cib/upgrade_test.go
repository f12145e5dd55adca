package cib_test

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/cib/cibxml"
)

// TestUpgrade reads each testdata/upgrade/NAME.xml, upgrades it, and compares the result and the messages
// with NAME.want. The head comment of each file says which rule it shows.
func TestUpgrade(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(filepath.Join("testdata", "upgrade", "*.xml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no test files: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			doc, problems, err := cibxml.Read(data)
			if err != nil || len(problems) > 0 {
				t.Fatalf("Read: %v %v", problems, err)
			}
			before := doc.Clone()
			up, problems := cib.Upgrade(doc)
			if !reflect.DeepEqual(doc, before) {
				t.Error("Upgrade changed its input")
			}
			var got strings.Builder
			for _, p := range problems {
				got.WriteString(p.String() + "\n")
			}
			got.WriteString("----\n")
			got.Write(cibxml.WriteConfiguration(&up.Config, cibxml.Options{}))
			golden := strings.TrimSuffix(file, ".xml") + ".want"
			if *rewrite {
				if err := os.WriteFile(golden, []byte(got.String()), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if got.String() != string(want) {
				t.Errorf("Upgrade() =\n%s\nwant\n%s", got.String(), want)
			}
			again, problems := cib.Upgrade(up)
			if len(problems) > 0 || !reflect.DeepEqual(again.Config.Resources, up.Config.Resources) {
				t.Errorf("a second upgrade finds more to do: %v", problems)
			}
		})
	}
}

func BenchmarkUpgrade(b *testing.B) {
	doc := &cib.Document{}
	for i := range 5000 {
		doc.Config.Resources = append(doc.Config.Resources, &cib.Resource{ID: fmt.Sprint("r", i), Class: "ocf", Provider: "heartbeat", Type: "x",
			Params:     []cib.AttributeSet{{ID: fmt.Sprint("p", i), Pairs: []cib.NVPair{{Name: "a"}, {Name: "b"}, {Name: "c"}}}},
			Operations: cib.Operations{List: []cib.Operation{{Name: "monitor", Extra: []cib.Attr{{Name: "timeout"}}}}}})
	}
	for i := range 10000 {
		doc.Config.Constraints = append(doc.Config.Constraints, cib.Constraint{Kind: cib.Order, ID: fmt.Sprint("c", i), First: "r1", Then: "r2"})
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, problems := cib.Upgrade(doc); len(problems) > 0 {
			b.Fatal(problems)
		}
	}
}

func BenchmarkCheck(b *testing.B) {
	doc := &cib.Document{}
	for i := range 5000 {
		doc.Config.Resources = append(doc.Config.Resources, &cib.Resource{ID: fmt.Sprint("r", i), Class: "ocf", Provider: "heartbeat", Type: "x"})
	}
	for i := range 10000 {
		doc.Config.Constraints = append(doc.Config.Constraints, cib.Constraint{Kind: cib.Order, ID: fmt.Sprint("c", i), First: fmt.Sprint("r", i/3), Then: fmt.Sprint("r", i/3+1)})
	}
	b.ReportAllocs()
	for b.Loop() {
		if problems := cib.Check(doc); cib.HasErrors(problems) {
			b.Fatal(problems)
		}
	}
}
