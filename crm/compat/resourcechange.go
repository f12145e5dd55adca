package compat

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/quorate/quorate/crm/api/editor"
	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/policy/model"
	"github.com/quorate/quorate/crm/rule"
	"github.com/quorate/quorate/crm/rule/iso8601"
	"github.com/quorate/quorate/crm/store/command"
)

// localTime formats seconds since 1970 as the C library's ctime does.
func localTime(seconds int64) string {
	return time.Unix(seconds, 0).Format("Mon Jan _2 15:04:05 2006")
}

// setParameter sets or deletes one value of a resource.
func (o *resourceOptions) setParameter(c *cluster) error {
	var said string
	err := c.change(o.message()+" "+o.argument, func(doc *cib.Document) error {
		said = ""
		r, parent, err := findResource(doc, o.id)
		if err != nil {
			return err
		}
		list, kind := &r.Params, "instance_attributes"
		switch {
		case o.meta:
			// A clone carries the meta-attributes of its instances.
			if parent != nil && parent.Kind == cib.Clone && !o.force {
				said = fmt.Sprintf("Performing update of '%s' on '%s', the parent of '%s'\n", o.argument, parent.ID, r.ID)
				r = parent
			}
			list, kind = &r.Meta, "meta_attributes"
		case o.util:
			list, kind = &r.Utilization, "utilization"
		}
		if !o.meta && r.Kind != cib.Primitive && r.Kind != cib.Template {
			return coded(exitUsage, "%s is a %s: only primitives have %s; use --meta for meta-attributes", r.ID, r.Kind, kind)
		}
		text, err := o.edit(doc, r, list, r.ID+"-"+kind)
		said += text
		return err
	})
	if err == nil && !o.quiet {
		o.printf("%s", said)
	}
	return err
}

// edit changes one value in a list of sets and says what it did.
func (o *resourceOptions) edit(doc *cib.Document, r *cib.Resource, list *[]cib.AttributeSet, setID string) (string, error) {
	one := *list
	if o.set != "" || o.nvpair != "" {
		one = nil
		for i := range *list {
			if s := &(*list)[i]; (o.set == "" || s.ID == o.set) && (o.nvpair == "" || slices.ContainsFunc(s.Pairs, func(p cib.NVPair) bool { return p.ID == o.nvpair })) {
				one = append(one, *s)
			}
		}
		if o.set != "" {
			setID = o.set
		}
	}
	name := o.argument
	if o.what == "delete-parameter" {
		id := valueID(one, name)
		if id == "" {
			return "", nil
		}
		for i := range *list {
			s := &(*list)[i]
			s.Pairs = slices.DeleteFunc(s.Pairs, func(p cib.NVPair) bool { return p.ID == id })
		}
		return fmt.Sprintf("Deleted '%s' option: id=%s name=%s\n", r.ID, id, name), nil
	}
	old := valueID(one, name)
	if old != "" {
		for i := range *list {
			for j := range (*list)[i].Pairs {
				if p := &(*list)[i].Pairs[j]; p.ID == old {
					p.Value, p.NoValue = o.value, false
				}
			}
		}
		return fmt.Sprintf("Set '%s' option: id=%s name=%s value=%s\n", r.ID, old, name, o.value), nil
	}
	if o.set != "" {
		setIn(&doc.Config, list, o.set, name, o.value)
	} else {
		cib.SetValue(&doc.Config, list, setID, name, o.value)
	}
	id := ""
	for i := range *list {
		if x := valueID((*list)[i:i+1], name); x != "" && (id == "" || (*list)[i].ID == o.set) {
			id, setID = x, (*list)[i].ID
		}
	}
	return fmt.Sprintf("Set '%s' option: id=%s set=%s name=%s value=%s\n", r.ID, id, setID, name, o.value), nil
}

// valueID is the id of the first value of that name; "" = none.
func valueID(list []cib.AttributeSet, name string) string {
	for i := range list {
		for _, p := range list[i].Pairs {
			if p.Name == name {
				return p.ID
			}
		}
	}
	return ""
}

