package cibtoml

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/quorate/quorate/crm/cib"
)

// Options are options of reading and writing.
type Options struct {
	// Secret says that a parameter of a primitive or template holds a password or key, so that its value must be a
	// reference unless the resource names it in insecure-plain; nil = cib.SecretName. Callers who know agents'
	// metadata add what it marks private. Of the resource no more than id and agent can be relied on.
	Secret func(r *cib.Resource, parameter string) bool
	// AllowPlain takes passwords and keys in the open, as if every one were named in insecure-plain.
	AllowPlain bool
}

func (o *Options) secret(r *cib.Resource, name string) bool {
	if o.AllowPlain {
		return false
	}
	if o.Secret != nil {
		return o.Secret(r, name)
	}
	return cib.SecretName(name)
}

// Errors are what is wrong with a text, in the order met; at most a hundred.
type Errors []cib.Problem

// Error implements error: the first problem, and how many more there are.
func (e Errors) Error() string {
	if len(e) == 0 {
		return "no error"
	}
	p := e[0]
	text := p.String()
	if p.Pos.Line > 0 {
		text = fmt.Sprintf("line %d, column %d: ", p.Pos.Line, p.Pos.Column)
		p.Pos = cib.Pos{}
		text += p.String()
	}
	if len(e) > 1 {
		text += fmt.Sprintf(" (and %d more)", len(e)-1)
	}
	return text
}

// Read reads a TOML text and returns a document with its configuration and an empty status. Everything that
// is wrong gives an error of type Errors with a place and a key path for each problem, and no document.
// References are not checked: see cib.Check.
func Read(data []byte, o Options) (*cib.Document, error) {
	root, problem := parse(data)
	if problem != nil {
		return nil, Errors{*problem}
	}
	doc := &cib.Document{}
	r := &run{reading: true, options: o, templates: map[string]*cib.Resource{}}
	c := &codec{run: r, n: root}
	d := documentCodec{codec: c, config: &doc.Config}
	c.text("schema", &doc.Head.ValidateWith)
	d.read()
	c.done()
	if len(r.problems) > 0 {
		slices.SortStableFunc(r.problems, func(a, b cib.Problem) int { return byPosition(a.Pos, b.Pos) })
		return nil, Errors(r.problems)
	}
	return doc, nil
}

func byPosition(a, b cib.Pos) int {
	return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
}

// Write returns the configuration of doc as TOML, with options and roles under their present names (see
// cib.Canonical). Reading it gives the same configuration, but for the order of cluster properties and of the
// parameters of fence devices, which means nothing. An error names what TOML cannot say, such as two
// resources of one id.
func Write(doc *cib.Document, o Options) ([]byte, error) {
	canonical := cib.Canonical(doc)
	r := &run{options: o, templates: map[string]*cib.Resource{}}
	for _, t := range canonical.Config.Resources {
		if t.Kind == cib.Template {
			r.templates[t.ID] = t
		}
	}
	d := documentCodec{codec: &codec{run: r, n: newTable()}, config: &canonical.Config}
	if s, ok := cib.ParseSchema(doc.Head.ValidateWith); ok && s.Before(cib.Schema{Major: 3}) {
		root := newTable()
		root.set("schema", &node{kind: kindText, text: doc.Head.ValidateWith})
		d.out.section("", root)
	}
	d.write()
	if r.err != nil {
		return nil, r.err
	}
	return []byte(d.out.String()), nil
}

type documentCodec struct {
	*codec
	config *cib.Configuration
	out    printer

	written map[string]bool // ids of resources
}

// emit writes a section made by body.
func (d *documentCodec) emit(header string, body func(c *codec)) {
	n := newTable()
	body(&codec{run: d.run, n: n, path: strings.Trim(header, "[]")})
	d.out.section(header, n)
}

