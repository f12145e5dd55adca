package cibcrm

import (
	"cmp"
	"fmt"
	"path"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/cib/cibxml"
	"github.com/quorate/quorate/crm/rule"
)

// PrintOptions say how a configuration is printed.
type PrintOptions struct {
	// Obscure lists patterns of parameter names (as of path.Match) whose values are printed as asterisks. Such
	// text does not paste back. References to secrets are printed as they are.
	Obscure []string
	// XML prints every object as an xml statement.
	XML bool
	// Field prints what the field's shell prints where that says less or is harder to read, for people and programs that
	// compare: objects with other characters than those of ASCII and recipients with descriptions as xml statements, and no ids of
	// parameters, meta-attributes and attributes. Where something refers to such an id, the text does not paste back.
	Field bool
}

// Obscured is what stands for a value that is not shown.
const Obscured = "******"

// Item is one object as a statement.
type Item struct {
	Keyword string // canonical keyword of its statement, also where Text is an xml statement
	ID      string // "" of fencing_topology
	Text    string // the statement, without a newline at the end; may have continued and comment lines
}

// printOrder is the order of statements: what is referred to comes before what refers to it, so that the text
// can be typed in from the top.
var printOrder = []string{"node", "rsc_template", "primitive", "bundle", "group", "ms", "clone", "tag", "colocation", "location",
	"order", "rsc_ticket", "fencing_topology", "property", "rsc_defaults", "op_defaults", "role", "user", "acl_target", "acl_group",
	"alert"}

// Print returns the configuration as statements that Parse reads back. What has no form in the language is
// printed as an xml statement. Objects are sorted by kind and id, nodes by their numbers.
func Print(c *cib.Configuration, o PrintOptions) string {
	var b strings.Builder
	for _, it := range Items(c, o) {
		b.WriteString(it.Text)
		b.WriteByte('\n')
	}
	return b.String()
}

// Items returns the statements of Print one by one.
func Items(c *cib.Configuration, o PrintOptions) []Item {
	p := &printer{config: c, opts: o, referred: map[string]bool{}}
	cib.EachReference(c, func(r cib.Reference) {
		switch r.Target {
		case cib.ToSet, cib.ToPair, cib.ToRule, cib.ToResourceSet:
			p.referred[r.To] = true
		}
	})
	for i := range c.Nodes {
		n := &c.Nodes[i]
		p.add("node", n.Name, n.Comments, func() string { return p.node(n) }, cib.Object{Node: n})
	}
	for _, r := range c.Resources {
		p.resourceTree(r, 0)
	}
	for i := range c.Constraints {
		k := &c.Constraints[i]
		p.add(constraintKeyword[k.Kind], k.ID, k.Comments, func() string { return p.constraint(k) }, cib.Object{Constraint: k})
	}
	for i := range c.Tags {
		t := &c.Tags[i]
		p.add("tag", t.ID, t.Comments, func() string { return "tag " + t.ID + " " + strings.Join(t.Refs, " ") }, cib.Object{Tag: t})
	}
	if len(c.FencingTopology) > 0 {
		p.topology()
	}
	for keyword, list := range map[string][]cib.AttributeSet{"property": c.Properties, "rsc_defaults": c.ResourceDefaults, "op_defaults": c.OpDefaults} {
		for i := range list {
			s := &list[i]
			p.add(keyword, s.ID, s.Comments, func() string { return p.propertySet(keyword, s) }, cib.Object{Set: s})
		}
	}
	for i := range c.Roles {
		r := &c.Roles[i]
		p.add("role", r.ID, r.Comments, func() string { return p.role(r) }, cib.Object{Role: r})
	}
	for i := range c.Users {
		u := &c.Users[i]
		p.add("user", u.ID, u.Comments, func() string { return p.user(u) }, cib.Object{User: u})
	}
	for keyword, list := range map[string][]cib.ACLTarget{"acl_target": c.Targets, "acl_group": c.Groups} {
		for i := range list {
			t := &list[i]
			p.add(keyword, t.ID, t.Comments, func() string { return lines(keyword+" "+t.ID, t.Roles...) }, cib.Object{Target: t})
		}
	}
	for i := range c.Alerts {
		a := &c.Alerts[i]
		p.add("alert", a.ID, a.Comments, func() string { return p.alert(a) }, cib.Object{Alert: a})
	}
	nodeIDs := make(map[string]string, len(c.Nodes)) // nodes are sorted by id, as the field's shell does
	for i := range c.Nodes {
		nodeIDs[c.Nodes[i].Name] = c.Nodes[i].ID
	}
	rank := make(map[string]int, len(printOrder))
	for i, k := range printOrder {
		rank[k] = i
	}
	slices.SortStableFunc(p.items, func(a, b Item) int {
		if a.Keyword != b.Keyword {
			return rank[a.Keyword] - rank[b.Keyword]
		}
		if a.Keyword == "node" {
			return cmp.Or(strings.Compare(nodeIDs[a.ID], nodeIDs[b.ID]), strings.Compare(a.ID, b.ID))
		}
		return strings.Compare(a.ID, b.ID)
	})
	return p.items
}