// place makes the constraint of --move or --ban.
func (o *resourceOptions) place(c *cluster, r *model.Resource) error {
	end, err := o.constraintEnd()
	if err != nil {
		return err
	}
	places := activeOn(r, false)
	if o.node == "" || o.what == "move" && o.force && !slices.Contains(places, o.node) {
		here, err := o.here(r, places)
		if err != nil {
			return err
		}
		if err := o.banFrom(c, r, here, end); err != nil || o.node == "" {
			return err
		}
	}
	if o.what == "ban" {
		return o.banFrom(c, r, o.node, end)
	}
	if slices.Equal(places, []string{o.node}) && !o.force && !o.promoted {
		return coded(exitExists, "Error performing operation: Requested item already exists: %s is on %s already", o.id, o.node)
	}
	return c.change(o.message()+" to "+o.node, func(doc *cib.Document) error {
		ban := "cli-ban-" + o.id + "-on-" + o.node
		doc.Config.Constraints = slices.DeleteFunc(doc.Config.Constraints, func(k cib.Constraint) bool { return k.ID == ban })
		return o.constrain(doc, "prefer", "cli-prefer-"+o.id, o.node, "INFINITY", end)
	})
}

// here is the node that --move and --ban mean when they name none.
func (o *resourceOptions) here(r *model.Resource, places []string) (string, error) {
	if promoted := activeOn(r, true); len(places) != 1 && len(promoted) == 1 {
		return promoted[0], nil
	}
	if len(places) == 1 {
		return places[0], nil
	}
	return "", coded(exitUsage, "Resource '%s' not moved: active in %d locations.\nTo prevent '%s' from running on a specific location, specify a node.",
		o.id, len(places), o.id)
}

// activeOn lists the nodes where r runs, or where it is promoted.
func activeOn(r *model.Resource, promoted bool) (names []string) {
	eachPrimitive(r, func(p *model.Resource) {
		for _, n := range p.Active {
			if (!promoted || p.Role == model.RolePromoted) && !slices.Contains(names, n.Name) {
				names = append(names, n.Name)
			}
		}
	})
	slices.Sort(names)
	return names
}

func (o *resourceOptions) banFrom(c *cluster, r *model.Resource, node, end string) error {
	id := "cli-ban-" + o.id + "-on-" + node
	err := c.change(o.message()+" from "+node, func(doc *cib.Document) error {
		return o.constrain(doc, "ban", id, node, "-INFINITY", end)
	})
	if err == nil && !o.quiet {
		what := "running"
		if o.promoted {
			what = "being promoted"
		}
		o.printf("WARNING: Creating rsc_location constraint '%s' with a score of -INFINITY for resource %s on %s.\n"+
			"\tThis will prevent %s from %s on %s until the constraint is removed using the clear option or by editing the CIB with an appropriate tool\n"+
			"\tThis will be the case even if %s is the last node in the cluster\n", id, o.id, node, o.id, what, node, node)
	}
	return err
}

// constrain puts a location constraint in place of an older one with the same id.
func (o *resourceOptions) constrain(doc *cib.Document, what, id, node, score, end string) error {
	r, _, err := findResource(doc, o.id)
	if err != nil {
		return err
	}
	k := cib.Constraint{Kind: cib.Location, ID: id, Resource: r.ID, Role: "Started"}
	if o.promoted {
		k.Role = "Promoted"
	}
	if end == "" {
		k.Node, k.Score = node, score
	} else {
		k.Rules = []rule.Rule{{ID: "cli-" + what + "-rule-" + r.ID, Score: score, BooleanOp: "and", Conditions: []rule.Condition{
			{Attribute: &rule.AttributeExpression{ID: "cli-" + what + "-expr-" + r.ID, Attribute: "#uname", Operation: "eq", Value: node, HasValue: true, Type: "string"}},
			{Date: &rule.DateExpression{ID: "cli-" + what + "-lifetime-end-" + r.ID, Operation: "lt", End: end}},
		}}}
	}
	doc.Config.Constraints = slices.DeleteFunc(doc.Config.Constraints, func(x cib.Constraint) bool { return x.ID == id })
	doc.Config.Constraints = append(doc.Config.Constraints, k)
	return nil
}

// constraintEnd is when the constraint ends by --lifetime; "" = never.
func (o *resourceOptions) constraintEnd() (string, error) {
	if o.lifetime == "" {
		return "", nil
	}
	d, err := iso8601.ParseDuration(o.lifetime)
	if err != nil {
		return "", coded(exitUsage, "--lifetime %s: %w", o.lifetime, err)
	}
	end := d.AddTo(time.Now().UTC()).Format("2006-01-02 15:04:05Z")
	if !o.quiet {
		o.printf("Migration will take effect until: %s\n", end)
	}
	return end, nil
}