func (d *documentCodec) write() {
	c := d.config
	properties := c.Properties
	short := false // the profile of the timings stands in [cluster]
	if len(properties) > 0 && mainSet(&properties[0]) {
		short = c.Cluster.Timing.Profile != "" && c.Cluster.Timing == cib.TimingSettings{Profile: c.Cluster.Timing.Profile}
		d.emit("[cluster]", func(k *codec) {
			if short {
				k.profile("timing", &c.Cluster.Timing)
			}
			k.cluster(&properties[0])
		})
		properties = properties[1:]
	}
	for i := range c.Cluster.Links {
		l := &c.Cluster.Links[i]
		d.unique("link", l.Name)
		d.emit("[links."+quoteKey(l.Name)+"]", func(k *codec) { k.link(l) })
	}
	if !short && c.Cluster.Timing != (cib.TimingSettings{}) {
		d.emit("[timing]", func(k *codec) { k.timing(&c.Cluster.Timing) })
	}
	if c.Cluster.Ports != (cib.PortSettings{}) {
		d.emit("[ports]", func(k *codec) { k.ports(&c.Cluster.Ports) })
	}
	for i := range properties {
		d.emit("[[property-sets]]", func(k *codec) { k.set(i, &properties[i], propertySetForm) })
	}
	for i := range c.Nodes {
		n := &c.Nodes[i]
		d.unique("node", n.Name)
		d.emit("[nodes."+quoteKey(n.Name)+"]", func(k *codec) { k.node(n) })
	}
	for _, r := range c.Resources {
		d.writeResource(r, 0)
	}
	for i := range c.Constraints {
		x := &c.Constraints[i]
		if int(x.Kind) >= len(constraintTables) {
			d.refuse("constraint %s has the unknown kind %v", x.ID, x.Kind)
			return
		}
		d.emit("[["+constraintTables[x.Kind]+"]]", func(k *codec) { k.constraint(x) })
	}
	for i := range c.FencingTopology {
		d.emit("[[fencing-levels]]", func(k *codec) { k.level(&c.FencingTopology[i]) })
	}
	d.writeDefaults("rsc-defaults", &c.ResourceDefaults, resourceDefaultsForm)
	d.writeDefaults("op-defaults", &c.OpDefaults, opDefaultsForm)
	for i := range c.Tags {
		t := &c.Tags[i]
		d.unique("tag", t.ID)
		d.emit("[tags."+quoteKey(t.ID)+"]", func(k *codec) { k.tag(t) })
	}
	for i := range c.Roles {
		r := &c.Roles[i]
		d.unique("acl-role", r.ID)
		d.emit("[acl.roles."+quoteKey(r.ID)+"]", func(k *codec) { k.role(r) })
	}
	for i := range c.Users {
		u := &c.Users[i]
		d.unique("acl-user", u.ID)
		d.emit("[acl.users."+quoteKey(u.ID)+"]", func(k *codec) { k.user(u) })
	}
	for i := range c.Targets {
		t := &c.Targets[i]
		d.unique("acl-target", t.ID)
		d.emit("[acl.targets."+quoteKey(t.ID)+"]", func(k *codec) { k.target(t) })
	}
	for i := range c.Groups {
		t := &c.Groups[i]
		d.unique("acl-group", t.ID)
		d.emit("[acl.groups."+quoteKey(t.ID)+"]", func(k *codec) { k.target(t) })
	}
	for i := range c.Alerts {
		a := &c.Alerts[i]
		d.unique("alert", a.ID)
		d.emit("[alerts."+quoteKey(a.ID)+"]", func(k *codec) { k.alert(a) })
	}
	for i := range c.Extra {
		u := &c.Extra[i]
		d.emit("[[unknown]]", func(k *codec) {
			k.text("parent", &u.Parent)
			k.text("xml", &u.XML)
		})
	}
}

// unique refuses a second object of a kind and id, since ids are keys of tables.
func (d *documentCodec) unique(kind, id string) {
	if d.written == nil {
		d.written = make(map[string]bool)
	}
	key := kind + " " + id
	if d.written[key] {
		d.refuse("two objects are called %s, which TOML cannot say", key)
	}
	d.written[key] = true
}

// writeResource writes the members of a resource, then itself.
func (d *documentCodec) writeResource(r *cib.Resource, depth int) {
	if depth > 8 {
		d.refuse("resource %s is nested too deeply", r.ID)
		return
	}
	members := make([]string, 0, len(r.Members))
	for _, m := range r.Members {
		d.writeResource(m, depth+1)
		members = append(members, m.ID)
	}
	if len(r.Members) > 0 && (r.Kind == cib.Primitive || r.Kind == cib.Template) {
		d.refuse("%s %s has members", r.Kind, r.ID)
	}
	if r.Kind == cib.Bundle && r.Bundle == nil {
		d.refuse("bundle %s has no container", r.ID)
		return
	}
	d.unique("resource", r.ID)
	table := tableOf(r)
	d.emit("["+table+"."+quoteKey(r.ID)+"]", func(k *codec) { k.resource(table, r, &members) })
}

