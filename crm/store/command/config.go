package command

import (
	"fmt"
	"slices"

	"github.com/quorate/quorate/crm/cib"
)

// config applies a change of the configuration: all of it or nothing. A change based on an older revision of an
// object that it touches or relies on is refused; changes of other objects and of the status do not matter.
func (n *State) config(e *Entry, out *Outcome) error {
	c := e.Config
	if len(c.Changes) == 0 {
		return fmt.Errorf("the change changes nothing")
	}
	keys := make([]string, len(c.Changes))
	for i := range c.Changes {
		keys[i] = c.Changes[i].Key()
	}
	if !c.Force {
		for _, key := range sortedKeys(c.Based) {
			if newest := n.Objects.Of(key); newest > c.Based[key] {
				return &ConflictError{Object: key, Based: c.Based[key], Newest: newest}
			}
		}
		for _, key := range keys {
			if _, based := c.Based[key]; !based {
				return fmt.Errorf("the change of %s does not say on which revision it is based", key)
			}
		}
	}
	doc, err := cib.Apply(n.Document, c.Changes)
	if err != nil {
		return err
	}
	for i := range n.Members {
		m := &n.Members[i]
		if m.Removed {
			continue
		}
		found := false
		for j := range doc.Config.Nodes {
			found = found || doc.Config.Nodes[j].Name == m.Name
		}
		if !found {
			return fmt.Errorf("node %s is a member of the cluster: remove it with \"crm cluster remove %s\"", m.Name, m.Name)
		}
	}
	if p := cib.ChangeError(n.Document, doc, c.Changes); p != nil {
		return fmt.Errorf("%s", p.String())
	}
	n.Document = doc
	n.numberLinks()
	n.touch(keys...)
	out.ConfigChanged = true
	out.MembersChanged = slices.ContainsFunc(c.Changes, func(c cib.Change) bool { return c.Kind == cib.KindNode || c.Kind == cib.KindCluster })
	return nil
}

func sortedKeys(m map[string]uint64) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
