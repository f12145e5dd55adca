package command

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"testing"

	"pgregory.net/rapid"
)

// TestRevisions compares Revisions with a map through random changes: what they say, what was said before by values that are
// kept, and their encodings, which are those of the map.
func TestRevisions(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var r Revisions
		want := map[string]uint64{}
		var kept []Revisions
		var were []map[string]uint64
		for i := range rapid.IntRange(0, 60).Draw(t, "changes") {
			var keys []string
			for range rapid.IntRange(1, 3).Draw(t, "objects") {
				keys = append(keys, fmt.Sprint("resource r", rapid.IntRange(0, 50).Draw(t, "key")))
			}
			kept, were = append(kept, r), append(were, maps.Clone(want))
			r = r.with(uint64(i+1), keys)
			for _, k := range keys {
				want[k] = uint64(i + 1)
			}
			if len(r.recent) > maxRecentRevisions {
				t.Fatalf("%d recent revisions", len(r.recent))
			}
		}
		for i := range kept {
			if got := kept[i].Map(); !maps.Equal(got, were[i]) {
				t.Fatalf("a value was changed: %v, was %v", got, were[i])
			}
		}
		for i := range 51 {
			if key := fmt.Sprint("resource r", i); r.Of(key) != want[key] {
				t.Fatalf("Of(%s) = %d, want %d", key, r.Of(key), want[key])
			}
		}
		type field[T any] struct {
			Objects T `cbor:"13,keyasint,omitzero" json:"Objects"`
		}
		var back field[Revisions]
		data, err := encMode.Marshal(field[Revisions]{r})
		if err != nil {
			t.Fatal(err)
		}
		plain := want
		if len(plain) == 0 {
			plain = nil
		}
		if other, err := encMode.Marshal(field[map[string]uint64]{plain}); err != nil || !bytes.Equal(data, other) {
			t.Fatalf("encoded as %x, a map as %x (%v)", data, other, err)
		}
		if err := decMode.Unmarshal(data, &back); err != nil || !maps.Equal(back.Objects.Map(), want) {
			t.Fatalf("decoded as %v, want %v (%v)", back.Objects.Map(), want, err)
		}
		text, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		var m map[string]uint64
		if err := json.Unmarshal(text, &m); err != nil || !reflect.DeepEqual(m, want) {
			t.Fatalf("as JSON %s, want %v (%v)", text, want, err)
		}
	})
}