func (d *documentCodec) writeDefaults(key string, list *[]cib.AttributeSet, f setForm) {
	n := newTable()
	c := &codec{run: d.run, n: n}
	c.sets(key, list, f)
	v := n.get(key)
	switch {
	case v == nil:
	case v.kind == kindTable:
		d.out.section("["+key+"]", v)
	default:
		for _, item := range v.items {
			d.out.section("[["+key+"]]", item)
		}
	}
}

var (
	propertySetForm      = setForm{id: "cib-properties"}
	resourceDefaultsForm = setForm{id: "rsc-options", option: cib.MetaOption}
	opDefaultsForm       = setForm{id: "op-options", option: cib.OperationOption}
)

// mainSet reports whether a set of cluster properties can be written as [cluster].
func mainSet(s *cib.AttributeSet) bool {
	if s.ID != cib.BootstrapSet || s.IDRef != "" || s.Score != "" || len(s.Rules) > 0 {
		return false
	}
	seen := make(map[string]bool, len(s.Pairs))
	for _, p := range s.Pairs {
		if p.Name == "" || seen[p.Name] || p.NoValue || p.IDRef != "" {
			return false
		}
		seen[p.Name] = true
	}
	return true
}

// cluster is the main set of cluster properties. Known properties are keys of the table, cluster-name is
// "name"; others are in extra, and ids that differ from the usual ones in ids.
func (c *codec) cluster(s *cib.AttributeSet) {
	const name = "cluster-name"
	c.list("comments", &s.Comments)
	if !c.reading {
		known := func(p cib.NVPair) bool {
			o := cib.PropertyOption(p.Name)
			return o != nil && o.Name == p.Name && o.Check(p.Value) == nil && (p.Name != name || p.Value != "")
		}
		// Those of the table itself come first, since reading finds them first.
		pairs := slices.Clone(s.Pairs)
		slices.SortStableFunc(pairs, func(a, b cib.NVPair) int {
			if known(a) == known(b) {
				return 0
			}
			if known(a) {
				return -1
			}
			return 1
		})
		var extra []cib.Attr
		ids := newTable()
		for _, p := range pairs {
			switch {
			case !known(p):
				extra = append(extra, cib.Attr{Name: p.Name, Value: p.Value})
			case p.Name == name:
				c.text("name", &p.Value)
			default:
				c.n.set(p.Name, scalarNode(p.Value))
			}
			if p.ID != madeID(s.ID, p.Name) {
				ids.set(p.Name, &node{kind: kindText, text: p.ID})
			}
		}
		c.attrs("extra", &extra)
		if len(ids.keys) > 0 {
			c.n.set("ids", ids)
		}
		return
	}
	s.ID, s.Pos = cib.BootstrapSet, c.n.pos
	add := func(property, value string, pos cib.Pos) {
		s.Pairs = append(s.Pairs, cib.NVPair{ID: madeID(s.ID, property), Name: property, Value: value, Pos: pos})
	}
	for _, o := range cib.Properties() {
		if o.Name != name {
			c.asked = append(c.asked, o.Name)
		}
	}
	c.asked = append(c.asked, "name")
	for i, key := range c.n.keys {
		v := c.n.values[i]
		o := cib.PropertyOption(key)
		switch {
		case key == "name":
			if v.kind != kindText {
				c.wrong(v, key, "a text")
				continue
			}
			add(name, v.text, v.pos)
		case key == name:
			c.asked = append(c.asked, key)
			c.errorAt(v, key, "", "the name of the cluster is written as name")
		case o != nil && o.Name != key:
			c.asked = append(c.asked, key)
			c.errorAt(v, key, "", "the name is now %s", o.Name)
		case o != nil:
			text, ok := c.scalar(v, key)
			if !ok {
				continue
			}
			if err := o.Check(text); err != nil {
				c.errorAt(v, key, "", "%v", err)
				continue
			}
			add(key, text, v.pos)
		}
	}
	var extra []cib.Attr
	c.attrs("extra", &extra)
	for _, a := range extra {
		if slices.ContainsFunc(s.Pairs, func(p cib.NVPair) bool { return p.Name == a.Name }) {
			c.errorAt(c.n.get("extra"), "extra", "", "%s is given in the table too", a.Name)
			continue
		}
		add(a.Name, a.Value, c.n.get("extra").pos)
	}
	c.sub("ids", false, func(c *codec) {
		for i, key := range c.n.keys {
			var id string
			c.text(key, &id)
			at := slices.IndexFunc(s.Pairs, func(p cib.NVPair) bool { return p.Name == key })
			if at < 0 {
				c.errorAt(c.n.values[i], key, "", "there is no property of this name")
				continue
			}
			s.Pairs[at].ID = id
		}
	})
}

