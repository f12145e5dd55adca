package shell

import (
	"fmt"
	"slices"

	"github.com/quorate/quorate/crm/cib"
)

// setValue sets a name in the first of the sets that has it and no rule, else in the first without a rule,
// else in a new set OWNER-KIND. taken holds the ids in use.
func setValue(c *cib.Configuration, list *[]cib.AttributeSet, owner, kind, name, value string) {
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
	cib.EachID(c, func(id, _ string, _ cib.Pos) { taken[id] = true })
	at := slices.IndexFunc(*list, func(s cib.AttributeSet) bool { return len(s.Rules) == 0 && s.IDRef == "" })
	if at < 0 {
		*list = append(*list, cib.AttributeSet{ID: fresh(taken, owner+"-"+kind)})
		at = len(*list) - 1
	}
	set := &(*list)[at]
	set.Pairs = append(set.Pairs, cib.NVPair{ID: fresh(taken, set.ID+"-"+name), Name: name, Value: value})
}

// fresh returns base, or base with the first number that makes it free.
func fresh(taken map[string]bool, base string) string {
	id := base
	for n := 0; taken[id]; n++ {
		id = fmt.Sprintf("%s-%d", base, n)
	}
	taken[id] = true
	return id
}

// deleteValue removes a name from all sets; found says whether it was there. Sets that become empty stay, as
// the field's tools leave them.
func deleteValue(list []cib.AttributeSet, name string) (found bool) {
	for i := range list {
		n := len(list[i].Pairs)
		list[i].Pairs = slices.DeleteFunc(list[i].Pairs, func(p cib.NVPair) bool { return p.Name == name })
		found = found || len(list[i].Pairs) != n
	}
	return found
}

// getValue returns the first value of a name.
func getValue(list []cib.AttributeSet, name string) (string, bool) {
	for i := range list {
		for _, p := range list[i].Pairs {
			if p.Name == name && !p.NoValue {
				return p.Value, true
			}
		}
	}
	return "", false
}

// attributeCommand carries out set, show or delete of one attribute.
func (s *Shell) attributeCommand(c *call, owner string, args []string, kind string, find func(doc *cib.Document) (*[]cib.AttributeSet, error)) error {
	action, name := args[0], ""
	if len(args) > 1 {
		name = args[1]
	}
	switch {
	case action == "set" && len(args) == 3, (action == "show" || action == "delete") && len(args) == 2:
	case action == "set" || action == "show" || action == "delete":
		return c.usage("%s needs %s", action, map[string]string{"set": "a name and a value", "show": "a name", "delete": "a name"}[action])
	default:
		return c.usage("%q is none of set, show, delete", action)
	}
	if action == "show" {
		snap, err := s.connect().Load(c.ctx)
		if err != nil {
			return err
		}
		list, err := find(snap.doc)
		if err != nil {
			return err
		}
		v, ok := getValue(*list, name)
		if !ok {
			return fmt.Errorf("%s has no %s", owner, name)
		}
		s.printf("%s\n", v)
		return nil
	}
	return s.change(c.ctx, fmt.Sprintf("crm %s %s %s %s", c.cmd.name, owner, action, name), func(doc *cib.Document) error {
		list, err := find(doc)
		if err != nil {
			return err
		}
		if action == "delete" {
			deleteValue(*list, name)
			return nil
		}
		setValue(&doc.Config, list, owner, kind, name, args[2])
		return nil
	})
}
