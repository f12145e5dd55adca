package shell

import (
	"fmt"
	"slices"
	"strings"

	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/cib/cibcrm"
)

func (s *Shell) cmdSet(c *call) error {
	if err := c.want(2, 2); err != nil {
		return err
	}
	return s.edit(c.ctx, func(w *workArea) error { return setPath(&w.doc.Config, c.args[0], c.args[1]) })
}

// setPath changes one value that exists already, named ID.[OPERATION.[INTERVAL.]]NAME. Ids and names may hold
// dots, so the longest id that exists is taken.
func setPath(c *cib.Configuration, path, value string) error {
	bad := fmt.Errorf("%q names no value: the form is ID.[OPERATION.[INTERVAL.]]NAME", path)
	for at := len(path); ; {
		at = strings.LastIndexByte(path[:at], '.')
		if at <= 0 {
			break
		}
		id, rest := path[:at], path[at+1:]
		if rest == "" {
			return bad
		}
		if r, _, ok := cibcrm.Find(c, id); ok {
			return setResource(r, rest, value)
		}
		for i := range c.Nodes {
			if c.Nodes[i].Name == id {
				return setPair(id, rest, value, c.Nodes[i].Attributes, c.Nodes[i].Utilization)
			}
		}
		for _, list := range [][]cib.AttributeSet{c.Properties, c.ResourceDefaults, c.OpDefaults} {
			for i := range list {
				if list[i].ID == id {
					return setPair(id, rest, value, list[i:i+1])
				}
			}
		}
	}
	if !strings.Contains(path, ".") {
		return bad
	}
	id, _, _ := strings.Cut(path, ".")
	return fmt.Errorf("object %s does not exist", id)
}

func setPair(id, name, value string, lists ...[]cib.AttributeSet) error {
	for _, list := range lists {
		for i := range list {
			for j := range list[i].Pairs {
				if p := &list[i].Pairs[j]; p.Name == name && p.IDRef == "" {
					p.Value, p.NoValue = value, false
					return nil
				}
			}
		}
	}
	return fmt.Errorf("%s has no attribute %s", id, name)
}

func setResource(r *cib.Resource, path, value string) error {
	parts := strings.SplitN(path, ".", 2)
	if len(parts) == 1 || !slices.ContainsFunc(r.Operations.List, func(o cib.Operation) bool { return o.Name == parts[0] }) {
		err := setPair(r.ID, path, value, r.Params, r.Meta, r.Utilization)
		if err != nil && len(parts) == 2 {
			return fmt.Errorf("%s has no operation %s", r.ID, parts[0])
		}
		return err
	}
	name, rest := parts[0], parts[1]
	interval, attr, has := strings.Cut(rest, ".")
	if !has {
		interval, attr = "", rest
	}
	var found []*cib.Operation
	for i := range r.Operations.List {
		o := &r.Operations.List[i]
		if o.Name == name && (!has || sameTime(o.Interval, interval)) {
			found = append(found, o)
		}
	}
	switch {
	case len(found) == 0:
		return fmt.Errorf("%s has no operation %s with interval %s", r.ID, name, interval)
	case len(found) > 1:
		return fmt.Errorf("%s has %d %s operations: say which as %s.%s.INTERVAL.%s", r.ID, len(found), name, r.ID, name, attr)
	}
	o := found[0]
	if attr == "interval" {
		if _, err := cib.ParseInterval(value); err != nil {
			return err
		}
		o.Interval = value
		return nil
	}
	for i := range o.Extra {
		if o.Extra[i].Name == attr {
			o.Extra[i].Value = value
			return nil
		}
	}
	if setPair(r.ID, attr, value, o.Params, o.Meta) == nil {
		return nil
	}
	if !cibcrm.OperationAttribute(attr) {
		return fmt.Errorf("operation %s of %s has no attribute %s", name, r.ID, attr)
	}
	o.Extra = append(o.Extra, cib.Attr{Name: attr, Value: value})
	return nil
}

// sameTime compares two intervals by what they mean.
func sameTime(a, b string) bool {
	x, errA := cib.ParseInterval(a)
	y, errB := cib.ParseInterval(b)
	return a == b || errA == nil && errB == nil && x == y
}