// clear takes back what --move and --ban did.
func (o *resourceOptions) clear(c *cluster) error {
	var gone []string
	err := c.change(o.message(), func(doc *cib.Document) error {
		gone = nil
		doc.Config.Constraints = slices.DeleteFunc(doc.Config.Constraints, func(k cib.Constraint) bool {
			if !o.clears(&k) {
				return false
			}
			gone = append(gone, k.ID)
			return true
		})
		return nil
	})
	if err == nil && !o.quiet {
		for _, id := range gone {
			o.printf("Removing constraint: %s\n", id)
		}
	}
	return err
}

// clears reports whether --clear removes the constraint.
func (o *resourceOptions) clears(k *cib.Constraint) bool {
	prefer, ban := k.ID == "cli-prefer-"+o.id, strings.HasPrefix(k.ID, "cli-ban-"+o.id+"-on-")
	node, end := k.Node, ""
	for i := range k.Rules {
		for _, x := range k.Rules[i].Conditions {
			if x.Attribute != nil && x.Attribute.Attribute == "#uname" {
				node = x.Attribute.Value
			}
			if x.Date != nil {
				end = x.Date.End
			}
		}
	}
	switch {
	case k.Kind != cib.Location || !prefer && !ban || k.Resource != o.id:
		return false
	case o.promoted && k.Role != "Promoted" && k.Role != "Master":
		return false
	case o.node != "" && !strings.EqualFold(node, o.node) && !(prefer && o.force):
		return false
	case !o.expired:
		return true
	}
	t, err := iso8601.ParseDate(end, time.Now(), time.Local)
	return err == nil && t.Before(time.Now())
}

// delete removes a resource of the named kind.
func (o *resourceOptions) delete(c *cluster) error {
	if o.kind == "" {
		return coded(exitNoSuch, "You need to specify a resource type with -t")
	}
	return c.change(o.message(), func(doc *cib.Document) error {
		var from func(list []*cib.Resource) []*cib.Resource
		from = func(list []*cib.Resource) []*cib.Resource {
			list = slices.DeleteFunc(list, func(r *cib.Resource) bool { return r.ID == o.id && r.Kind.String() == o.kind })
			for _, r := range list {
				r.Members = from(r.Members)
			}
			return list
		}
		doc.Config.Resources = from(doc.Config.Resources)
		return nil
	})
}

// cleanup forgets history, so that the cluster looks again.
func (o *resourceOptions) cleanup(c *cluster, v *model.Cluster, r *model.Resource) error {
	f := command.Forget{Node: o.node, OnlyFailed: o.what == "cleanup"}
	if o.interval != "" || o.operation != "" {
		ms, err := parseInterval(o.interval)
		if err != nil {
			return coded(exitUsage, "--interval: %w", err)
		}
		f.Operation, f.IntervalMS = o.operation, ms
	}
	names := []string{""}
	if r != nil {
		names = historyNames(c.doc, o.top(r))
	}
	for _, name := range names {
		f.Resource = name
		if err := c.forget(f); err != nil {
			return err
		}
		o.sayForgotten(c, v, name)
	}
	return nil
}

