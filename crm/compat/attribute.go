package compat

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/store/command"
)

// attributeOptions are the options of crm_attribute and crm_master.
type attributeOptions struct {
	name, value, node, kind, lifetime, set, fallback string
	promotion, update, del, query, quiet, util, dflt bool
	resource                                         string // of a promotion score
}

func (o *attributeOptions) table() []option {
	update := func(s string) error { o.value, o.update = s, true; return nil }
	return []option{
		{short: 'n', long: "name", value: true, arg: "NAME", help: "the attribute or cluster option", set: text(&o.name)},
		{short: 'p', long: "promotion", optional: true, help: "the promotion score of a resource (default: OCF_RESOURCE_INSTANCE)",
			set: func(s string) error { o.promotion, o.resource = true, s; return nil }},
		{short: 'G', long: "query", help: "show the value", set: flag(&o.query)},
		{short: 'v', long: "update", value: true, arg: "VALUE", help: "set the value", set: update},
		{short: 'D', long: "delete", help: "delete the value", set: flag(&o.del)},
		{short: 'd', long: "default", value: true, arg: "VALUE", help: "what to show where there is no value",
			set: func(s string) error { o.fallback, o.dflt = s, true; return nil }},
		{short: 'q', long: "quiet", help: "show the value only", set: flag(&o.quiet)},
		{short: 'Q', help: "the same as -q", set: flag(&o.quiet)},
		{short: 'N', long: "node", value: true, arg: "NODE", help: "of this node (default: where the command runs)", set: text(&o.node)},
		{short: 'U', long: "uname", value: true, arg: "NODE", help: "the same as --node", set: text(&o.node)},
		{short: 'l', long: "lifetime", value: true, arg: "LIFETIME", help: "reboot: until the node restarts; forever: part of the configuration", set: text(&o.lifetime)},
		{short: 't', long: "type", value: true, arg: "SECTION", help: "crm_config, nodes, status, rsc_defaults or op_defaults", set: text(&o.kind)},
		{short: 's', long: "set-name", value: true, arg: "ID", help: "in the set with this id", set: text(&o.set)},
		{short: 'z', long: "utilization", help: "a utilization attribute of the node", set: flag(&o.util)},
	}
}

// section says where the attribute lives: status, nodes, crm_config, rsc_defaults or op_defaults.
func (o *attributeOptions) section() (string, error) {
	switch o.lifetime {
	case "", "reboot", "forever":
	default:
		return "", &usageError{fmt.Sprintf("lifetime %q is none of reboot, forever", o.lifetime)}
	}
	switch o.kind {
	case "crm_config", "rsc_defaults", "op_defaults":
		return o.kind, nil
	case "status", "reboot":
		return "status", nil
	case "nodes", "":
		switch {
		case o.lifetime == "reboot", o.promotion && o.lifetime == "" && o.kind == "":
			return "status", nil
		case o.kind == "" && o.node == "" && o.lifetime == "" && !o.util:
			return "crm_config", nil
		}
		return "nodes", nil
	}
	return "", &usageError{fmt.Sprintf("type %q is none of crm_config, nodes, status, rsc_defaults, op_defaults", o.kind)}
}

func crmAttribute(io IO, args []string) int {
	return attribute(&frame{"crm_attribute", "show and change node attributes and cluster options", io}, &attributeOptions{}, args)
}

// crmMaster is crm_attribute for the promotion score of the resource whose agent calls it.
func crmMaster(io IO, args []string) int {
	return attribute(&frame{"crm_master", "show and change the promotion score of the resource OCF_RESOURCE_INSTANCE", io},
		&attributeOptions{promotion: true}, args)
}

