package cib_test

import (
	"encoding/json"
	"reflect"
	"testing"

	"github.com/fxamacker/cbor/v2"

	"github.com/quorate/quorate/crm/cib"
)

// TestChange_Encoding sends every kind of object through the encodings of the log and of the client protocol:
// the changes do the same after it.
func TestChange_Encoding(t *testing.T) {
	t.Parallel()
	doc := readDocument(t, "cibxml", "testdata", "everything.xml")
	doc.Config.Extra = []cib.Unknown{{Parent: "configuration", XML: "<x/>"}}
	want := cib.WithoutPositions(doc).Config
	changes := cib.Diff(&cib.Document{}, doc)
	kinds := make(map[string]bool)
	for i := range changes {
		kinds[changes[i].Kind] = true
	}
	if len(kinds) != 15 {
		t.Errorf("the document has objects of %d kinds, want 15: %v", len(kinds), kinds)
	}
	for name, codec := range map[string]struct {
		marshal   func(any) ([]byte, error)
		unmarshal func([]byte, any) error
	}{
		"cbor": {cbor.Marshal, cbor.Unmarshal},
		"json": {json.Marshal, json.Unmarshal},
	} {
		data, err := codec.marshal(changes)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		var back []cib.Change
		if err := codec.unmarshal(data, &back); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		got, err := cib.Apply(&cib.Document{}, back)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if !reflect.DeepEqual(cib.WithoutPositions(got).Config, want) {
			t.Errorf("%s: the changes do something else after it", name)
		}
	}
}
