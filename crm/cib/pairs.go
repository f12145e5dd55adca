package cib

import (
	"fmt"
	"slices"
)

// SetValue sets a name in the first of the sets that has it and no rule, else in the first without a rule, else in a
// new set with the id setID, or the first free id after it. c is the configuration that holds the sets.
func SetValue(c *Configuration, list *[]AttributeSet, setID, name, value string) {
	for i := range *list {
		set := &(*list)[i]
		for j := range set.Pairs {
			if set.Pairs[j].Name == name && set.Pairs[j].IDRef == "" && len(set.Rules) == 0 {
				set.Pairs[j].Value, set.Pairs[j].NoValue = value, false
				return
			}
		}
	}
	taken := make(map[string]bool)
	EachID(c, func(id, _ string, _ Pos) { taken[id] = true })
	at := slices.IndexFunc(*list, func(s AttributeSet) bool { return len(s.Rules) == 0 && s.IDRef == "" })
	if at < 0 {
		*list = append(*list, AttributeSet{ID: freeID(taken, setID)})
		at = len(*list) - 1
	}
	set := &(*list)[at]
	set.Pairs = append(set.Pairs, NVPair{ID: freeID(taken, set.ID+"-"+name), Name: name, Value: value})
}

// freeID returns base, or base with the first number that makes it free.
func freeID(taken map[string]bool, base string) string {
	id := base
	for n := 0; taken[id]; n++ {
		id = fmt.Sprintf("%s-%d", base, n)
	}
	taken[id] = true
	return id
}

// DeleteValue removes a name from all sets; found says whether it was there. Sets that become empty stay, as
// the field's tools leave them.
func DeleteValue(list []AttributeSet, name string) (found bool) {
	for i := range list {
		n := len(list[i].Pairs)
		list[i].Pairs = slices.DeleteFunc(list[i].Pairs, func(p NVPair) bool { return p.Name == name })
		found = found || len(list[i].Pairs) != n
	}
	return found
}

// Value returns the first value of a name.
func Value(list []AttributeSet, name string) (string, bool) {
	for i := range list {
		for _, p := range list[i].Pairs {
			if p.Name == name && !p.NoValue {
				return p.Value, true
			}
		}
	}
	return "", false
}
