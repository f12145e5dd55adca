package cibxml

import (
	"bytes"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/rule"
)

// Options select what Write writes.
type Options struct {
	// NoStatus leaves the status section empty.
	NoStatus bool
	// Plain leaves out what Pacemaker's tools have no use for: settings of our own, and comments.
	Plain bool
	// NoDeclaration leaves out the line <?xml version="1.0"?>.
	NoDeclaration bool
}

// Write returns doc as XML, two spaces a level, attributes in the order in which the field's tools write
// them. Empty sections that the schemas demand are written. Characters that XML cannot hold are replaced by
// U+FFFD.
func Write(doc *cib.Document, o Options) []byte {
	w := writer{plain: o.Plain}
	if !o.NoDeclaration {
		w.WriteString("<?xml version=\"1.0\"?>\n")
	}
	w.start("cib")
	h := &doc.Head
	w.opt("crm_feature_set", h.FeatureSet)
	w.opt("validate-with", h.ValidateWith)
	w.attr("epoch", strconv.FormatInt(h.Epoch, 10))
	w.attr("num_updates", strconv.FormatInt(h.NumUpdates, 10))
	w.attr("admin_epoch", strconv.FormatInt(h.AdminEpoch, 10))
	w.opt("cib-last-written", h.LastWritten)
	w.opt("update-origin", h.UpdateOrigin)
	w.opt("update-client", h.UpdateClient)
	w.opt("update-user", h.UpdateUser)
	w.opt("have-quorum", h.HaveQuorum)
	w.opt("dc-uuid", h.DCUUID)
	w.opt("execution-date", h.ExecutionDate)
	w.opt("no-quorum-panic", h.NoQuorumPanic)
	w.attrs(h.Extra)
	w.configuration(&doc.Config)
	if o.NoStatus {
		w.start("status")
		w.end("status")
	} else {
		w.status(&doc.Status)
	}
	w.unknown(doc.Config.Extra, "cib")
	w.end("cib")
	return w.Bytes()
}

// WriteConfiguration returns the configuration element.
func WriteConfiguration(c *cib.Configuration, o Options) []byte {
	w := writer{plain: o.Plain}
	w.configuration(c)
	return w.Bytes()
}

// WriteStatus returns the status element.
func WriteStatus(st *cib.Status) []byte {
	var w writer
	w.status(st)
	return w.Bytes()
}

// WriteNodeState returns one node_state element.
func WriteNodeState(n *cib.NodeState) []byte {
	var w writer
	w.nodeState(n)
	return w.Bytes()
}

// WriteObject returns the element of one object of the configuration, as cib.Objects names it. The settings
// of the cluster are comments.
func WriteObject(kind string, o cib.Object) []byte {
	var w writer
	switch {
	case o.Cluster != nil:
		w.cluster(o.Cluster)
	case o.Set != nil && kind == cib.KindProperties:
		w.set("cluster_property_set", o.Set)
	case o.Set != nil:
		w.set("meta_attributes", o.Set)
	case o.Node != nil:
		w.node(o.Node)
	case o.Resource != nil:
		w.resource(o.Resource)
	case o.Constraint != nil:
		w.constraint(o.Constraint)
	case o.Level != nil:
		w.level(o.Level)
	case o.Tag != nil:
		w.tagElement(o.Tag)
	case o.Role != nil:
		w.role(o.Role)
	case o.User != nil:
		w.user(o.User)
	case o.Target != nil && kind == cib.KindACLGroup:
		w.target("acl_group", o.Target)
	case o.Target != nil:
		w.target("acl_target", o.Target)
	case o.Alert != nil:
		w.alert(o.Alert)
	case o.Unknown != nil:
		w.unknown([]cib.Unknown{*o.Unknown}, "")
	}
	return w.Bytes()
}

// writer writes elements. After start, attributes may follow until the next start or end.
type writer struct {
	bytes.Buffer
	depth int
	tag   bool // a start tag is open
	plain bool
}

func (w *writer) close() {
	if w.tag {
		w.WriteString(">\n")
		w.tag = false
	}
}

