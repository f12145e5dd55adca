package cibtoml

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/cib/cibxml"
)

// sameForm returns the configuration of doc as it must come back from TOML: with present names, and with
// the pairs of the main set of properties and of fence devices by name, since their order is not kept.
func sameForm(doc *cib.Document) *cib.Configuration {
	out := cib.WithoutPositions(cib.Canonical(doc))
	sorted := func(list []cib.AttributeSet) {
		for i := range list {
			slices.SortStableFunc(list[i].Pairs, func(a, b cib.NVPair) int { return strings.Compare(a.Name, b.Name) })
		}
	}
	sorted(out.Config.Properties)
	cib.EachResource(&out.Config, func(r, _ *cib.Resource) {
		if r.Class == "stonith" {
			sorted(r.Params)
		}
	})
	return &out.Config
}

// roundTrip writes doc as TOML, reads it, and writes it again.
func roundTrip(t *testing.T, doc *cib.Document) []byte {
	t.Helper()
	text, err := Write(doc, Options{})
	if err != nil {
		t.Fatalf("Write: %v", err)
	}
	again, err := Read(text, Options{})
	if err != nil {
		t.Fatalf("Read(Write(doc)): %v\n%s", err, text)
	}
	if want, got := sameForm(doc), sameForm(again); !reflect.DeepEqual(got, want) {
		t.Fatalf("Read(Write(doc)) differs: %s\n%s", difference(reflect.ValueOf(*want), reflect.ValueOf(*got), "config"), text)
	}
	if twice, err := Write(again, Options{}); err != nil || !bytes.Equal(twice, text) {
		t.Fatalf("Write(Read(Write(doc))) differs from Write(doc) (%v):\n%s\n----\n%s", err, twice, text)
	}
	return text
}

// difference names the first place where two values differ.
func difference(a, b reflect.Value, path string) string {
	if reflect.DeepEqual(a.Interface(), b.Interface()) {
		return ""
	}
	switch a.Kind() {
	case reflect.Pointer:
		if a.IsNil() || b.IsNil() {
			return fmt.Sprintf("%s: nil %v, %v", path, a.IsNil(), b.IsNil())
		}
		return difference(a.Elem(), b.Elem(), path)
	case reflect.Struct:
		for i := range a.NumField() {
			if d := difference(a.Field(i), b.Field(i), path+"."+a.Type().Field(i).Name); d != "" {
				return d
			}
		}
	case reflect.Slice:
		if a.Len() != b.Len() || a.IsNil() != b.IsNil() {
			return fmt.Sprintf("%s: %d and %d elements, nil %v and %v", path, a.Len(), b.Len(), a.IsNil(), b.IsNil())
		}
		for i := range a.Len() {
			if d := difference(a.Index(i), b.Index(i), fmt.Sprintf("%s[%d]", path, i)); d != "" {
				return d
			}
		}
	}
	return fmt.Sprintf("%s: %v, %v", path, a.Interface(), b.Interface())
}

// TestCorpus_RoundTrip turns every document of the scheduler corpus into TOML and back: the configuration is
// the same, and so is its XML.
func TestCorpus_RoundTrip(t *testing.T) {
	t.Parallel()
	files, _ := filepath.Glob(filepath.Join("..", "..", "..", "..", "shared", "conformance", "scheduler", "xml", "*.xml"))
	if len(files) == 0 {
		t.Skip("skipped: the scheduler corpus is not here")
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
			roundTrip(t, doc)
		})
	}
}

// TestEverything turns a document that uses every field of the model into TOML and compares the text with a
// golden file.
func TestEverything(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile(filepath.Join("..", "cibxml", "testdata", "everything.xml"))
	if err != nil {
		t.Fatal(err)
	}
	doc, _, err := cibxml.Read(data)
	if err != nil {
		t.Fatal(err)
	}
	doc.Config.Extra = []cib.Unknown{{Parent: "configuration", XML: `<x a="1"/>`}}
	got := roundTrip(t, doc)
	golden := filepath.Join("testdata", "everything.toml")
	if *rewrite {
		if err := os.WriteFile(golden, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("Write() =\n%s\nwant\n%s", got, want)
	}
}

// TestEverything_IsEverything checks that the document of TestEverything sets every field of the model, so
// that a new field which the form forgets fails there.
func TestEverything_IsEverything(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile(filepath.Join("..", "cibxml", "testdata", "everything.xml"))
	if err != nil {
		t.Fatal(err)
	}
	doc, _, err := cibxml.Read(data)
	if err != nil {
		t.Fatal(err)
	}
	set := make(map[string]bool)
	all := make(map[string]bool)
	var walk func(v reflect.Value)
	walk = func(v reflect.Value) {
		switch v.Kind() {
		case reflect.Pointer:
			if !v.IsNil() {
				walk(v.Elem())
			}
		case reflect.Slice:
			for i := range v.Len() {
				walk(v.Index(i))
			}
		case reflect.Struct:
			for i := range v.NumField() {
				name := v.Type().Name() + "." + v.Type().Field(i).Name
				all[name] = true
				if !v.Field(i).IsZero() {
					set[name] = true
				}
				walk(v.Field(i))
			}
		}
	}
	walk(reflect.ValueOf(doc.Config))
	// Unknown elements are added by TestEverything itself; the last has its zero value as its meaning.
	elsewhere := []string{"Configuration.Extra", "Resource.Unknown"}
	for name := range all {
		if !set[name] && !slices.Contains(elsewhere, name) {
			t.Errorf("no object of everything.xml sets %s", name)
		}
	}
}