func (c *codec) link(l *cib.LinkSettings) {
	c.number("priority", &l.Priority, -1000, 1000)
	c.flag("disabled", &l.Disabled)
}

// profile is the named profile of the timings: "profile" of [timing], or in short "timing" of [cluster].
func (c *codec) profile(key string, t *cib.TimingSettings) {
	before := t.Profile
	c.text(key, &t.Profile)
	if !c.reading || c.n.get(key) == nil {
		return
	}
	if t.Profile != "default" && t.Profile != "fast" {
		c.errorAt(c.n.get(key), key, "use default or fast", "unknown profile %q", t.Profile)
	} else if before != "" && before != t.Profile {
		c.errorAt(c.n.get(key), key, "", "the profile is given twice: %q and %q", before, t.Profile)
	}
}

func (c *codec) timing(t *cib.TimingSettings) {
	duration := func(key string, p *string) {
		c.checked(key, p, func(text string) error { _, err := cib.ParseInterval(text); return err })
	}
	c.profile("profile", t)
	duration("heartbeat", &t.Heartbeat)
	duration("dead-after", &t.DeadAfter)
	duration("quorum-timeout", &t.QuorumTimeout)
}

func (c *codec) ports(p *cib.PortSettings) {
	c.number("stream", &p.Stream, 1, 65535)
	c.number("datagram", &p.Datagram, 1, 65535)
}

func (c *codec) tag(t *cib.Tag) {
	if c.reading {
		t.Pos = c.n.pos
	}
	c.list("comments", &t.Comments)
	c.list("refs", &t.Refs)
}

func (c *codec) role(r *cib.ACLRole) {
	if c.reading {
		r.Pos = c.n.pos
	}
	c.list("comments", &r.Comments)
	c.text("description", &r.Description)
	c.permissions(&r.Permissions, r.ID)
}

func (c *codec) user(u *cib.ACLUser) {
	if c.reading {
		u.Pos = c.n.pos
	}
	c.list("comments", &u.Comments)
	c.list("roles", &u.RoleRefs)
	c.permissions(&u.Permissions, u.ID)
}

func (c *codec) target(t *cib.ACLTarget) {
	if c.reading {
		t.Pos = c.n.pos
	}
	c.list("comments", &t.Comments)
	c.text("name", &t.Name)
	c.list("roles", &t.Roles)
}

// named reads a table of tables, such as [nodes.NAME].
func (c *codec) named(key string, body func(c *codec, id string)) {
	n := c.ask(key)
	if n == nil {
		return
	}
	if n.kind != kindTable {
		c.wrong(n, key, "a table of tables, such as ["+key+".NAME]")
		return
	}
	path := c.join(key)
	for i, id := range n.keys {
		v := n.values[i]
		s := &codec{run: c.run, n: v, path: path + "." + quoteKey(id)}
		if v.kind != kindTable {
			c.problem(cib.Error, v.pos, s.path, "", "expected a table, found %s", v.kind)
			continue
		}
		body(s, id)
		s.done()
	}
}