func (w *writer) indent() {
	for range w.depth {
		w.WriteString("  ")
	}
}

func (w *writer) start(name string) {
	w.close()
	w.indent()
	w.WriteByte('<')
	w.WriteString(name)
	w.tag = true
	w.depth++
}

func (w *writer) end(name string) {
	w.depth--
	if w.tag {
		w.WriteString("/>\n")
		w.tag = false
		return
	}
	w.indent()
	w.WriteString("</")
	w.WriteString(name)
	w.WriteString(">\n")
}

func (w *writer) attr(name, value string) {
	w.WriteByte(' ')
	w.WriteString(name)
	w.WriteString(`="`)
	escape(&w.Buffer, value)
	w.WriteByte('"')
}

// opt writes an attribute that is not empty.
func (w *writer) opt(name, value string) {
	if value != "" {
		w.attr(name, value)
	}
}

func (w *writer) attrs(list []cib.Attr) {
	for i := range list {
		if validXMLName(list[i].Name) {
			w.attr(list[i].Name, list[i].Value)
		}
	}
}

// validXMLName reports whether the reader takes name for the name of an element or attribute.
func validXMLName(name string) bool {
	if name == "" || classes[name[0]]&nameStart == 0 || !utf8.ValidString(name) {
		return false
	}
	for i := range len(name) {
		if classes[name[i]]&nameByte == 0 {
			return false
		}
	}
	return true
}

// leaf writes an empty element with alternating names and values, leaving out empty values.
func (w *writer) leaf(name string, pairs ...string) {
	w.start(name)
	for i := 0; i+1 < len(pairs); i += 2 {
		w.opt(pairs[i], pairs[i+1])
	}
	w.end(name)
}

// escape writes a value for double quotes.
func escape(b *bytes.Buffer, value string) {
	from := 0
	for i := 0; i < len(value); i++ {
		var with string
		c := value[i]
		size := 1
		switch {
		case c == '&':
			with = "&amp;"
		case c == '<':
			with = "&lt;"
		case c == '>':
			with = "&gt;"
		case c == '"':
			with = "&quot;"
		case c == '\n':
			with = "&#10;"
		case c == '\t':
			with = "&#9;"
		case c == '\r':
			with = "&#13;"
		case c < ' ':
			with = "\ufffd"
		case c < utf8.RuneSelf:
			continue
		default:
			r, n := utf8.DecodeRuneInString(value[i:])
			if r != utf8.RuneError || n > 1 {
				i += n - 1
				continue
			}
			with = "\ufffd"
		}
		b.WriteString(value[from:i])
		b.WriteString(with)
		from = i + size
	}
	b.WriteString(value[from:])
}

// setting writes a comment with settings of our own; values that are "" are left out.
func (w *writer) setting(name string, pairs ...string) {
	if w.plain {
		return
	}
	w.close()
	w.indent()
	w.WriteString("<!--")
	w.WriteString(name)
	from := w.Len()
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			w.attr(pairs[i], pairs[i+1])
		}
	}
	// Comments must not hold "--"; the values are decoded when they are read.
	text := strings.ReplaceAll(string(w.Bytes()[from:]), "--", "-&#45;")
	text = strings.ReplaceAll(text, "--", "-&#45;")
	w.Truncate(from)
	w.WriteString(text)
	w.WriteString("-->\n")
}

func (w *writer) comments(list []string) {
	if w.plain {
		return
	}
	for _, text := range list {
		w.close()
		w.indent()
		text = strings.Map(func(r rune) rune {
			if r < ' ' && r != '\t' {
				return ' '
			}
			return r
		}, strings.ToValidUTF8(text, "\ufffd"))
		w.WriteString("<!--#")
		w.WriteString(escapeComment(text))
		w.WriteString("-->\n")
	}
}

// unknown writes the unknown elements that stood in parent.
func (w *writer) unknown(list []cib.Unknown, parent string) {
	for i := range list {
		if parent != "" && list[i].Parent != parent || list[i].XML == "" {
			continue
		}
		w.close()
		w.indent()
		w.WriteString(list[i].XML)
		w.WriteByte('\n')
	}
}

