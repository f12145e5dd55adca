package editor

import (
	"reflect"
	"slices"

	"github.com/quorate/quorate/crm/cib"
)

// Merge makes changes of base fit to a newer document: objects that others changed too are merged part
// by part. It returns the objects that both changed in the same part. No input is changed.
func Merge(base, now *cib.Document, mine []cib.Change) (merged []cib.Change, conflicts []string) {
	theirs := make(map[string]bool)
	for _, c := range cib.Diff(base, now) {
		theirs[c.Key()] = true
	}
	merged = slices.Clone(mine)
	for i := range merged {
		c := &merged[i]
		if !theirs[c.Key()] {
			continue
		}
		was, had := cib.FindObject(&base.Config, c.Kind, c.ID)
		is, has := cib.FindObject(&now.Config, c.Kind, c.ID)
		if c.Object == nil || !had || !has {
			if c.Object == nil && !has {
				continue // deleted by both
			}
			conflicts = append(conflicts, c.Key())
			continue
		}
		o, ok := mergeObjects(was, *c.Object, is)
		if !ok {
			conflicts = append(conflicts, c.Key())
			continue
		}
		c.Object = &o
	}
	// What others have deleted already needs no change.
	merged = slices.DeleteFunc(merged, func(c cib.Change) bool {
		_, has := cib.FindObject(&now.Config, c.Kind, c.ID)
		return c.Object == nil && !has
	})
	return merged, conflicts
}

// mergeObjects merges two changes of one object. ok is false where both changed the same part differently.
func mergeObjects(base, mine, theirs cib.Object) (out cib.Object, ok bool) {
	base, mine, theirs = base.Clone(), mine.Clone(), theirs.Clone()
	v, ok := merge3(reflect.ValueOf(base), reflect.ValueOf(mine), reflect.ValueOf(theirs))
	if !ok {
		return out, false
	}
	return v.Interface().(cib.Object), true
}

// merge3 merges two versions of a value that come from base. Structs merge field by field; lists of values with
// a name or id, element by element; anything else only when one side left it alone.
func merge3(base, mine, theirs reflect.Value) (reflect.Value, bool) {
	switch {
	case equalValues(mine, theirs), equalValues(theirs, base):
		return mine, true
	case equalValues(mine, base):
		return theirs, true
	}
	switch base.Kind() {
	case reflect.Pointer:
		if base.IsNil() || mine.IsNil() || theirs.IsNil() {
			return mine, false
		}
		v, ok := merge3(base.Elem(), mine.Elem(), theirs.Elem())
		if !ok {
			return mine, false
		}
		p := reflect.New(v.Type())
		p.Elem().Set(v)
		return p, true
	case reflect.Struct:
		out := reflect.New(base.Type()).Elem()
		for i := range base.NumField() {
			if base.Type().Field(i).Name == "Pos" {
				continue
			}
			v, ok := merge3(base.Field(i), mine.Field(i), theirs.Field(i))
			if !ok {
				return mine, false
			}
			out.Field(i).Set(v)
		}
		return out, true
	case reflect.Slice:
		return mergeLists(base, mine, theirs)
	}
	return mine, false
}

// elementKey names an element of a list; ok is false for elements without a name.
func elementKey(v reflect.Value) (key string, ok bool) {
	switch x := v.Interface().(type) {
	case cib.NVPair:
		key = x.Name + x.IDRef
	case cib.AttributeSet:
		key = x.ID + x.IDRef
	case cib.Operation:
		key = x.ID + x.IDRef
	case cib.Attr:
		key = x.Name
	}
	return key, key != ""
}

func mergeLists(base, mine, theirs reflect.Value) (reflect.Value, bool) {
	index := func(list reflect.Value) (keys []string, at map[string]reflect.Value, ok bool) {
		at = make(map[string]reflect.Value, list.Len())
		for i := range list.Len() {
			key, named := elementKey(list.Index(i))
			if _, twice := at[key]; !named || twice {
				return nil, nil, false
			}
			at[key] = list.Index(i)
			keys = append(keys, key)
		}
		return keys, at, true
	}
	baseKeys, was, ok := index(base)
	mineKeys, my, okMine := index(mine)
	theirKeys, their, okTheirs := index(theirs)
	if !ok || !okMine || !okTheirs {
		return mine, false
	}
	// The order is a part of its own: one side may change it.
	if !slices.Equal(kept(mineKeys, was), kept(baseKeys, my)) && !slices.Equal(kept(theirKeys, was), kept(baseKeys, their)) {
		return mine, false
	}
	keys := slices.Clone(theirKeys)
	if slices.Equal(kept(theirKeys, was), kept(baseKeys, their)) {
		keys = slices.Clone(mineKeys)
		for _, k := range theirKeys {
			if !slices.Contains(keys, k) {
				keys = append(keys, k)
			}
		}
	} else {
		for _, k := range mineKeys {
			if !slices.Contains(keys, k) {
				keys = append(keys, k)
			}
		}
	}
	out := reflect.MakeSlice(base.Type(), 0, len(keys))
	for _, k := range keys {
		b, inBase := was[k]
		m, inMine := my[k]
		t, inTheirs := their[k]
		switch {
		case inBase && inMine && inTheirs:
			v, ok := merge3(b, m, t)
			if !ok {
				return mine, false
			}
			out = reflect.Append(out, v)
		case inBase && inMine: // they deleted it
			if !equalValues(m, b) {
				return mine, false
			}
		case inBase && inTheirs: // deleted here
			if !equalValues(t, b) {
				return mine, false
			}
		case inMine && inTheirs: // added by both
			if !equalValues(m, t) {
				return mine, false
			}
			out = reflect.Append(out, m)
		case inMine:
			out = reflect.Append(out, m)
		case inTheirs:
			out = reflect.Append(out, t)
		}
	}
	return out, true
}

// kept returns the keys that are in the other list too.
func kept(keys []string, in map[string]reflect.Value) []string {
	var out []string
	for _, k := range keys {
		if _, ok := in[k]; ok {
			out = append(out, k)
		}
	}
	return out
}

// equalValues compares without positions.
func equalValues(a, b reflect.Value) bool {
	switch a.Kind() {
	case reflect.Struct:
		for i := range a.NumField() {
			if a.Type().Field(i).Name != "Pos" && !equalValues(a.Field(i), b.Field(i)) {
				return false
			}
		}
		return true
	case reflect.Pointer:
		if a.IsNil() || b.IsNil() {
			return a.IsNil() == b.IsNil()
		}
		return equalValues(a.Elem(), b.Elem())
	case reflect.Slice:
		if a.Len() != b.Len() {
			return false
		}
		for i := range a.Len() {
			if !equalValues(a.Index(i), b.Index(i)) {
				return false
			}
		}
		return true
	}
	return reflect.DeepEqual(a.Interface(), b.Interface())
}
