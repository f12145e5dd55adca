package cib

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/quorate/quorate/crm/rule"
)

// Describe returns changes of old in words. There is a line for each object that is added ("+ primitive
// vip"), removed ("- location l1") or moved ("> group g (order)"), and for each value of a changed object ("~
// primitive web: params configfile: /etc/a -> /etc/b"). Values of parameters that hold passwords or keys by
// their name are not shown.
func Describe(old *Document, changes []Change) []string {
	was := make(map[string]Object)
	Objects(&old.Config, func(kind, id string, o Object) { was[ObjectKey(kind, id)] = o })
	var out []string
	for i := range changes {
		c := &changes[i]
		before, had := was[c.Key()]
		switch {
		case c.Object == nil:
			out = append(out, "- "+title(c, &before))
		case !had:
			out = append(out, "+ "+title(c, c.Object))
		default:
			name := title(c, c.Object)
			lines := differences(before, *c.Object)
			for _, line := range lines {
				out = append(out, "~ "+name+": "+line)
			}
			if len(lines) == 0 && !before.Equal(c.Object) {
				out = append(out, "~ "+name+": ids or notes only")
			}
			if c.Place != PlaceKeep {
				out = append(out, "> "+name+" (order)")
			}
		}
	}
	return out
}

// title names the object of a change as people call it.
func title(c *Change, o *Object) string {
	kind := c.Kind
	switch {
	case o.Resource != nil:
		kind = o.Resource.Kind.String()
	case o.Constraint != nil:
		kind = o.Constraint.Kind.String()
	}
	if c.ID == "" {
		return kind
	}
	return kind + " " + c.ID
}

type line struct {
	key, value string
	secret     bool // the value must not be shown
}

func (l line) shown() string {
	if l.secret {
		return "(hidden)"
	}
	return shown(l.value)
}

// said is the line with its value, where it has one.
func (l line) said() string {
	if l.value == "" && !l.secret {
		return l.key
	}
	return l.key + ": " + l.shown()
}

// differences returns one line for each value in which two objects differ, without ids of parts.
func differences(a, b Object) []string {
	before, after := lines(&a), lines(&b)
	old := make(map[string]line, len(before))
	for _, l := range before {
		old[l.key] = l
	}
	var out []string
	seen := make(map[string]bool, len(after))
	for _, l := range after {
		seen[l.key] = true
		was, had := old[l.key]
		switch {
		case !had:
			out = append(out, l.said()+" added")
		case was.value != l.value:
			out = append(out, l.key+": "+was.shown()+" -> "+l.shown())
		}
	}
	for _, l := range before {
		if !seen[l.key] {
			out = append(out, l.said()+" removed")
		}
	}
	return out
}

// shown makes a value fit for a line.
func shown(value string) string {
	const most = 200
	if value == "" || strings.ContainsFunc(value, func(r rune) bool { return r < ' ' }) || value != strings.TrimSpace(value) {
		value = strconv.Quote(value)
	}
	if len(value) > most {
		value = strings.ToValidUTF8(value[:most], "") + "..."
	}
	return value
}

// flattener gathers the values of an object with readable keys, each key once.
type flattener struct {
	out  []line
	seen map[string]int
}

func (f *flattener) add(key, value string) {
	if value == "" {
		return
	}
	f.always(key, value)
}

func (f *flattener) always(key, value string) {
	if f.seen == nil {
		f.seen = make(map[string]int)
	}
	f.seen[key]++
	if n := f.seen[key]; n > 1 {
		key += " #" + strconv.Itoa(n)
	}
	f.out = append(f.out, line{key: key, value: value})
}

func (f *flattener) attrs(prefix string, list []Attr) {
	for _, a := range list {
		f.always(prefix+a.Name, a.Value)
	}
}