type printer struct {
	config   *cib.Configuration
	opts     PrintOptions
	referred map[string]bool // ids of sets, pairs and rules that something refers to: they are printed
	items    []Item
	hidden   bool // a value of the present object was obscured
}

// add prints one object; as xml when its statement would not give the same object again.
func (p *printer) add(keyword, id string, comments []string, text func() string, o cib.Object) {
	p.hidden = false
	var s string
	if !p.opts.XML {
		s = text()
	}
	if p.opts.Field && !p.hidden && fieldXML(s, o) {
		s = ""
	}
	if s == "" || !p.hidden && !p.readsBack(s, keyword, o) {
		if s = xmlStatement(o, keyword); p.opts.Field {
			s = charRefs(idsLast.ReplaceAllString(s, "<$1$3 id=$2$4>"))
		}
	}
	var b strings.Builder
	for _, c := range comments {
		b.WriteString("#" + strings.ReplaceAll(c, "\n", " ") + "\n")
	}
	b.WriteString(s)
	p.items = append(p.items, Item{keyword, id, b.String()})
}

// setKinds are the kinds of the sets of attributes and lists of roles that several keywords share.
var setKinds = map[string]string{"property": cib.KindProperties, "rsc_defaults": cib.KindResourceDefaults, "op_defaults": cib.KindOpDefaults,
	"acl_group": cib.KindACLGroup}

// xmlStatement prints an object as an xml statement.
func xmlStatement(o cib.Object, keyword string) string {
	text := dedent(string(cibxml.WriteObject(setKinds[keyword], alone(o))))
	if keyword == "rsc_defaults" || keyword == "op_defaults" {
		// The element alone does not say which defaults it belongs to.
		text = "<" + keyword + ">\n" + text + "\n</" + keyword + ">"
	}
	return "xml " + strings.ReplaceAll(text, "\n", " \\\n")
}

// idsLast finds elements whose id is the last attribute where the field's shell made them.
var idsLast = regexp.MustCompile(`<(nvpair|acl_permission|rule|expression) id=("[^"]*")((?: [\w-]+="[^"]*")*)(/?)>`)

// fieldXML reports whether the field's shell has no statement for the object.
func fieldXML(text string, o cib.Object) bool {
	ascii := strings.IndexFunc(text, func(r rune) bool { return r > unicode.MaxASCII }) < 0
	switch {
	case o.Alert != nil:
		return !ascii || slices.ContainsFunc(o.Alert.Recipients, func(r cib.AlertRecipient) bool { return r.Description != "" })
	case o.Node != nil:
		return strings.IndexFunc(o.Node.Description, func(r rune) bool { return r > unicode.MaxASCII }) >= 0
	case o.Set != nil:
		return false
	}
	return !ascii
}

// charRefs writes characters beyond ASCII in XML as numbers, those in the attributes of objects themselves in base 16,
// others in base 10: as the field's shell writes them.
func charRefs(text string) string {
	var b strings.Builder
	attribute := ""
	start := 0 // of the present word
	for i, r := range text {
		switch {
		case r == ' ' || r == '\n':
			start = i + 1
		case r == '"' && i > start && text[i-1] == '=':
			attribute = text[start : i-1]
		}
		switch {
		case r <= unicode.MaxASCII:
			b.WriteRune(r)
		case slices.Contains([]string{"description", "node", "ticket", "path"}, attribute):
			fmt.Fprintf(&b, "&#x%X;", r)
		default:
			fmt.Fprintf(&b, "&#%d;", r)
		}
	}
	return b.String()
}