// historyNames are the names under which the history may know the primitives of r.
func historyNames(doc *cib.Document, r *model.Resource) (names []string) {
	add := func(name string) {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	eachPrimitive(r, func(p *model.Resource) {
		add(p.ConfigID)
		for i := range doc.Status.Nodes {
			for _, h := range doc.Status.Nodes[i].History {
				if base, _, numbered := strings.Cut(h.ID, ":"); numbered && base == p.ConfigID {
					add(h.ID)
				}
			}
		}
	})
	return names
}

func (o *resourceOptions) sayForgotten(c *cluster, v *model.Cluster, name string) {
	for _, n := range v.Nodes {
		switch {
		case o.node != "" && n.Name != o.node:
		case c.client == nil && name != "":
			o.warn("Dry run: skipping clean-up of %s on %s due to CIB_file", name, n.Name)
		case c.client == nil:
			o.printf("Dry run: skipping clean-up of all nodes due to CIB_file\n")
			return
		case name == "":
			o.printf("Cleaned up all resources on %s\n", n.Name)
		default:
			o.printf("Cleaned up %s on %s\n", name, n.Name)
		}
	}
}

// forget has the cluster forget history; on a file it does nothing, as with the field's tools.
func (c *cluster) forget(f command.Forget) error {
	if c.client == nil {
		return nil
	}
	return c.propose(&command.Entry{Kind: command.KindForget, Forget: &f})
}

// parseInterval reads an interval of an operation in milliseconds; "" = 0.
func parseInterval(s string) (int64, error) {
	if s == "" || strings.Trim(s, "0ms ") == "" {
		return 0, nil
	}
	return cib.ParseTimeout(s)
}

// waitIdle waits until the cluster has nothing more to do.
func (c *cluster) waitIdle(limit time.Duration) error {
	live, ok := c.backend.(*editor.Live)
	if !ok {
		return errNeedsCluster
	}
	// The wait has a limit of its own, which may be longer than that of the tool's requests.
	err := live.WaitIdle(context.Background(), limit)
	var busy *editor.BusyError
	if errors.As(err, &busy) {
		return &codeError{exitTimeout, err}
	}
	return err
}

// restart stops a resource by its target-role, waits, and lets it go again.
func (o *resourceOptions) restart(c *cluster, v *model.Cluster, r *model.Resource) error {
	if len(activeOn(r, false)) == 0 {
		return coded(exitNoSuch, "%s is not running anywhere and so cannot be restarted", o.id)
	}
	if c.client == nil {
		return errNeedsCluster
	}
	deadline := time.Now().Add(o.timeout)
	var before string
	var had bool
	set := func(value string, present bool) error {
		return c.change(o.message(), func(doc *cib.Document) error {
			x, parent, err := findResource(doc, o.id)
			if err != nil {
				return err
			}
			if parent != nil && parent.Kind == cib.Clone && !o.force {
				x = parent
			}
			if value == "Stopped" && present {
				before, had = cib.Value(x.Meta, "target-role")
			}
			if present {
				cib.SetValue(&doc.Config, &x.Meta, x.ID+"-meta_attributes", "target-role", value)
				return nil
			}
			cib.DeleteValue(x.Meta, "target-role")
			x.Meta = slices.DeleteFunc(x.Meta, func(s cib.AttributeSet) bool { return len(s.Pairs)+len(s.Rules) == 0 && s.IDRef == "" })
			return nil
		})
	}
	if err := set("Stopped", true); err != nil {
		return err
	}
	stopped := c.waitIdle(time.Until(deadline))
	// It is let go again also when the stop took too long.
	if err := set(before, had); err != nil || stopped != nil {
		return errors.Join(stopped, err)
	}
	return c.waitIdle(time.Until(deadline))
}

// agents lists agents, or shows the metadata of one, as the node's runner finds them.
func (o *resourceOptions) agents(c *cluster) error {
	if c.client == nil {
		return errNeedsCluster
	}
	switch o.what {
	case "metadata":
		data, err := c.client.Metadata(c.ctx, o.argument)
		if err != nil {
			return err
		}
		o.printf("%s", data)
		if o.xml != nil {
			o.element("metadata", string(data))
		}
		return nil
	case "standards":
		var found []string
		for _, class := range []string{"lsb", "ocf", "service", "stonith", "systemd"} {
			if list, err := c.client.Agents(c.ctx, class); err == nil && len(list) > 0 {
				found = append(found, class)
			}
		}
		o.list("standards", "standard", found)
		return nil
	}
	class, provider, _ := strings.Cut(o.argument, ":")
	if o.what != "agents" {
		class = "ocf"
	}
	list, err := c.client.Agents(c.ctx, class)
	if err != nil {
		return err
	}
	var found []string
	for _, ref := range list {
		parts := strings.Split(ref, ":")
		name := parts[len(parts)-1]
		switch {
		case o.what == "agents" && (provider == "" || len(parts) == 3 && parts[1] == provider):
			found = append(found, name)
		case o.what == "providers" && len(parts) == 3:
			found = append(found, parts[1])
		case o.what == "alternatives" && len(parts) == 3 && name == o.argument:
			found = append(found, parts[1])
		}
	}
	slices.Sort(found)
	found = slices.Compact(found)
	if len(found) == 0 {
		return coded(exitNoSuch, "No agents found for %s", o.argument)
	}
	o.list(o.what, strings.TrimSuffix(o.what, "s"), found)
	return nil
}