func (f *flattener) sets(prefix string, list []AttributeSet) {
	for i := range list {
		s := &list[i]
		name := prefix
		if len(list) > 1 {
			name += "[" + cmp.Or(s.ID, s.IDRef, strconv.Itoa(i+1)) + "]"
		}
		f.add(name+" id-ref", s.IDRef)
		f.add(name+" score", s.Score)
		for j := range s.Rules {
			f.always(name+" rule", ruleText(&s.Rules[j], 0))
		}
		for _, p := range s.Pairs {
			switch {
			case p.IDRef != "":
				f.always(strings.TrimSpace(name+" "+p.Name)+" id-ref", p.IDRef)
			case p.NoValue:
				f.always(strings.TrimSpace(name+" "+p.Name), "(no value)")
			default:
				f.always(strings.TrimSpace(name+" "+p.Name), p.Value)
				f.out[len(f.out)-1].secret = SecretName(p.Name) && !IsReference(p.Value)
			}
		}
	}
}

// ruleText returns a rule in one line.
func ruleText(r *rule.Rule, depth int) string {
	if r.IDRef != "" {
		return "id-ref " + r.IDRef
	}
	if depth > rule.MaxDepth {
		return "..."
	}
	var parts []string
	for i := range r.Conditions {
		switch c := &r.Conditions[i]; {
		case c.Rule != nil:
			parts = append(parts, "("+ruleText(c.Rule, depth+1)+")")
		case c.Attribute != nil:
			x := c.Attribute
			text := x.Attribute + " " + x.Operation
			if x.Type != "" {
				text += " " + x.Type + ":"
			}
			if x.ValueSource != "" {
				text += " " + x.ValueSource + ":"
			}
			if x.HasValue {
				text += " " + shown(x.Value)
			}
			parts = append(parts, text)
		case c.Date != nil:
			x := c.Date
			text := "date " + cmp.Or(x.Operation, "in_range")
			for _, p := range [][2]string{{"start", x.Start}, {"end", x.End}} {
				if p[1] != "" {
					text += " " + p[0] + "=" + p[1]
				}
			}
			if d := x.Duration; d != nil {
				text += fields("duration", [][2]string{{"years", d.Years}, {"months", d.Months}, {"weeks", d.Weeks}, {"days", d.Days}, {"hours", d.Hours}, {"minutes", d.Minutes}, {"seconds", d.Seconds}})
			}
			if s := x.Spec; s != nil {
				text += fields("spec", [][2]string{{"years", s.Years}, {"months", s.Months}, {"monthdays", s.MonthDays}, {"hours", s.Hours}, {"minutes", s.Minutes}, {"seconds", s.Seconds},
					{"yeardays", s.YearDays}, {"weekyears", s.WeekYears}, {"weeks", s.Weeks}, {"weekdays", s.WeekDays}, {"moon", s.Moon}})
			}
			parts = append(parts, text)
		case c.Resource != nil:
			parts = append(parts, "resource"+fields("", [][2]string{{"class", c.Resource.Class}, {"provider", c.Resource.Provider}, {"type", c.Resource.Type}}))
		case c.Operation != nil:
			parts = append(parts, "operation"+fields("", [][2]string{{"name", c.Operation.Name}, {"interval", c.Operation.Interval}}))
		}
	}
	text := strings.Join(parts, " "+cmp.Or(strings.ToLower(r.BooleanOp), "and")+" ")
	for _, p := range [][2]string{{"role", r.Role}, {"score", r.Score}, {"score-attribute", r.ScoreAttribute}} {
		if p[1] != "" {
			text += " [" + p[0] + " " + p[1] + "]"
		}
	}
	return strings.TrimSpace(text)
}

func fields(name string, list [][2]string) string {
	text := ""
	if name != "" {
		text = " " + name
	}
	for _, p := range list {
		if p[1] != "" {
			text += " " + p[0] + "=" + p[1]
		}
	}
	return text
}