// alone returns an object without its comments, which are printed before it, and with references for its members,
// which are statements of their own.
func alone(o cib.Object) cib.Object {
	switch {
	case o.Resource != nil:
		r := *o.Resource
		r.Comments, r.Members = nil, nil
		for _, m := range o.Resource.Members {
			r.Members = append(r.Members, &cib.Resource{Kind: m.Kind, ID: m.ID})
		}
		o.Resource = &r
	case o.Constraint != nil:
		k := *o.Constraint
		k.Comments = nil
		o.Constraint = &k
	case o.Node != nil:
		n := *o.Node
		n.Comments = nil
		o.Node = &n
	case o.Set != nil:
		s := *o.Set
		s.Comments = nil
		o.Set = &s
	case o.Tag != nil:
		t := *o.Tag
		t.Comments = nil
		o.Tag = &t
	case o.Role != nil:
		r := *o.Role
		r.Comments = nil
		o.Role = &r
	case o.User != nil:
		u := *o.User
		u.Comments = nil
		o.User = &u
	case o.Target != nil:
		t := *o.Target
		t.Comments = nil
		o.Target = &t
	case o.Alert != nil:
		a := *o.Alert
		a.Comments = nil
		o.Alert = &a
	}
	return o
}

// xmlTopology prints the fencing levels as one xml statement.
func (p *printer) xmlTopology() string {
	var b strings.Builder
	b.WriteString("xml <fencing-topology>")
	for i := range p.config.FencingTopology {
		b.WriteString(" \\\n  " + strings.TrimSpace(string(cibxml.WriteObject(cib.KindLevel, cib.Object{Level: &p.config.FencingTopology[i]}))))
	}
	b.WriteString(" \\\n</fencing-topology>")
	return b.String()
}

// dedent takes the indentation of the first line from all lines.
func dedent(text string) string {
	text = strings.Trim(text, "\n")
	indent := len(text) - len(strings.TrimLeft(text, " "))
	list := strings.Split(strings.TrimRight(text, " \n"), "\n")
	for i := range list {
		list[i] = strings.TrimRight(strings.TrimPrefix(list[i], strings.Repeat(" ", indent)), " ")
	}
	return strings.Join(list, "\n")
}

// lines joins the parts of a statement, one a line.
func lines(head string, rest ...string) string {
	if len(rest) == 0 {
		return head
	}
	return head + " \\\n\t" + strings.Join(rest, " \\\n\t")
}

// bare writes a word that is not a value: in quotes only where it must be.
func bare(s string) string {
	if s == "" || strings.ContainsAny(s, " \t\n\r\"'\\") {
		return quote(s)
	}
	return s
}

// nvpairs prints values. made begins the ids that they get where none is printed; "" = none can be relied on.
func (p *printer) nvpairs(list []cib.NVPair, made string) []string {
	var out []string
	for i := range list {
		v := &list[i]
		switch {
		case v.IDRef != "" && v.Name != "":
			out = append(out, "@"+v.IDRef+":"+v.Name)
		case v.IDRef != "":
			out = append(out, "@"+v.IDRef)
		case v.NoValue:
			out = append(out, v.Name)
		default:
			w := bare(v.Name) + "=" + p.value(v.Name, v.Value)
			if v.ID != "" && p.referred[v.ID] && !p.opts.Field && (made == "" || v.ID != made+"-"+xmlID(v.Name)) {
				w = "$" + v.ID + ":" + w
			}
			out = append(out, w)
		}
	}
	return out
}

func (p *printer) value(name, value string) string {
	if !cib.IsReference(value) {
		for _, pattern := range p.opts.Obscure {
			if ok, err := path.Match(pattern, name); err == nil && ok {
				p.hidden = true
				return quote(Obscured)
			}
		}
	}
	return quote(value)
}

func scoreText(s string) string {
	switch strings.ToLower(s) {
	case "infinity", "inf":
		return "inf"
	case "+infinity", "+inf":
		return "+inf"
	case "-infinity", "-inf":
		return "-inf"
	}
	return s
}

// setWords prints an attribute block. made is the id that the block gets where none is
// printed; "" = none can be relied on.
func (p *printer) setWords(keyword string, s *cib.AttributeSet, made string) []string {
	out := []string{keyword}
	if s.IDRef != "" {
		return append(out, "$id-ref="+quote(s.IDRef))
	}
	if s.ID != "" && p.referred[s.ID] && s.ID != made && (keyword == "utilization" || !p.opts.Field) {
		out = append(out, "$id="+quote(s.ID))
		made = ""
	}
	if s.Score != "" {
		out = append(out, scoreText(s.Score)+":")
	}
	for i := range s.Rules {
		out = append(out, p.rule(&s.Rules[i]))
	}
	return append(out, p.nvpairs(s.Pairs, made)...)
}

