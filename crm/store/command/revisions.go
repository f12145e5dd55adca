package command

import (
	"encoding/json"
	"maps"
	"slices"
)

// Revisions are the revisions of objects by cib object key. The zero value is empty. A value is never changed, so that states
// share it; see State.Objects. Its encodings are those of a map.
type Revisions struct {
	base   map[string]uint64
	recent []objectRevision // overrides base; no key twice
}

type objectRevision struct {
	key      string
	revision uint64
}

// maxRecentRevisions bounds what each change copies; beyond it the map is made anew.
const maxRecentRevisions = 32

// RevisionsOf makes Revisions of a map, which must not be changed afterwards.
func RevisionsOf(m map[string]uint64) Revisions { return Revisions{base: m} }

// Of returns the revision of an object; 0 = it was there from the start, or is not there.
func (r Revisions) Of(key string) uint64 {
	for i := range r.recent {
		if r.recent[i].key == key {
			return r.recent[i].revision
		}
	}
	return r.base[key]
}

// Map returns the revisions as a map of the caller's own.
func (r Revisions) Map() map[string]uint64 {
	m := make(map[string]uint64, len(r.base)+len(r.recent))
	maps.Copy(m, r.base)
	for _, x := range r.recent {
		m[x.key] = x.revision
	}
	return m
}

// IsZero reports whether there are none.
func (r Revisions) IsZero() bool { return len(r.base)+len(r.recent) == 0 }

// with returns the revisions after a change of the objects.
func (r Revisions) with(revision uint64, keys []string) Revisions {
	if len(r.recent)+len(keys) > maxRecentRevisions {
		m := r.Map()
		for _, k := range keys {
			m[k] = revision
		}
		return Revisions{base: m}
	}
	recent := make([]objectRevision, len(r.recent), len(r.recent)+len(keys))
	copy(recent, r.recent)
	for _, k := range keys {
		if at := slices.IndexFunc(recent, func(x objectRevision) bool { return x.key == k }); at >= 0 {
			recent[at].revision = revision
		} else {
			recent = append(recent, objectRevision{k, revision})
		}
	}
	return Revisions{base: r.base, recent: recent}
}

// MarshalCBOR implements cbor.Marshaler.
func (r Revisions) MarshalCBOR() ([]byte, error) { return encMode.Marshal(r.Map()) }

// UnmarshalCBOR implements cbor.Unmarshaler.
func (r *Revisions) UnmarshalCBOR(data []byte) error {
	*r = Revisions{}
	return decMode.Unmarshal(data, &r.base)
}

// MarshalJSON implements json.Marshaler.
func (r Revisions) MarshalJSON() ([]byte, error) { return json.Marshal(r.Map()) }

// UnmarshalJSON implements json.Unmarshaler.
func (r *Revisions) UnmarshalJSON(data []byte) error {
	*r = Revisions{}
	return json.Unmarshal(data, &r.base)
}