func attribute(f *frame, o *attributeOptions, args []string) int {
	rest, code, done := f.parse(args, o.table())
	switch {
	case done:
		return code
	case len(rest) > 0:
		return f.fail(exitUsage, "unexpected argument %q; see %s --help", rest[0], f.name)
	case o.promotion:
		if o.resource == "" {
			o.resource = os.Getenv("OCF_RESOURCE_INSTANCE")
		}
		if o.resource == "" {
			return f.fail(exitUsage, "no resource: name one with --promotion=RESOURCE, or have an agent call this, which has OCF_RESOURCE_INSTANCE")
		}
		o.name = "master-" + o.resource
	case o.name == "":
		return f.fail(exitUsage, "no attribute: name one with --name NAME")
	}
	if o.update && o.del || o.query && (o.update || o.del) {
		return f.fail(exitUsage, "only one of --query, --update and --delete")
	}
	section, err := o.section()
	if err != nil {
		return f.fail(exitUsage, "%v; see %s --help", err, f.name)
	}
	c, end, err := open()
	if err != nil {
		return f.failed(err)
	}
	defer end()
	if section == "nodes" || section == "status" {
		if o.node, err = c.node(o.node); err != nil {
			return f.failed(err)
		}
	}
	switch {
	case section == "status" && (o.update || o.del):
		err = c.setTransient(command.Attribute{Node: o.node, Name: o.name, Value: o.value, Delete: o.del})
	case o.update || o.del:
		err = c.change(f.name+" "+o.name, func(doc *cib.Document) error {
			list, setID, err := o.sets(doc, section)
			if err != nil {
				return err
			}
			switch {
			case o.del && o.set != "":
				for i := range *list {
					if (*list)[i].ID == o.set {
						cib.DeleteValue((*list)[i:i+1], o.name)
					}
				}
			case o.del:
				cib.DeleteValue(*list, o.name)
			case o.set != "":
				setIn(&doc.Config, list, setID, o.name, o.value)
			default:
				cib.SetValue(&doc.Config, list, setID, o.name, o.value)
			}
			return nil
		})
	default:
		return o.show(f, c, section)
	}
	if err != nil {
		return f.failed(err)
	}
	return exitOK
}

func (o *attributeOptions) show(f *frame, c *cluster, section string) int {
	list, _, err := o.sets(c.doc, section)
	if err != nil {
		return f.failed(err)
	}
	sets := *list
	if o.set != "" {
		sets = slices.DeleteFunc(slices.Clone(sets), func(s cib.AttributeSet) bool { return s.ID != o.set })
	}
	value, ok := cib.Value(sets, o.name)
	switch {
	case !ok && !o.dflt:
		return f.failed(fmt.Errorf("%s: %w", o.name, errNotSet))
	case !ok:
		value = o.fallback
	}
	if o.quiet {
		fmt.Fprintln(f.io.Out, value)
	} else {
		// Two blanks, as agents parse it.
		fmt.Fprintf(f.io.Out, "scope=%s  name=%s value=%s\n", section, o.name, value)
	}
	return exitOK
}

// setIn sets a value in the set with the id, which is made when there is none: a value of the same name in another set
// is another value.
func setIn(c *cib.Configuration, list *[]cib.AttributeSet, setID, name, value string) {
	i := slices.IndexFunc(*list, func(s cib.AttributeSet) bool { return s.ID == setID })
	if i < 0 {
		*list = append(*list, cib.AttributeSet{ID: setID})
		i = len(*list) - 1
	}
	set := &(*list)[i]
	for j := range set.Pairs {
		if p := &set.Pairs[j]; p.Name == name && p.IDRef == "" {
			p.Value, p.NoValue = value, false
			return
		}
	}
	taken := make(map[string]bool)
	cib.EachID(c, func(id, _ string, _ cib.Pos) { taken[id] = true })
	id := setID + "-" + name
	for n := 1; taken[id]; n++ {
		id = fmt.Sprintf("%s-%s-%d", setID, name, n)
	}
	set.Pairs = append(set.Pairs, cib.NVPair{ID: id, Name: name, Value: value})
}

// sets returns the sets of a section, and the id that a new one there gets.
func (o *attributeOptions) sets(doc *cib.Document, section string) (list *[]cib.AttributeSet, id string, err error) {
	switch section {
	case "crm_config":
		list, id = &doc.Config.Properties, cib.BootstrapSet
	case "rsc_defaults":
		list, id = &doc.Config.ResourceDefaults, "rsc-options"
	case "op_defaults":
		list, id = &doc.Config.OpDefaults, "op-options"
	case "status":
		for i := range doc.Status.Nodes {
			if n := &doc.Status.Nodes[i]; strings.EqualFold(n.Name, o.node) {
				if o.util {
					return &n.Utilization, "", nil
				}
				return &n.Attributes, "", nil
			}
		}
		return new([]cib.AttributeSet), "", nil
	default:
		for i := range doc.Config.Nodes {
			n := &doc.Config.Nodes[i]
			if !strings.EqualFold(n.Name, o.node) {
				continue
			}
			list, id = &n.Attributes, "nodes-"+n.ID
			if o.util {
				list, id = &n.Utilization, "nodes-"+n.ID+"-utilization"
			}
		}
		if list == nil {
			return nil, "", fmt.Errorf("node %s: %w", o.node, errNotSet)
		}
	}
	if o.set != "" {
		id = o.set
	}
	return list, id, nil
}