func (p *printer) block(keyword string, s *cib.AttributeSet) string {
	return p.ownBlock(keyword, s, "")
}

// ownBlock prints the first block of its kind, whose id need not be said where it is the one that is made.
func (p *printer) ownBlock(keyword string, s *cib.AttributeSet, made string) string {
	return strings.Join(p.setWords(keyword, s, made), " ")
}

func (p *printer) rule(r *rule.Rule) string {
	out := []string{"rule"}
	if r.IDRef != "" {
		return "rule $id-ref=" + quote(r.IDRef)
	}
	if r.ID != "" && p.referred[r.ID] {
		out = append(out, "$id="+quote(r.ID))
	}
	if r.Role != "" {
		out = append(out, "$role="+quote(r.Role))
	}
	switch {
	case r.ScoreAttribute != "":
		out = append(out, r.ScoreAttribute+":")
	case r.Score != "" && scoreText(r.Score) != "inf":
		out = append(out, scoreText(r.Score)+":")
	}
	op := r.BooleanOp
	if op == "" {
		op = "and"
	}
	for i := range r.Conditions {
		if i > 0 {
			out = append(out, op)
		}
		out = append(out, conditionText(&r.Conditions[i])...)
	}
	return strings.Join(out, " ")
}

func conditionText(c *rule.Condition) []string {
	switch {
	case c.Attribute != nil:
		e := c.Attribute
		if e.Operation == "defined" || e.Operation == "not_defined" {
			return []string{e.Operation, bare(e.Attribute)}
		}
		op := e.Operation
		if e.Type != "" && !(e.Type == "string" && (op == "eq" || op == "ne")) { // that is the default
			op = e.Type + ":" + op
		}
		return []string{bare(e.Attribute), op, quote(e.Value)}
	case c.Date != nil:
		d := c.Date
		var fields []string
		field := func(name, v string) {
			if v != "" {
				fields = append(fields, name+"="+quote(v))
			}
		}
		switch d.Operation {
		case "lt":
			return []string{"date lt", quote(d.End)}
		case "gt":
			return []string{"date gt", quote(d.Start)}
		case "date_spec":
			if d.Spec != nil {
				d.Spec.EachField(field)
			}
			return append([]string{"date spec"}, fields...)
		}
		field("start", d.Start)
		field("end", d.End)
		if d.Duration != nil {
			d.Duration.EachField(field)
		}
		return append([]string{"date in"}, fields...)
	}
	return []string{"?"} // no form: the statement does not read back, and XML is printed
}

func (p *printer) node(n *cib.Node) string {
	head := "node "
	if n.ID != "" && n.ID != n.Name {
		head += bare(n.ID) + ": "
	}
	head += n.Name
	if n.Type != "" && n.Type != "normal" {
		head += ":" + n.Type
	}
	var rest []string
	if n.Description != "" {
		rest = append(rest, "description="+quote(n.Description))
	}
	n.EachPart(func(part byte, i int) {
		if part == cib.PartUtilization {
			rest = append(rest, p.block("utilization", &n.Utilization[i]))
		} else {
			rest = append(rest, p.block("attributes", &n.Attributes[i]))
		}
	})
	return lines(head, rest...)
}

func (p *printer) resourceTree(r *cib.Resource, depth int) {
	const deepest = 8 // the model nests three levels
	if depth > deepest {
		return
	}
	p.add(resourceKeyword(r), r.ID, r.Comments, func() string { return p.resource(r) }, cib.Object{Resource: r})
	for _, m := range r.Members {
		p.resourceTree(m, depth+1)
	}
}

func resourceKeyword(r *cib.Resource) string {
	switch r.Kind {
	case cib.Group:
		return "group"
	case cib.Clone:
		if r.LegacyMaster {
			return "ms"
		}
		return "clone"
	case cib.Bundle:
		return "bundle"
	case cib.Template:
		return "rsc_template"
	}
	return "primitive"
}

