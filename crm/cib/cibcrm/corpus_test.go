package cibcrm

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/cib/cibxml"
)

// corpusFiles returns the CIBs of the scheduler corpus beside the repository, or skips the test.
func corpusFiles(t testing.TB) []string {
	t.Helper()
	dir := filepath.Join("..", "..", "..", "..", "shared", "conformance", "scheduler", "xml")
	files, err := filepath.Glob(filepath.Join(dir, "*.xml"))
	if err != nil || len(files) == 0 {
		t.Skipf("skipped: %s is not here", dir)
	}
	return files
}

// load makes a configuration from statements the way "load replace" does.
func load(text string) (*cib.Configuration, error) {
	list, errs := Parse(text)
	if len(errs) > 0 {
		return nil, errs[0]
	}
	Order(list)
	c := &cib.Configuration{}
	e := NewEditor(c)
	for _, st := range list {
		if err := e.Apply(st, Update); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// different names the first object that differs between two configurations, generated ids aside.
func different(a, b *cib.Configuration) string {
	index := func(c *cib.Configuration) map[string]cib.Object {
		out := map[string]cib.Object{}
		cib.Objects(c, func(kind, id string, o cib.Object) {
			if o.Resource == nil && o.Level == nil && kind != cib.KindCluster {
				out[kind+" "+id] = o
			}
		})
		cib.EachResource(c, func(r, parent *cib.Resource) {
			key := "resource " + r.ID
			if parent != nil {
				key += " in " + parent.ID
			}
			out[key] = cib.Object{Resource: r}
		})
		for i := range c.FencingTopology {
			l := &c.FencingTopology[i]
			out[fmt.Sprint("level ", l.Target, l.TargetPattern, l.TargetAttribute, l.TargetValue, l.Index)] = cib.Object{Level: l}
		}
		return out
	}
	x, y := index(a), index(b)
	for key, o := range x {
		p, ok := y[key]
		if !ok {
			return key + " is missing"
		}
		if !same(o, p) {
			return fmt.Sprintf("%s differs:\n%+v\n%+v", key, o, p)
		}
		if o.Resource != nil {
			var m, n []string
			for _, r := range o.Resource.Members {
				m = append(m, r.ID)
			}
			for _, r := range p.Resource.Members {
				n = append(n, r.ID)
			}
			if fmt.Sprint(m) != fmt.Sprint(n) {
				return fmt.Sprintf("%s: members %v and %v", key, m, n)
			}
		}
	}
	for key := range y {
		if _, ok := x[key]; !ok {
			return key + " is new"
		}
	}
	return ""
}

// TestCorpus_RoundTrip prints every configuration of the corpus, as statements and as xml statements, and
// reads it again: the model is the same but for generated ids, and printing is stable.
func TestCorpus_RoundTrip(t *testing.T) {
	t.Parallel()
	for _, file := range corpusFiles(t) {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		t.Run(strings.TrimSuffix(filepath.Base(file), ".xml"), func(t *testing.T) {
			t.Parallel()
			doc, _, err := cibxml.Read(data)
			if err != nil {
				t.Fatal(err)
			}
			for _, o := range []PrintOptions{{}, {XML: true}} {
				text := Print(&doc.Config, o)
				c, err := load(text)
				if err != nil {
					t.Errorf("read what was printed: %v\n%s", err, text)
					continue
				}
				if d := different(&doc.Config, c); d != "" {
					t.Errorf("%s\n%s", d, text)
				}
				if !o.XML {
					if again := Print(c, o); again != text {
						t.Errorf("printed again:\n%s\nfirst:\n%s", again, text)
					}
				}
			}
		})
	}
}
