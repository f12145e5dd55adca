package cibtoml

import (
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"pgregory.net/rapid"

	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/cib/cibxml"
	"github.com/quorate/quorate/crm/rule"
)

// TestMutated_RoundTrip puts drawn texts into drawn fields of a document that uses every field. What is written
// either comes back the same, or is refused on reading because TOML is stricter than the model.
func TestMutated_RoundTrip(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile(filepath.Join("..", "cibxml", "testdata", "everything.xml"))
	if err != nil {
		t.Fatal(err)
	}
	base, _, err := cibxml.Read(data)
	if err != nil {
		t.Fatal(err)
	}
	texts := rapid.OneOf(
		rapid.SampledFrom([]string{"", "a", "db", "0", "-5", "+5", "007", "1.5", "true", "INFINITY", "Master", "stonith", "ocf", "a:b", "ref:file:/x", "ref:", "2026-01-01", "id", "values", "password", "clone-max", "stonith-enabled", "cib-bootstrap-options"}),
		rapid.StringMatching(`[a-z"'\\#.=\[\]{} ä\n\t\x01-]{1,6}`),
	)
	accepted := 0
	rapid.Check(t, func(t *rapid.T) {
		doc := base.Clone()
		var fields []reflect.Value
		var structs []any
		var walk func(v reflect.Value)
		walk = func(v reflect.Value) {
			switch v.Kind() {
			case reflect.Pointer:
				if !v.IsNil() {
					walk(v.Elem())
				}
			case reflect.Slice, reflect.Array:
				for i := range v.Len() {
					walk(v.Index(i))
				}
			case reflect.Struct:
				structs = append(structs, v.Addr().Interface())
				for i := range v.NumField() {
					walk(v.Field(i))
				}
			case reflect.String:
				// Fields that are not set may be none of the object's own kind.
				if v.String() != "" {
					fields = append(fields, v)
				}
			}
		}
		walk(reflect.ValueOf(&doc.Config))
		for range rapid.IntRange(1, 3).Draw(t, "mutations") {
			fields[rapid.IntRange(0, len(fields)-1).Draw(t, "field")].SetString(texts.Draw(t, "text"))
		}
		// A text in a field that is marked as not written is no document.
		for _, s := range structs {
			switch x := s.(type) {
			case *rule.AttributeExpression:
				x.HasValue = x.HasValue || x.Value != ""
			case *rule.ResourceExpression:
				x.HasClass, x.HasProvider, x.HasType = x.HasClass || x.Class != "", x.HasProvider || x.Provider != "", x.HasType || x.Type != ""
			case *cib.NVPair:
				x.NoValue = x.NoValue && x.Value == ""
			}
		}
		text, err := Write(doc, Options{})
		if err != nil {
			return
		}
		again, err := Read(text, Options{})
		if err != nil {
			return
		}
		accepted++
		want, got := sameForm(doc), sameForm(again)
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("Read(Write(doc)) differs: %s\n%s", difference(reflect.ValueOf(*want), reflect.ValueOf(*got), "config"), text)
		}
		cib.Check(again)
	})
	t.Logf("%d mutated documents were accepted", accepted)
	if accepted == 0 {
		t.Error("no mutated document was accepted")
	}
}
