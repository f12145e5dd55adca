package cibxml

import (
	"bytes"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/quorate/quorate/crm/cib"
)

// TestGenerated_RoundTrip fills every field of the model with drawn values, by reflection, so that a field
// which reading or writing forgets is found without a test of its own.
func TestGenerated_RoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		doc := &cib.Document{}
		fillValue(t, reflect.ValueOf(doc).Elem(), "Document", 0)
		text := Write(doc, Options{})
		again, problems, err := Read(text)
		if err != nil {
			t.Fatalf("Read: %v\n%s", err, text)
		}
		for _, p := range problems {
			if !strings.Contains(p.Text, "it is kept and has no effect") {
				t.Fatalf("unexpected problem %v\n%s", p, text)
			}
		}
		a, b := cib.WithoutPositions(doc), cib.WithoutPositions(again)
		if !reflect.DeepEqual(a, b) {
			t.Fatalf("Read(Write(doc)) differs: %s\n%s", difference(reflect.ValueOf(a).Elem(), reflect.ValueOf(b).Elem(), "doc"), text)
		}
		if clone := doc.Clone(); !reflect.DeepEqual(clone, doc) {
			t.Fatal("Clone() differs")
		}
		cib.Objects(&doc.Config, func(kind, id string, o cib.Object) {
			if part := WriteObject(kind, o); !bytes.Contains(text, bytes.TrimSpace(bytes.SplitN(part, []byte("\n"), 2)[0])) {
				t.Fatalf("WriteObject(%s %s) is no part of the document:\n%s", kind, id, part)
			}
		})
		// These must cope with any document.
		cib.Check(doc)
		up, _ := cib.Upgrade(doc)
		cib.Check(up)
		cib.Canonical(doc)
		changes := cib.Diff(doc, up)
		if got, err := cib.Apply(doc, changes); err != nil || len(cib.Diff(got, up)) > 0 {
			t.Fatalf("Apply(Diff()) = %v, %v", got, err)
		}
		cib.Describe(doc, changes)
		if _, _, err := Export(doc, Release2); err != nil {
			t.Fatal(err)
		}
	})
}

var texts = rapid.OneOf(
	rapid.SampledFrom([]string{"a", "b", "db", "start", "INFINITY", "-5", "true", "Started", "Master", "10s", "ocf", "stonith", "master-max", "stonith-enabled", "upstart", "ping"}),
	rapid.StringMatching(`[a-zA-Z_#:.<>&"' äß\n\t-]{1,8}`),
)

// fillValue fills v. What the form itself does not keep is not drawn: see the cases.
func fillValue(t *rapid.T, v reflect.Value, name string, depth int) {
	const (
		// Fields that are "" by the form where others say so, or that make no sense alone.
		parent = "Parent"
		pos    = "Pos"
	)
	switch v.Type() {
	case reflect.TypeFor[cib.Pos]():
		return
	case reflect.TypeFor[cib.Attr]():
		v.Set(reflect.ValueOf(cib.Attr{Name: rapid.SampledFrom([]string{"x-one", "x-two", "x-three"}).Draw(t, name), Value: texts.Draw(t, name)}))
		return
	case reflect.TypeFor[cib.Unknown]():
		v.Set(reflect.ValueOf(cib.Unknown{Parent: "configuration", XML: `<odd a="&amp;"><b/></odd>`}))
		return
	case reflect.TypeFor[cib.Kind]():
		v.SetUint(uint64(rapid.IntRange(0, int(cib.Template)).Draw(t, name)))
		return
	case reflect.TypeFor[cib.ConstraintKind]():
		v.SetUint(uint64(rapid.IntRange(0, int(cib.Ticket)).Draw(t, name)))
		return
	}
	switch v.Kind() {
	case reflect.String:
		if rapid.IntRange(0, 2).Draw(t, name) > 0 {
			v.SetString(texts.Draw(t, name))
		}
	case reflect.Bool:
		v.SetBool(rapid.Bool().Draw(t, name))
	case reflect.Int, reflect.Int64:
		v.SetInt(int64(rapid.IntRange(-1, 100000).Draw(t, name)))
	case reflect.Pointer:
		if depth < 14 && rapid.Bool().Draw(t, name) || v.Type() == reflect.TypeFor[*cib.Resource]() {
			v.Set(reflect.New(v.Type().Elem()))
			fillValue(t, v.Elem(), name, depth+1)
		}
	case reflect.Array:
		for i := range v.Len() {
			fillValue(t, v.Index(i), name, depth+1)
		}
	case reflect.Slice:
		most := 2
		if depth > 13 {
			most = 0
		}
		n := rapid.IntRange(0, most).Draw(t, name)
		if n == 0 {
			return
		}
		v.Set(reflect.MakeSlice(v.Type(), n, n))
		for i := range n {
			fillValue(t, v.Index(i), name, depth+1)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if n := v.Type().Field(i).Name; n != parent && n != pos {
				fillValue(t, v.Field(i), n, depth+1)
			}
		}
	default:
		t.Fatalf("field %s has the type %v, for which this test has no values", name, v.Type())
	}
	if v.CanAddr() {
		fit(v.Addr().Interface())
	}
}
