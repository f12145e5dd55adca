package shell

import (
	"fmt"
	"slices"

	"github.com/quorate/quorate/crm/api/client"
	"github.com/quorate/quorate/crm/cib"
)

// attributeCommand carries out set, show or delete of one attribute of the owner, which is in the scope.
func (s *Shell) attributeCommand(c *call, owner string, scope client.Scope, args []string, kind string, find func(doc *cib.Document) (*[]cib.AttributeSet, error)) error {
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
		snap, err := s.load(c.ctx)
		if err != nil {
			return err
		}
		list, err := find(snap.Doc)
		if err != nil {
			return err
		}
		v, ok := cib.Value(*list, name)
		if !ok {
			return fmt.Errorf("%s has no %s", owner, name)
		}
		s.printf("%s\n", v)
		return nil
	}
	return s.changeOne(c.ctx, scope, fmt.Sprintf("crm %s %s %s %s", c.cmd.name, owner, action, name), func(doc *cib.Document) error {
		list, err := find(doc)
		if err != nil {
			return err
		}
		if action == "delete" {
			cib.DeleteValue(*list, name)
			*list = slices.DeleteFunc(*list, func(x cib.AttributeSet) bool { return len(x.Pairs)+len(x.Rules) == 0 && x.IDRef == "" })
			return nil
		}
		cib.SetValue(&doc.Config, list, owner+"-"+kind, name, args[2])
		return nil
	})
}