// AgentName writes the agent of a primitive the way the language does: without class and provider where
// those are ocf and heartbeat.
func AgentName(r *cib.Resource) string {
	switch {
	case r.Template != "":
		return "@" + r.Template
	case r.Class == "ocf" && r.Provider == "heartbeat":
		return r.Type
	case r.Provider != "":
		return r.Class + ":" + r.Provider + ":" + r.Type
	}
	return r.Class + ":" + r.Type
}

func (p *printer) resource(r *cib.Resource) string {
	head := []string{resourceKeyword(r), r.ID}
	var rest []string
	if r.Description != "" {
		rest = append(rest, "description="+quote(r.Description))
	}
	switch r.Kind {
	case cib.Primitive, cib.Template:
		head = append(head, bare(AgentName(r)))
	case cib.Group, cib.Clone:
		for _, m := range r.Members {
			head = append(head, m.ID)
		}
	}
	members := 0
	r.EachPart(func(part byte, i int) {
		switch part {
		case cib.PartParams:
			rest = append(rest, p.ownBlock("params", &r.Params[i], firstID(i, r.ID, "instance_attributes")))
		case cib.PartMeta:
			rest = append(rest, p.ownBlock("meta", &r.Meta[i], firstID(i, r.ID, "meta_attributes")))
		case cib.PartUtilization:
			rest = append(rest, p.block("utilization", &r.Utilization[i]))
		case cib.PartOperations:
			rest = append(rest, p.operations(&r.Operations)...)
		case cib.PartMember:
			members++ // they come last, wherever their elements are
		default:
			rest = append(rest, bundlePart(r.Bundle, part))
		}
	})
	for i := range members {
		rest = append(rest, "primitive "+r.Members[i].ID)
	}
	return lines(strings.Join(head, " "), rest...)
}

// firstID is the id that the first block of a kind gets.
func firstID(i int, owner, kind string) string {
	if i > 0 {
		return ""
	}
	return owner + "-" + kind
}

func (p *printer) operations(o *cib.Operations) []string {
	var out []string
	if o.ID != "" {
		out = append(out, "operations $id="+quote(o.ID))
	}
	if o.IDRef != "" {
		out = append(out, "operations $id-ref="+quote(o.IDRef))
	}
	for i := range o.List {
		out = append(out, p.operation(&o.List[i])...)
	}
	return out
}

func (p *printer) operation(o *cib.Operation) []string {
	words := []string{"op", o.Name}
	if o.IDRef != "" {
		words = append(words, "$id-ref="+quote(o.IDRef))
	}
	out := []string{""}
	o.EachPart(func(part byte, i int) {
		switch part {
		case cib.PartInterval:
			words = append(words, "interval="+quote(o.Interval))
		case cib.PartAttribute:
			words = append(words, o.Extra[i].Name+"="+quote(o.Extra[i].Value))
		case cib.PartParams:
			out = append(out, p.block("op_params", &o.Params[i]))
		default:
			out = append(out, p.block("op_meta", &o.Meta[i]))
		}
	})
	out[0] = strings.Join(words, " ")
	return out
}

func attrWords(keyword string, attrs []cib.Attr) string {
	out := []string{keyword}
	for _, a := range attrs {
		if a.Value != "" || a.Name != "id" {
			out = append(out, a.Name+"="+quote(a.Value))
		}
	}
	return strings.Join(out, " ")
}

// bundlePart prints the container, network or storage of a bundle.
func bundlePart(b *cib.BundleSpec, part byte) string {
	switch part {
	case cib.PartContainer:
		return attrWords(b.Engine, b.Attributes)
	case cib.PartNetwork:
		words := []string{attrWords("network", b.Network)}
		for i := range b.Ports {
			words = append(words, attrWords("port-mapping", b.Ports[i].Attributes()))
		}
		return strings.Join(words, " ")
	}
	words := []string{"storage"}
	for i := range b.Storage {
		words = append(words, attrWords("storage-mapping", b.Storage[i].Attributes()))
	}
	return strings.Join(words, " ")
}

var constraintKeyword = [...]string{cib.Location: "location", cib.Colocation: "colocation", cib.Order: "order", cib.Ticket: "rsc_ticket"}

func withQualifier(id, q string) string {
	if q == "" {
		return id
	}
	return id + ":" + q
}