// lines returns the values of an object.
func lines(o *Object) []line {
	var f flattener
	switch {
	case o.Cluster != nil:
		for _, l := range o.Cluster.Links {
			f.always("link "+l.Name, fmt.Sprintf("priority %d, disabled %v", l.Priority, l.Disabled))
		}
		t := o.Cluster.Timing
		f.add("timing profile", t.Profile)
		f.add("timing heartbeat", t.Heartbeat)
		f.add("timing dead-after", t.DeadAfter)
		f.add("timing quorum-timeout", t.QuorumTimeout)
		f.add("ports stream", number(o.Cluster.Ports.Stream))
		f.add("ports datagram", number(o.Cluster.Ports.Datagram))
	case o.Set != nil:
		f.sets("", []AttributeSet{*o.Set})
	case o.Node != nil:
		n := o.Node
		f.add("id", n.ID)
		f.add("type", n.Type)
		f.add("score", n.Score)
		f.add("description", n.Description)
		f.sets("attributes", n.Attributes)
		f.sets("utilization", n.Utilization)
		for _, l := range n.Links {
			f.always("link "+l.Link, l.Address)
		}
		f.add("witness", truth(n.Witness))
		f.add("voter", n.Voter)
		f.attrs("", n.Extra)
	case o.Resource != nil:
		f.resource("", o.Resource, 0)
	case o.Constraint != nil:
		f.constraint(o.Constraint)
	case o.Level != nil:
		l := o.Level
		f.add("target", l.Target)
		f.add("target-pattern", l.TargetPattern)
		f.add("target-attribute", l.TargetAttribute)
		f.add("target-value", l.TargetValue)
		f.add("index", l.Index)
		f.add("devices", strings.Join(l.Devices, ", "))
		f.attrs("", l.Extra)
	case o.Tag != nil:
		f.add("refs", strings.Join(o.Tag.Refs, ", "))
	case o.Role != nil:
		f.add("description", o.Role.Description)
		f.permissions(o.Role.Permissions)
	case o.User != nil:
		f.add("roles", strings.Join(o.User.RoleRefs, ", "))
		f.permissions(o.User.Permissions)
	case o.Target != nil:
		f.add("name", o.Target.Name)
		f.add("roles", strings.Join(o.Target.Roles, ", "))
	case o.Alert != nil:
		a := o.Alert
		f.add("description", a.Description)
		f.add("path", a.Path)
		f.sets("params", a.Params)
		f.sets("meta", a.Meta)
		if s := a.Select; s != nil {
			var what []string
			for _, x := range []struct {
				on   bool
				name string
			}{{s.Nodes, "nodes"}, {s.Fencing, "fencing"}, {s.Resources, "resources"}, {s.AttributesOn, "attributes"}} {
				if x.on {
					what = append(what, x.name)
				}
			}
			for _, x := range s.Attributes {
				what = append(what, x.Name)
			}
			f.always("select", strings.Join(what, ", "))
		}
		for _, r := range a.Recipients {
			prefix := "recipient " + r.ID
			f.always(prefix, r.Value)
			f.add(prefix+" description", r.Description)
			f.sets(prefix+" params", r.Params)
			f.sets(prefix+" meta", r.Meta)
		}
	case o.Unknown != nil:
		f.always("xml", o.Unknown.XML)
	}
	return f.out
}