func (w *writer) configuration(c *cib.Configuration) {
	section := func(name string, always bool, n int, body func()) {
		path := "configuration/" + name
		for i := range c.Extra {
			if c.Extra[i].Parent == path {
				n++
			}
		}
		if n == 0 && !always {
			return
		}
		w.start(name)
		body()
		w.unknown(c.Extra, path)
		w.end(name)
	}
	w.start("configuration")
	w.cluster(&c.Cluster)
	section("crm_config", true, 0, func() { w.sets("cluster_property_set", c.Properties) })
	section("nodes", true, 0, func() {
		for i := range c.Nodes {
			w.node(&c.Nodes[i])
		}
	})
	section("resources", true, 0, func() {
		for _, r := range c.Resources {
			w.resource(r)
		}
	})
	section("constraints", true, 0, func() {
		for i := range c.Constraints {
			w.constraint(&c.Constraints[i])
		}
	})
	section("fencing-topology", false, len(c.FencingTopology), func() {
		for i := range c.FencingTopology {
			w.level(&c.FencingTopology[i])
		}
	})
	section("rsc_defaults", false, len(c.ResourceDefaults), func() { w.sets("meta_attributes", c.ResourceDefaults) })
	section("op_defaults", false, len(c.OpDefaults), func() { w.sets("meta_attributes", c.OpDefaults) })
	section("acls", false, len(c.Targets)+len(c.Groups)+len(c.Roles)+len(c.Users), func() {
		for i := range c.Roles {
			w.role(&c.Roles[i])
		}
		for i := range c.Users {
			w.user(&c.Users[i])
		}
		for i := range c.Targets {
			w.target("acl_target", &c.Targets[i])
		}
		for i := range c.Groups {
			w.target("acl_group", &c.Groups[i])
		}
	})
	section("tags", false, len(c.Tags), func() {
		for i := range c.Tags {
			w.tagElement(&c.Tags[i])
		}
	})
	section("alerts", false, len(c.Alerts), func() {
		for i := range c.Alerts {
			w.alert(&c.Alerts[i])
		}
	})
	w.unknown(c.Extra, "configuration")
	w.end("configuration")
}

// cluster writes what Pacemaker's schema has no place for.
func (w *writer) cluster(c *cib.ClusterSettings) {
	for i := range c.Links {
		l := &c.Links[i]
		w.setting("quorate-link", "name", l.Name, "priority", nonZero(l.Priority), "disabled", yes(l.Disabled))
	}
	if t := c.Timing; t != (cib.TimingSettings{}) {
		w.setting("quorate-timing", "profile", t.Profile, "heartbeat", t.Heartbeat, "dead-after", t.DeadAfter, "quorum-timeout", t.QuorumTimeout)
	}
	if p := c.Ports; p != (cib.PortSettings{}) {
		w.setting("quorate-ports", "stream", nonZero(p.Stream), "datagram", nonZero(p.Datagram))
	}
}