func (p *printer) constraint(c *cib.Constraint) string {
	words := []string{constraintKeyword[c.Kind], c.ID}
	option := func(name, v string) {
		if v != "" {
			words = append(words, name+"="+quote(v))
		}
	}
	switch c.Kind {
	case cib.Location:
		switch {
		case c.Pattern != "":
			words = append(words, bare("/"+c.Pattern+"/"))
		case len(c.Sets) > 0:
			words = append(append(words, "{"), setTexts(c)...)
			words = append(words, "}")
		default:
			words = append(words, c.Resource)
		}
		option("role", c.Role)
		option("resource-discovery", c.Discovery)
		if len(c.Rules) > 0 {
			var rules []string
			for i := range c.Rules {
				rules = append(rules, p.rule(&c.Rules[i]))
			}
			return lines(strings.Join(words, " "), rules...)
		}
		words = append(words, scoreText(c.Score)+":", bare(c.Node))
	case cib.Colocation:
		words = append(words, scoreText(c.Score)+":")
		if len(c.Sets) > 0 {
			words = append(words, setTexts(c)...)
		} else {
			words = append(words, withQualifier(c.Resource, c.Role), withQualifier(c.With, c.WithRole))
		}
		option("node-attribute", c.NodeAttribute)
		option("influence", c.Influence)
	case cib.Order:
		switch {
		case c.OrderKind != "":
			words = append(words, c.OrderKind+":")
		case c.Score != "":
			words = append(words, scoreText(c.Score)+":")
		}
		if len(c.Sets) > 0 {
			words = append(words, setTexts(c)...)
		} else {
			words = append(words, withQualifier(c.First, c.FirstAction), withQualifier(c.Then, c.ThenAction))
		}
		option("symmetrical", c.Symmetrical)
		option("require-all", c.RequireAll)
	case cib.Ticket:
		words = append(words, bare(c.Ticket+":"))
		if len(c.Sets) > 0 {
			words = append(words, setTexts(c)...)
		} else {
			words = append(words, withQualifier(c.Resource, c.Role))
		}
		option("loss-policy", c.LossPolicy)
	}
	return strings.Join(words, " ")
}

func setTexts(c *cib.Constraint) []string {
	var out []string
	refs := 0
	for i := range c.Sets {
		refs += len(c.Sets[i].Refs)
	}
	switch only := &c.Sets[0]; {
	case c.Kind == cib.Ticket && refs == 1,
		c.Kind != cib.Ticket && c.Kind != cib.Location && refs == 2 && (len(c.Sets) > 1 || !cib.IsFalse(only.Sequential) && !cib.IsFalse(only.RequireAll)):
		out = append(out, setWord)
	}
	for i := range c.Sets {
		s := &c.Sets[i]
		q := s.Role
		if c.Kind == cib.Order {
			q = s.Action
		}
		parallel, any := cib.IsFalse(s.Sequential), cib.IsFalse(s.RequireAll)
		open, end := "", ""
		switch {
		case any:
			open, end = "[", "]"
		case parallel:
			open, end = "(", ")"
		}
		if open != "" {
			out = append(out, open)
		}
		for _, ref := range s.Refs {
			out = append(out, withQualifier(ref, q))
		}
		if any && !parallel {
			out = append(out, "sequential=true")
		}
		if end != "" {
			out = append(out, end)
		}
	}
	return out
}

// topology prints the fencing levels as one statement.
func (p *printer) topology() {
	c := p.config
	type target struct {
		head    string
		devices []string
	}
	var targets []target
	plain := true
	levels := make(map[string]int)
	for i := range c.FencingTopology {
		l := &c.FencingTopology[i]
		head := ""
		switch {
		case l.Target != "":
			head = l.Target + ":"
		case l.TargetPattern != "":
			head = bare("pattern:" + l.TargetPattern)
		case l.TargetAttribute != "":
			head = bare("attr:" + l.TargetAttribute + "=" + l.TargetValue)
		default:
			plain = false
		}
		n := slices.IndexFunc(targets, func(t target) bool { return t.head == head })
		if n < 0 {
			targets = append(targets, target{head: head})
			n = len(targets) - 1
		}
		targets[n].devices = append(targets[n].devices, strings.Join(l.Devices, ","))
		levels[levelKey(l)]++
		if l.Index != strconv.Itoa(levels[levelKey(l)]) || len(l.Extra) > 0 {
			plain = false
		}
	}
	if !plain || p.opts.XML {
		p.items = append(p.items, Item{"fencing_topology", "", p.xmlTopology()})
		return
	}
	members := 0
	same := true
	for i := range c.Nodes {
		if c.Nodes[i].Type == "remote" {
			continue
		}
		members++
		same = same && slices.ContainsFunc(targets, func(t target) bool {
			return t.head == c.Nodes[i].Name+":" && slices.Equal(t.devices, targets[0].devices)
		})
	}
	text := ""
	if same && members == len(targets) && members > 0 {
		text = "fencing_topology " + strings.Join(targets[0].devices, " ")
	} else {
		var list []string
		for _, t := range targets {
			list = append(list, t.head+" "+strings.Join(t.devices, " "))
		}
		text = lines("fencing_topology", list...)
	}
	p.items = append(p.items, Item{"fencing_topology", "", text})
}