func number(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

func truth(b bool) string {
	if b {
		return "true"
	}
	return ""
}

func (f *flattener) resource(prefix string, r *Resource, depth int) {
	if depth > maxNesting {
		return
	}
	if r.Class != "" || r.Type != "" {
		agent := r.Class + ":" + r.Type
		if r.Provider != "" {
			agent = r.Class + ":" + r.Provider + ":" + r.Type
		}
		f.always(prefix+"agent", agent)
	}
	f.add(prefix+"template", r.Template)
	f.add(prefix+"description", r.Description)
	f.add(prefix+"legacy master", truth(r.LegacyMaster))
	f.sets(prefix+"params", r.Params)
	f.sets(prefix+"meta", r.Meta)
	f.sets(prefix+"utilization", r.Utilization)
	f.add(prefix+"operations id-ref", r.Operations.IDRef)
	f.sets(prefix+"operations", r.Operations.Attributes)
	for i := range r.Operations.List {
		op := &r.Operations.List[i]
		name := prefix + "op " + cmp.Or(op.Name, op.IDRef)
		if op.Interval != "" && op.Interval != "0" && op.Interval != "0s" {
			name += " " + op.Interval
		}
		f.always(name, strings.TrimSpace(fields("", attrFields(op.Extra))+" "))
		f.sets(name+" params", op.Params)
		f.sets(name+" meta", op.Meta)
	}
	if b := r.Bundle; b != nil {
		f.add(prefix+"engine", b.Engine)
		f.attrs(prefix, b.Attributes)
		f.add(prefix+"network", truth(b.HasNetwork))
		f.attrs(prefix+"network ", b.Network)
		for _, p := range b.Ports {
			f.always(prefix+"port-mapping "+p.ID, strings.TrimSpace(fields("", [][2]string{{"port", p.Port}, {"internal-port", p.InternalPort}, {"range", p.Range}})))
		}
		f.add(prefix+"storage", truth(b.HasStorage))
		for _, m := range b.Storage {
			f.always(prefix+"storage-mapping "+m.ID, strings.TrimSpace(fields("", [][2]string{{"source-dir", m.SourceDir}, {"source-dir-root", m.SourceDirRoot}, {"target-dir", m.TargetDir}, {"options", m.Options}})))
		}
	}
	f.attrs(prefix, r.Extra)
	if len(r.Members) > 0 {
		ids := make([]string, len(r.Members))
		for i, m := range r.Members {
			ids[i] = m.ID
		}
		f.always(prefix+"members", strings.Join(ids, ", "))
		for _, m := range r.Members {
			f.resource(prefix+m.Kind.String()+" "+m.ID+" ", m, depth+1)
		}
	}
	for _, u := range r.Unknown {
		f.always(prefix+"unknown", u.XML)
	}
}

func attrFields(list []Attr) [][2]string {
	out := make([][2]string, len(list))
	for i, a := range list {
		out[i] = [2]string{a.Name, a.Value}
	}
	slices.SortFunc(out, func(a, b [2]string) int { return strings.Compare(a[0], b[0]) })
	return out
}

func (f *flattener) constraint(c *Constraint) {
	for _, p := range [][2]string{
		{"resource", c.Resource}, {"pattern", c.Pattern}, {"score", c.Score}, {"score-attribute", c.ScoreAttribute}, {"role", c.Role},
		{"node", c.Node}, {"resource-discovery", c.Discovery}, {"with", c.With}, {"with-role", c.WithRole}, {"node-attribute", c.NodeAttribute},
		{"influence", c.Influence}, {"instance", c.Instance}, {"with-instance", c.WithInstance}, {"first", c.First}, {"first-action", c.FirstAction},
		{"first-instance", c.FirstInstance}, {"then", c.Then}, {"then-action", c.ThenAction}, {"then-instance", c.ThenInstance}, {"kind", c.OrderKind},
		{"symmetrical", c.Symmetrical}, {"require-all", c.RequireAll}, {"ticket", c.Ticket}, {"loss-policy", c.LossPolicy},
	} {
		f.add(p[0], p[1])
	}
	for i := range c.Sets {
		s := &c.Sets[i]
		f.always("set", strings.Join(s.Refs, " ")+fields("", [][2]string{{"id-ref", s.IDRef}, {"sequential", s.Sequential}, {"require-all", s.RequireAll}, {"ordering", s.Ordering},
			{"action", s.Action}, {"role", s.Role}, {"score", s.Score}, {"kind", s.Kind}, {"symmetrical", s.Symmetrical}}))
	}
	for i := range c.Rules {
		f.always("rule", ruleText(&c.Rules[i], 0))
	}
	for i := range c.Lifetime {
		f.always("lifetime", ruleText(&c.Lifetime[i], 0))
	}
	f.attrs("", c.Extra)
}

func (f *flattener) permissions(list []ACLPermission) {
	for _, p := range list {
		f.always("permission "+p.ID, p.Kind+fields("", [][2]string{{"xpath", p.XPath}, {"reference", p.Reference}, {"object-type", p.ObjectType}, {"attribute", p.Attribute}, {"description", p.Description}}))
	}
}
