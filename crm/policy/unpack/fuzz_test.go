package unpack_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/cib/cibxml"
	"github.com/quorate/quorate/crm/policy/unpack"
	"github.com/quorate/quorate/crm/status"
)

// FuzzUnpack feeds changed documents: none may panic, and reading one twice gives the same.
func FuzzUnpack(f *testing.F) {
	files, _ := filepath.Glob("testdata/*.txt")
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		for _, text := range strings.Split(string(data), "\n\n") {
			input, _, _ := strings.Cut(text, "----")
			b := &builder{quorum: "1", now: 1000}
			for _, line := range strings.Split(input, "\n") {
				if line != "" && !strings.HasPrefix(line, "#") {
					b.line(&testing.T{}, line)
				}
			}
			f.Add([]byte(b.xml()))
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		doc, _, err := cibxml.Read(data)
		if err != nil {
			return
		}
		doc, _ = cib.Upgrade(doc)
		one, err := unpack.Unpack(doc, unpack.Options{Now: time.Unix(1000, 0).UTC()})
		if err != nil {
			return
		}
		two, err := unpack.Unpack(doc, unpack.Options{Now: time.Unix(1000, 0).UTC()})
		if err != nil {
			t.Fatal("the same document is refused the second time:", err)
		}
		o := status.Options{Depth: 1, Pending: true, Attributes: true, FailCounts: true, Failures: true}
		if a, b := status.Text(one, o), status.Text(two, o); a != b {
			t.Errorf("one document, two states:\n%s\n%s", a, b)
		}
	})
}

func TestUnpack_Refuses(t *testing.T) {
	t.Parallel()
	doc := &cib.Document{}
	doc.Head.FeatureSet = "99.0"
	if _, err := unpack.Unpack(doc, unpack.Options{}); !errors.Is(err, unpack.ErrNewerFeatureSet) {
		t.Errorf("Unpack(feature set 99.0) = %v, want ErrNewerFeatureSet", err)
	}
	if _, err := unpack.Unpack(nil, unpack.Options{}); err == nil {
		t.Error("Unpack(nil) is accepted")
	}
	if c, err := unpack.Unpack(&cib.Document{}, unpack.Options{}); err != nil || len(c.Nodes) != 0 {
		t.Errorf("Unpack(empty document) = %v, %v", c, err)
	}
}