func (p *printer) propertySet(keyword string, s *cib.AttributeSet) string {
	head := keyword + " " + s.ID + ":"
	var rest []string
	if s.Score != "" {
		head += " " + scoreText(s.Score) + ":"
	}
	for i := range s.Rules {
		rest = append(rest, p.rule(&s.Rules[i]))
	}
	return lines(head, append(rest, p.nvpairs(s.Pairs, s.ID)...)...)
}

func (p *printer) permission(a *cib.ACLPermission) string {
	out := []string{a.Kind}
	if a.Description != "" {
		out = append(out, "description="+quote(a.Description))
	}
	if a.Attribute != "" {
		out = append(out, "attr:"+bare(a.Attribute))
	}
	if a.Reference != "" {
		out = append(out, "ref:"+bare(a.Reference))
	}
	if a.ObjectType != "" {
		out = append(out, "type:"+bare(a.ObjectType))
	}
	if a.XPath != "" {
		out = append(out, shortXPath(a.XPath))
	}
	return strings.Join(out, " ")
}

func (p *printer) role(r *cib.ACLRole) string {
	var rest []string
	if r.Description != "" {
		rest = append(rest, "description="+quote(r.Description))
	}
	for i := range r.Permissions {
		rest = append(rest, p.permission(&r.Permissions[i]))
	}
	return lines("role "+r.ID, rest...)
}

func (p *printer) user(u *cib.ACLUser) string {
	var rest []string
	for _, r := range u.RoleRefs {
		rest = append(rest, "role:"+r)
	}
	for i := range u.Permissions {
		rest = append(rest, p.permission(&u.Permissions[i]))
	}
	return lines("user "+u.ID, rest...)
}

func (p *printer) alert(a *cib.Alert) string {
	var rest []string
	if a.Description != "" {
		rest = append(rest, "description="+quote(a.Description))
	}
	var parts []byte
	a.EachPart(func(part byte, i int) {
		parts = append(parts, part)
		switch part {
		case cib.PartParams:
			rest = append(rest, p.block("attributes", &a.Params[i]))
		case cib.PartMeta:
			rest = append(rest, p.block("meta", &a.Meta[i]))
		case cib.PartSelect:
			rest = append(rest, alertSelect(a.Select))
		default:
			rest = append(rest, "")
		}
	})
	// Without braces the sets of attributes after a recipient would be its own.
	at, first := len(rest)-len(parts), 0
	for i, part := range parts {
		if part == cib.PartMember {
			braces := i+1 < len(parts) && (parts[i+1] == cib.PartParams || parts[i+1] == cib.PartMeta)
			rest[at+i] = p.recipient(&a.Recipients[first], braces)
			first++
		}
	}
	return lines("alert "+a.ID+" "+quote(a.Path), rest...)
}

func alertSelect(s *cib.AlertSelect) string {
	words := []string{"select"}
	if s.Fencing {
		words = append(words, "fencing")
	}
	if s.Nodes {
		words = append(words, "nodes")
	}
	if s.Resources {
		words = append(words, "resources")
	}
	if s.AttributesOn {
		words = append(words, "attributes {")
		for _, n := range s.Attributes {
			words = append(words, bare(n.Name))
		}
		words = append(words, "}")
	}
	return strings.Join(words, " ")
}

func (p *printer) recipient(r *cib.AlertRecipient, braces bool) string {
	words := []string{"to", quote(r.Value)}
	if braces || r.Description != "" {
		words = []string{"to {", quote(r.Value)}
	}
	if r.Description != "" {
		words = append(words, "description="+quote(r.Description))
	}
	r.EachPart(func(part byte, i int) {
		if part == cib.PartMeta {
			words = append(words, p.block("meta", &r.Meta[i]))
		} else {
			words = append(words, p.block("attributes", &r.Params[i]))
		}
	})
	if braces || r.Description != "" {
		words = append(words, "}")
	}
	return strings.Join(words, " ")
}