func nonZero(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

func yes(b bool) string {
	if b {
		return "true"
	}
	return ""
}

func (w *writer) sets(element string, list []cib.AttributeSet) {
	for i := range list {
		w.set(element, &list[i])
	}
}

func (w *writer) set(element string, s *cib.AttributeSet) {
	w.comments(s.Comments)
	w.start(element)
	w.opt("id", s.ID)
	w.opt("id-ref", s.IDRef)
	w.opt("score", s.Score)
	for i := range s.Rules {
		w.rule(&s.Rules[i])
	}
	for i := range s.Pairs {
		p := &s.Pairs[i]
		w.start("nvpair")
		w.opt("id", p.ID)
		w.opt("id-ref", p.IDRef)
		w.opt("name", p.Name)
		if !p.NoValue {
			w.attr("value", p.Value)
		}
		w.end("nvpair")
	}
	w.end(element)
}

func (w *writer) rule(r *rule.Rule) {
	w.start("rule")
	w.opt("id", r.ID)
	w.opt("id-ref", r.IDRef)
	w.opt("boolean-op", r.BooleanOp)
	w.opt("role", r.Role)
	w.opt("score", r.Score)
	w.opt("score-attribute", r.ScoreAttribute)
	for i := range r.Conditions {
		c := &r.Conditions[i]
		switch {
		case c.Rule != nil:
			w.rule(c.Rule)
		case c.Attribute != nil:
			x := c.Attribute
			w.start("expression")
			w.opt("id", x.ID)
			w.opt("attribute", x.Attribute)
			w.opt("operation", x.Operation)
			if x.HasValue {
				w.attr("value", x.Value)
			}
			w.opt("type", x.Type)
			w.opt("value-source", x.ValueSource)
			w.end("expression")
		case c.Date != nil:
			w.date(c.Date)
		case c.Resource != nil:
			x := c.Resource
			w.start("rsc_expression")
			w.opt("id", x.ID)
			if x.HasClass {
				w.attr("class", x.Class)
			}
			if x.HasProvider {
				w.attr("provider", x.Provider)
			}
			if x.HasType {
				w.attr("type", x.Type)
			}
			w.end("rsc_expression")
		case c.Operation != nil:
			w.leaf("op_expression", "id", c.Operation.ID, "name", c.Operation.Name, "interval", c.Operation.Interval)
		}
	}
	w.end("rule")
}

func (w *writer) date(x *rule.DateExpression) {
	w.start("date_expression")
	w.opt("id", x.ID)
	w.opt("operation", x.Operation)
	w.opt("start", x.Start)
	w.opt("end", x.End)
	if x.Duration != nil {
		w.start("duration")
		w.opt("id", x.Duration.ID)
		x.Duration.EachField(w.field)
		w.end("duration")
	}
	if x.Spec != nil {
		w.start("date_spec")
		w.opt("id", x.Spec.ID)
		x.Spec.EachField(w.field)
		w.end("date_spec")
	}
	w.end("date_expression")
}

// field writes a field of a date specification or duration.
func (w *writer) field(name, value string) {
	if validXMLName(name) && name != "id" {
		w.attr(name, value)
	}
}

func (w *writer) node(n *cib.Node) {
	w.comments(n.Comments)
	w.start("node")
	w.opt("id", n.ID)
	w.opt("uname", n.Name)
	w.opt("type", n.Type)
	w.opt("score", n.Score)
	w.opt("description", n.Description)
	w.attrs(n.Extra)
	if n.Witness || n.Voter != "" {
		w.setting("quorate-node", "witness", yes(n.Witness), "voter", n.Voter)
	}
	for i := range n.Links {
		w.setting("quorate-node-link", "link", n.Links[i].Link, "address", n.Links[i].Address)
	}
	n.EachPart(func(part byte, i int) {
		if part == cib.PartUtilization {
			w.set("utilization", &n.Utilization[i])
		} else {
			w.set("instance_attributes", &n.Attributes[i])
		}
	})
	w.end("node")
}

// element returns the name of a resource's element.
func element(r *cib.Resource) string {
	switch r.Kind {
	case cib.Group:
		return "group"
	case cib.Clone:
		if r.LegacyMaster {
			return "master"
		}
		return "clone"
	case cib.Bundle:
		return "bundle"
	case cib.Template:
		return "template"
	}
	return "primitive"
}

func (w *writer) resource(r *cib.Resource) {
	if r == nil {
		return
	}
	name := element(r)
	w.comments(r.Comments)
	w.start(name)
	w.opt("id", r.ID)
	w.opt("class", r.Class)
	w.opt("provider", r.Provider)
	w.opt("type", r.Type)
	w.opt("template", r.Template)
	w.opt("description", r.Description)
	w.attrs(r.Extra)
	r.EachPart(func(part byte, i int) {
		switch part {
		case cib.PartParams:
			w.set("instance_attributes", &r.Params[i])
		case cib.PartMeta:
			w.set("meta_attributes", &r.Meta[i])
		case cib.PartUtilization:
			w.set("utilization", &r.Utilization[i])
		case cib.PartOperations:
			w.operations(&r.Operations)
		case cib.PartMember:
			w.resource(r.Members[i])
		default:
			w.bundle(r.Bundle, part)
		}
	})
	if r.Kind != cib.Bundle {
		for _, m := range r.Members {
			w.resource(m)
		}
	}
	w.unknown(r.Unknown, "")
	w.end(name)
}

// bundle writes one part of a bundle.
func (w *writer) bundle(b *cib.BundleSpec, part byte) {
	switch part {
	case cib.PartContainer:
		if validXMLName(b.Engine) {
			w.start(b.Engine)
			w.attrs(b.Attributes)
			w.end(b.Engine)
		}
	case cib.PartNetwork:
		w.start("network")
		w.attrs(b.Network)
		for i := range b.Ports {
			w.start("port-mapping")
			w.attrs(b.Ports[i].Attributes())
			w.end("port-mapping")
		}
		w.end("network")
	case cib.PartStorage:
		w.start("storage")
		for i := range b.Storage {
			w.start("storage-mapping")
			w.attrs(b.Storage[i].Attributes())
			w.end("storage-mapping")
		}
		w.end("storage")
	}
}

func (w *writer) operations(o *cib.Operations) {
	w.start("operations")
	w.opt("id", o.ID)
	w.opt("id-ref", o.IDRef)
	w.sets("instance_attributes", o.Attributes)
	for i := range o.List {
		w.operation(&o.List[i])
	}
	w.end("operations")
}

func (w *writer) operation(op *cib.Operation) {
	w.start("op")
	w.opt("id", op.ID)
	w.opt("id-ref", op.IDRef)
	w.opt("name", op.Name)
	// Attributes come before sets: an element's are written first.
	op.EachPart(func(part byte, i int) {
		switch part {
		case cib.PartInterval:
			w.opt("interval", op.Interval)
		case cib.PartAttribute:
			w.attrs(op.Extra[i : i+1])
		}
	})
	op.EachPart(func(part byte, i int) {
		switch part {
		case cib.PartParams:
			w.set("instance_attributes", &op.Params[i])
		case cib.PartMeta:
			w.set("meta_attributes", &op.Meta[i])
		}
	})
	w.end("op")
}

// constraintNames are the attributes of each kind of constraint in the order of writing.
var constraintNames = [...][]string{
	cib.Location:   {"id", "rsc", "rsc-pattern", "role", "score", "score-attribute", "node", "resource-discovery"},
	cib.Colocation: {"id", "score", "score-attribute", "rsc", "rsc-instance", "rsc-role", "with-rsc", "with-rsc-instance", "with-rsc-role", "node-attribute", "influence", "symmetrical"},
	cib.Order:      {"id", "kind", "score", "first", "first-instance", "first-action", "then", "then-instance", "then-action", "symmetrical", "require-all"},
	cib.Ticket:     {"id", "score", "rsc", "rsc-role", "ticket", "loss-policy"},
}

var constraintElements = [...]string{cib.Location: "rsc_location", cib.Colocation: "rsc_colocation", cib.Order: "rsc_order", cib.Ticket: "rsc_ticket"}

func (w *writer) constraint(c *cib.Constraint) {
	if int(c.Kind) >= len(constraintElements) {
		return
	}
	name := constraintElements[c.Kind]
	w.comments(c.Comments)
	w.start(name)
	for _, attribute := range constraintNames[c.Kind] {
		w.opt(attribute, *constraintField(c, attribute))
	}
	w.attrs(c.Extra)
	if len(c.Lifetime) > 0 {
		w.start("lifetime")
		for i := range c.Lifetime {
			w.rule(&c.Lifetime[i])
		}
		w.end("lifetime")
	}
	for i := range c.Sets {
		s := &c.Sets[i]
		w.start("resource_set")
		for _, attribute := range setNames {
			w.opt(attribute, *setField(s, attribute))
		}
		for _, ref := range s.Refs {
			w.leaf("resource_ref", "id", ref)
		}
		w.end("resource_set")
	}
	if c.Kind == cib.Location {
		for i := range c.Rules {
			w.rule(&c.Rules[i])
		}
	}
	w.end(name)
}

func (w *writer) tagElement(t *cib.Tag) {
	w.comments(t.Comments)
	w.start("tag")
	w.opt("id", t.ID)
	for _, ref := range t.Refs {
		w.leaf("obj_ref", "id", ref)
	}
	w.end("tag")
}

func (w *writer) level(l *cib.FencingLevel) {
	w.start("fencing-level")
	w.opt("id", l.ID)
	w.opt("target", l.Target)
	w.opt("target-pattern", l.TargetPattern)
	w.opt("target-attribute", l.TargetAttribute)
	w.opt("target-value", l.TargetValue)
	w.opt("index", l.Index)
	w.opt("devices", strings.Join(l.Devices, ","))
	w.attrs(l.Extra)
	w.end("fencing-level")
}

func (w *writer) role(r *cib.ACLRole) {
	w.comments(r.Comments)
	w.start("acl_role")
	w.opt("id", r.ID)
	w.opt("description", r.Description)
	w.permissions(r.Permissions)
	w.end("acl_role")
}

func (w *writer) permissions(list []cib.ACLPermission) {
	for i := range list {
		p := &list[i]
		if p.Legacy && (p.Kind == "read" || p.Kind == "write" || p.Kind == "deny") {
			w.leaf(p.Kind, "id", p.ID, "ref", p.Reference, "tag", p.ObjectType, "attribute", p.Attribute, "xpath", p.XPath, "description", p.Description)
			continue
		}
		w.leaf("acl_permission", "id", p.ID, "kind", p.Kind, "xpath", p.XPath, "reference", p.Reference, "object-type", p.ObjectType, "attribute", p.Attribute, "description", p.Description)
	}
}

func (w *writer) user(u *cib.ACLUser) {
	w.comments(u.Comments)
	w.start("acl_user")
	w.opt("id", u.ID)
	for _, ref := range u.RoleRefs {
		w.leaf("role_ref", "id", ref)
	}
	w.permissions(u.Permissions)
	w.end("acl_user")
}

func (w *writer) target(element string, t *cib.ACLTarget) {
	w.comments(t.Comments)
	w.start(element)
	w.opt("id", t.ID)
	w.opt("name", t.Name)
	for _, id := range t.Roles {
		w.leaf("role", "id", id)
	}
	w.end(element)
}

func (w *writer) alert(a *cib.Alert) {
	w.comments(a.Comments)
	w.start("alert")
	w.opt("id", a.ID)
	w.opt("description", a.Description)
	w.opt("path", a.Path)
	a.EachPart(func(part byte, i int) {
		switch part {
		case cib.PartParams:
			w.set("instance_attributes", &a.Params[i])
		case cib.PartMeta:
			w.set("meta_attributes", &a.Meta[i])
		case cib.PartSelect:
			w.alertSelect(a.Select)
		default:
			w.recipient(&a.Recipients[i])
		}
	})
	w.end("alert")
}

func (w *writer) alertSelect(s *cib.AlertSelect) {
	w.start("select")
	if s.Nodes {
		w.leaf("select_nodes")
	}
	if s.Fencing {
		w.leaf("select_fencing")
	}
	if s.Resources {
		w.leaf("select_resources")
	}
	if s.AttributesOn {
		w.start("select_attributes")
		for i := range s.Attributes {
			w.leaf("attribute", "id", s.Attributes[i].ID, "name", s.Attributes[i].Name)
		}
		w.end("select_attributes")
	}
	w.end("select")
}

func (w *writer) recipient(r *cib.AlertRecipient) {
	w.start("recipient")
	w.opt("id", r.ID)
	w.opt("value", r.Value)
	w.opt("description", r.Description)
	r.EachPart(func(part byte, i int) {
		if part == cib.PartMeta {
			w.set("meta_attributes", &r.Meta[i])
		} else {
			w.set("instance_attributes", &r.Params[i])
		}
	})
	w.end("recipient")
}