func (d *documentCodec) read() {
	c, k := d.config, d.codec
	k.sub("cluster", false, func(k *codec) {
		var s cib.AttributeSet
		k.profile("timing", &c.Cluster.Timing)
		k.cluster(&s)
		c.Properties = append(c.Properties, s)
	})
	array(k, "property-sets", &c.Properties, func(k *codec, i int, s *cib.AttributeSet) { k.set(i, s, propertySetForm) })
	k.named("links", func(k *codec, name string) {
		l := cib.LinkSettings{Name: name}
		k.link(&l)
		c.Cluster.Links = append(c.Cluster.Links, l)
	})
	k.sub("timing", false, func(k *codec) { k.timing(&c.Cluster.Timing) })
	k.sub("ports", false, func(k *codec) { k.ports(&c.Cluster.Ports) })
	k.named("nodes", func(k *codec, name string) {
		n := cib.Node{Name: name}
		k.node(&n)
		c.Nodes = append(c.Nodes, n)
	})
	d.readResources()
	for kind, table := range constraintTables {
		array(k, table, &c.Constraints, func(k *codec, _ int, x *cib.Constraint) {
			x.Kind = cib.ConstraintKind(kind)
			k.constraint(x)
		})
	}
	slices.SortStableFunc(c.Constraints, func(a, b cib.Constraint) int { return byPosition(a.Pos, b.Pos) })
	array(k, "fencing-levels", &c.FencingTopology, func(k *codec, _ int, l *cib.FencingLevel) { k.level(l) })
	k.sets("rsc-defaults", &c.ResourceDefaults, resourceDefaultsForm)
	k.sets("op-defaults", &c.OpDefaults, opDefaultsForm)
	k.named("tags", func(k *codec, id string) {
		t := cib.Tag{ID: id}
		k.tag(&t)
		c.Tags = append(c.Tags, t)
	})
	k.sub("acl", false, func(k *codec) {
		k.named("roles", func(k *codec, id string) {
			r := cib.ACLRole{ID: id}
			k.role(&r)
			c.Roles = append(c.Roles, r)
		})
		k.named("users", func(k *codec, id string) {
			u := cib.ACLUser{ID: id}
			k.user(&u)
			c.Users = append(c.Users, u)
		})
		k.named("targets", func(k *codec, id string) {
			t := cib.ACLTarget{ID: id}
			k.target(&t)
			c.Targets = append(c.Targets, t)
		})
		k.named("groups", func(k *codec, id string) {
			t := cib.ACLTarget{ID: id}
			k.target(&t)
			c.Groups = append(c.Groups, t)
		})
	})
	k.named("alerts", func(k *codec, id string) {
		a := cib.Alert{ID: id}
		k.alert(&a)
		c.Alerts = append(c.Alerts, a)
	})
	k.unknown("unknown", &c.Extra)
}

// readResources reads the tables of resources and puts members into what names them. Resources that nothing
// names are at the top, in the order of the text.
func (d *documentCodec) readResources() {
	type entry struct {
		r       *cib.Resource
		members []string
		n       *node
		path    string
		in      string // path of what holds it
	}
	var entries []*entry
	byID := make(map[string]*entry)
	for _, table := range resourceTables {
		d.codec.named(table, func(k *codec, id string) {
			e := &entry{r: &cib.Resource{ID: id}, n: k.n, path: k.path}
			k.resource(table, e.r, &e.members)
			if other := byID[id]; other != nil {
				k.errorAt(k.n, "", "", "the id is taken by %s", other.path)
				return
			}
			byID[id] = e
			entries = append(entries, e)
			if table == "templates" {
				d.templates[id] = e.r
			}
		})
	}
	slices.SortStableFunc(entries, func(a, b *entry) int { return byPosition(a.r.Pos, b.r.Pos) })
	for _, e := range entries {
		for _, id := range e.members {
			m := byID[id]
			switch {
			case m == nil:
				var names []string
				for _, x := range entries {
					names = append(names, x.r.ID)
				}
				hint := ""
				if near := cib.Nearest(id, names); near != "" {
					hint = "did you mean " + near + "?"
				}
				d.problem(cib.Error, e.n.pos, e.path, hint, "the member %q does not exist", id)
			case m.in != "":
				d.problem(cib.Error, e.n.pos, e.path, "", "the member %s is in %s already", id, m.in)
			default:
				m.in = e.path
				e.r.Members = append(e.r.Members, m.r)
			}
		}
	}
	// What holds itself hangs under no top.
	reached := make(map[*cib.Resource]bool)
	var walk func(r *cib.Resource)
	walk = func(r *cib.Resource) {
		reached[r] = true
		for _, m := range r.Members {
			walk(m)
		}
	}
	for _, e := range entries {
		if e.in == "" {
			walk(e.r)
			d.config.Resources = append(d.config.Resources, e.r)
		}
	}
	for _, e := range entries {
		if !reached[e.r] {
			d.problem(cib.Error, e.n.pos, e.path, "", "the resource is a member of itself")
		}
	}
}