// readsBack reports whether the statement gives the object again, ids of its parts aside.
func (p *printer) readsBack(text, keyword string, o cib.Object) bool {
	list, errs := Parse(text)
	return len(errs) == 0 && len(list) == 1 && list[0].Keyword == keyword && says(list[0], o, same)
}

// says reports whether a statement and an object are the same in the eyes of alike.
func says(st *Statement, o cib.Object, alike func(said, is any) bool) bool {
	switch {
	case o.Node != nil:
		return st.Node != nil && len(o.Node.Extra) == 0 && alike(*st.Node, *o.Node)
	case o.Resource != nil:
		if st.Resource == nil || len(o.Resource.Members) != len(st.Nested) {
			return false
		}
		for i, m := range o.Resource.Members {
			if m.ID != st.Nested[i] {
				return false
			}
		}
		return alike(*st.Resource, *o.Resource)
	case o.Constraint != nil:
		return st.Constraint != nil && alike(*st.Constraint, *o.Constraint)
	case o.Set != nil:
		return st.Set != nil && alike(*st.Set, *o.Set)
	case o.Tag != nil:
		return st.Tag != nil && alike(*st.Tag, *o.Tag)
	case o.Role != nil:
		return st.Role != nil && alike(*st.Role, *o.Role)
	case o.User != nil:
		return st.User != nil && alike(*st.User, *o.User)
	case o.Target != nil:
		return st.Target != nil && alike(*st.Target, *o.Target)
	case o.Alert != nil:
		return st.Alert != nil && alike(*st.Alert, *o.Alert)
	}
	return false
}

// same compares two values of the model, without what the language does not say: ids of parts, positions,
// comments, members, and the cluster's own settings of a node.
func same(a, b any) bool { return sameValue(reflect.ValueOf(a), reflect.ValueOf(b), "", false) }

// repeats is same for an object that is there already: spelt in the same way, and ids of parts may only be left out.
func repeats(said, is any) bool {
	return sameValue(reflect.ValueOf(said), reflect.ValueOf(is), "", true)
}

var notSaid = map[string]bool{"ID": true, "Pos": true, "Comments": true, "Members": true, "Links": true, "Witness": true, "Voter": true,
	"Layout": true, "Order": true, "HasValue": true, "CallID": true}

// spelling is what of this a statement chooses all the same.
var spelling = map[string]bool{"Layout": true, "HasValue": true}

func sameValue(a, b reflect.Value, field string, strict bool) bool {
	switch a.Kind() {
	case reflect.Pointer:
		if a.IsNil() || b.IsNil() {
			return a.IsNil() == b.IsNil()
		}
		return sameValue(a.Elem(), b.Elem(), field, strict)
	case reflect.Struct:
		for i := range a.NumField() {
			name := a.Type().Field(i).Name
			if strict && name == "ID" && a.Field(i).String() != "" && a.Field(i).String() != b.Field(i).String() {
				return false
			}
			if (!notSaid[name] || strict && spelling[name]) && !sameValue(a.Field(i), b.Field(i), name, strict) {
				return false
			}
		}
		return true
	case reflect.Slice, reflect.Array:
		if a.Len() != b.Len() {
			return false
		}
		for i := range a.Len() {
			if !sameValue(a.Index(i), b.Index(i), "", strict) {
				return false
			}
		}
		return true
	case reflect.String:
		x, y := a.String(), b.String()
		if x == y || strict {
			return x == y
		}
		switch field {
		case "Score":
			return scoreText(x) == scoreText(y)
		case "Interval":
			return zeroTime(x) && zeroTime(y)
		case "Sequential", "RequireAll":
			return (x == "" || cib.IsTrue(x)) && (y == "" || cib.IsTrue(y))
		case "BooleanOp":
			return (x == "" || x == "and") && (y == "" || y == "and")
		case "Type":
			if (x == "" || x == "string") && (y == "" || y == "string") {
				return true // of a comparison: only eq and ne are printed so
			}
			return (x == "" || x == "member" || x == "normal") && (y == "" || y == "member" || y == "normal")
		}
		return false
	}
	return reflect.DeepEqual(a.Interface(), b.Interface())
}

func zeroTime(s string) bool { return s == "" || s == "0" || s == "0s" }
