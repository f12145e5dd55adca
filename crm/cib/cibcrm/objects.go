package cibcrm

import (
	"slices"
	"strconv"
	"strings"

	"github.com/quorate/quorate/crm/cib"
)

func (p *parser) node(st *Statement) error {
	n := &cib.Node{}
	st.Node = n
	if p.end() {
		return p.fail("the name of the node is missing")
	}
	w := ""
	if _, id, ok := p.option("id"); ok {
		n.ID = id
	} else if id, isID := strings.CutSuffix(p.peek(), ":"); isID {
		p.at++
		n.ID = strings.TrimPrefix(strings.TrimPrefix(id, "$"), "id=")
	}
	if w = p.next(); w == "" {
		return p.fail("the form is [ID:] NAME[:TYPE]")
	}
	n.Name, n.Type, _ = strings.Cut(w, ":")
	if n.Name == "" || strings.ContainsAny(n.Name, "= \t\"'{}()") {
		p.at--
		return p.fail("%q cannot be the name of a node", n.Name)
	}
	if n.Type != "" && n.Type != "member" && n.Type != "remote" {
		p.at--
		return p.fail("%q is no type of node: member or remote", n.Type)
	}
	st.ID = n.Name
	var parts []byte
	for !p.end() {
		var err error
		switch {
		case p.accept("attributes"):
			parts = append(parts, cib.PartParams)
			err = p.nodeBlock(&n.Attributes)
		case p.accept("utilization"):
			parts = append(parts, cib.PartUtilization)
			err = p.nodeBlock(&n.Utilization)
		case p.description(&n.Description):
		default:
			return p.fail("%q is not expected: attributes or utilization", p.peek())
		}
		if err != nil {
			return err
		}
	}
	n.SetLayout(parts)
	return nil
}

func (p *parser) nodeBlock(into *[]cib.AttributeSet) error {
	set, err := p.attributes("attributes", "utilization")
	if err != nil {
		return err
	}
	*into = append(*into, set)
	return nil
}

// defaultSetIDs are the ids of the sets that property and the defaults use when none is given.
var defaultSetIDs = map[string]string{
	"property": "cib-bootstrap-options", "rsc_defaults": "rsc-options", "op_defaults": "op-options",
}

// removedProperties are those that no schema has since pacemaker-2.0, with what stands instead.
var removedProperties = map[string]string{
	"default-resource-stickiness": "rsc_defaults resource-stickiness=",
	"is-managed-default":          "rsc_defaults is-managed=",
	"default-action-timeout":      "op_defaults timeout=",
}

func (p *parser) property(st *Statement) error {
	id := ""
	if w := p.peek(); strings.HasSuffix(w, ":") && !p.words[p.at].quoted {
		head := strings.TrimSuffix(strings.TrimPrefix(strings.TrimPrefix(w, "$"), "id="), ":")
		if err := checkID(head); err != nil {
			return p.fail("%q cannot be the id of a set: %v", head, err)
		}
		id = head
		p.at++
	}
	if p.end() && id == "" {
		return p.fail("NAME=VALUE is missing")
	}
	set, err := p.attributes()
	if err != nil {
		return err
	}
	if len(set.Rules) > 1 {
		return p.fail("a set has one rule: write another set with an id of its own, %s ID: rule ...", p.keyword)
	}
	for _, v := range set.Pairs {
		switch {
		case p.keyword == "property" && removedProperties[v.Name] != "":
			return p.fail("%s is no property any more: write %s%s", v.Name, removedProperties[v.Name], v.Value)
		case v.NoValue && v.IDRef == "":
			return p.fail("%q is not NAME=VALUE", v.Name)
		case v.Value == "" && v.IDRef == "":
			return p.fail("%s has no value", v.Name)
		}
	}
	if set.ID == "" {
		set.ID = id
	}
	if set.ID == "" && set.IDRef == "" {
		set.ID = defaultSetIDs[p.keyword]
	}
	st.ID, st.Set = set.ID, &set
	return nil
}

func (p *parser) tag(st *Statement) error {
	w := strings.TrimSuffix(strings.TrimPrefix(strings.TrimPrefix(p.peek(), "$"), "id="), ":")
	if err := checkID(w); err != nil {
		return p.fail("%q cannot be the name of the tag: %v", w, err)
	}
	p.at++
	t := &cib.Tag{ID: w}
	st.ID, st.Tag = w, t
	for !p.end() {
		ref := p.peek()
		if err := checkID(ref); err != nil {
			return p.fail("%q cannot be in a tag: %v", ref, err)
		}
		if slices.Contains(t.Refs, ref) {
			return p.fail("%s is listed twice", ref)
		}
		t.Refs = append(t.Refs, ref)
		p.at++
	}
	if len(t.Refs) == 0 {
		return p.fail("a tag needs at least one object")
	}
	return nil
}

// topology reads "fencing_topology DEVICES ..." (for all nodes) or "TARGET: DEVICES ... TARGET: DEVICES ...".
// Levels for all nodes come back with the target "@@": Apply expands them. A target
// that comes again goes on with its levels, and so do, as in the field's shell, other values of an attribute.
func (p *parser) topology(st *Statement) error {
	st.Levels = []cib.FencingLevel{}
	target := cib.FencingLevel{Target: allNodes}
	levels := make(map[string]int)
	for !p.end() {
		w := p.peek()
		switch {
		case strings.HasPrefix(strings.ToLower(w), "pattern:"):
			target = cib.FencingLevel{TargetPattern: w[len("pattern:"):]}
			if target.TargetPattern == "" {
				return p.fail("a pattern is missing: pattern:REGEX")
			}
			p.at++
			continue
		case strings.HasPrefix(strings.ToLower(w), "attr:"):
			name, value, ok := pair(w[len("attr:"):])
			if !ok {
				return p.fail("%q: the form is attr:NAME=VALUE", w)
			}
			target = cib.FencingLevel{TargetAttribute: name, TargetValue: value}
			p.at++
			continue
		case strings.HasSuffix(w, ":") && len(w) > 1:
			target = cib.FencingLevel{Target: w[:len(w)-1]}
			p.at++
			continue
		}
		l := target
		for _, d := range strings.Split(w, ",") {
			if err := checkID(d); err != nil {
				return p.fail("%q cannot be a fencing device: %v", d, err)
			}
			l.Devices = append(l.Devices, d)
		}
		levels[levelKey(&l)]++
		l.Index = strconv.Itoa(levels[levelKey(&l)])
		st.Levels = append(st.Levels, l)
		p.at++
	}
	return nil
}

// levelKey names the targets whose levels are counted together.
func levelKey(l *cib.FencingLevel) string {
	switch {
	case l.TargetAttribute != "":
		return "attr:" + l.TargetAttribute
	case l.TargetPattern != "":
		return "pattern:" + l.TargetPattern
	}
	return "node:" + l.Target
}

const allNodes = "@@"

func (p *parser) target(st *Statement) error {
	id, err := p.id("name of the user or group")
	if err != nil {
		return err
	}
	t := &cib.ACLTarget{ID: id}
	st.ID, st.Target = id, t
	for !p.end() {
		role := p.peek()
		if name, ok := strings.CutPrefix(role, "role:"); ok {
			return p.fail("%q: the role stands alone here: %s", role, name)
		}
		if err := checkID(role); err != nil {
			return p.fail("%q cannot be a role: %v", role, err)
		}
		t.Roles = append(t.Roles, role)
		p.at++
	}
	if len(t.Roles) == 0 {
		return p.fail("at least one role is needed")
	}
	return nil
}

func (p *parser) user(st *Statement) error {
	id, err := p.id("name of the user")
	if err != nil {
		return err
	}
	u := &cib.ACLUser{ID: id}
	st.ID, st.User = id, u
	for !p.end() {
		if role, ok := strings.CutPrefix(p.peek(), "role:"); ok {
			u.RoleRefs = append(u.RoleRefs, role)
			p.at++
			continue
		}
		perm, err := p.permission(true)
		if err != nil {
			return err
		}
		u.Permissions = append(u.Permissions, perm)
	}
	if len(u.RoleRefs)+len(u.Permissions) == 0 {
		return p.fail("a user needs role:NAME or read, write, deny")
	}
	return nil
}

func (p *parser) role(st *Statement) error {
	id, err := p.id("name of the role")
	if err != nil {
		return err
	}
	r := &cib.ACLRole{ID: id}
	st.ID, st.Role = id, r
	p.description(&r.Description)
	for !p.end() {
		perms, err := p.permissions()
		if err != nil {
			return err
		}
		r.Permissions = append(r.Permissions, perms...)
	}
	if len(r.Permissions) == 0 {
		return p.fail("a role needs at least one of read, write, deny")
	}
	return nil
}

var aclKinds = []string{"read", "write", "deny"}

// permissions reads one "read|write|deny [ID:] OBJECT ..." with one or more objects.
func (p *parser) permissions() ([]cib.ACLPermission, error) {
	if !p.is(aclKinds...) {
		return nil, p.fail("%q: read, write or deny is expected", p.peek())
	}
	kind := strings.ToLower(p.next())
	id := ""
	if w := p.peek(); strings.HasSuffix(w, ":") && checkID(strings.TrimSuffix(w, ":")) == nil {
		id = strings.TrimSuffix(w, ":")
		p.at++
	}
	description := ""
	p.description(&description)
	var out []cib.ACLPermission
	for !p.end() && !p.is(aclKinds...) {
		perm := cib.ACLPermission{ID: id, Kind: kind, Description: description}
		if err := p.selector(&perm); err != nil {
			return nil, err
		}
		id = ""
		out = append(out, perm)
	}
	// The field's shell puts references in front of types.
	slices.SortStableFunc(out, func(a, b cib.ACLPermission) int {
		switch x, y := a.Reference != "", b.Reference != ""; {
		case x && !y && b.ObjectType != "":
			return -1
		case y && !x && a.ObjectType != "":
			return 1
		}
		return 0
	})
	if len(out) == 0 {
		return nil, p.fail("after %s an object is missing: xpath:, ref:, type: or a short form such as meta:RESOURCE", kind)
	}
	return out, nil
}

func (p *parser) permission(legacy bool) (cib.ACLPermission, error) {
	if !p.is(aclKinds...) {
		return cib.ACLPermission{}, p.fail("%q: read, write or deny is expected", p.peek())
	}
	perm := cib.ACLPermission{Kind: strings.ToLower(p.next()), Legacy: legacy}
	return perm, p.selector(&perm)
}

// shortForms of permissions and the XPath that each stands for, with one %s for each further part.
var shortForms = map[string][]string{
	"meta":        {"//primitive[@id='%s']/meta_attributes", "//primitive[@id='%s']/meta_attributes/nvpair[@name='%s']"},
	"params":      {"//primitive[@id='%s']/instance_attributes", "//primitive[@id='%s']/instance_attributes/nvpair[@name='%s']"},
	"utilization": {"//primitive[@id='%s']/utilization"},
	"location":    {"//rsc_location[@id='cli-prefer-%s' and @rsc='%s']"},
	"property":    {"//crm_config/cluster_property_set", "//crm_config/cluster_property_set/nvpair[@name='%s']"},
	"node":        {"//nodes/node", "//nodes/node[@uname='%s']"},
	"nodeattr":    {"//nodes/node/instance_attributes", "//nodes/node/instance_attributes/nvpair[@name='%s']"},
	"nodeutil":    {"//nodes/node/utilization", "//nodes/node/utilization[@uname='%s']"},
	"status":      {"/cib/status"},
	"cib":         {"/cib"},
}

// selector reads the object of a permission.
func (p *parser) selector(perm *cib.ACLPermission) error {
	if p.end() {
		return p.fail("the object of the permission is missing")
	}
	w := p.next()
	kind, rest, _ := strings.Cut(w, ":")
	if strings.EqualFold(kind, "attr") || strings.EqualFold(kind, "attribute") {
		// attr:NAME in front of type:ELEMENT says the same as behind it.
		if perm.Attribute = rest; rest == "" || !strings.HasPrefix(p.peek(), "type:") && !strings.HasPrefix(p.peek(), "tag:") {
			p.at--
			return p.fail("%q goes with type:ELEMENT only", w)
		}
		_, perm.ObjectType, _ = strings.Cut(p.next(), ":")
		if perm.ObjectType == "" {
			return p.fail("type: needs the name of an element")
		}
		return nil
	}
	switch kind {
	case "xpath":
		perm.XPath = rest
	case "ref", "reference":
		perm.Reference = rest
	case "type", "tag":
		perm.ObjectType = rest
		if attr, ok := strings.CutPrefix(p.peek(), "attribute:"); ok {
			perm.Attribute = attr
			p.at++
		}
	default:
		forms, ok := shortForms[kind]
		if !ok {
			p.at--
			return p.fail("%q is no object of a permission: xpath:, ref:, type: or one of cib, status, node, nodeattr, nodeutil, property, meta:, params:, utilization:, location:", w)
		}
		var args []string
		if rest != "" {
			args = strings.Split(rest, ":")
		}
		if kind == "location" && len(args) == 1 {
			args = append(args, args[0])
		}
		for _, form := range forms {
			if strings.Count(form, "%s") == len(args) {
				for _, a := range args {
					form = strings.Replace(form, "%s", a, 1)
				}
				perm.XPath = form
				return nil
			}
		}
		p.at--
		return p.fail("%q has the wrong number of parts", w)
	}
	if perm.XPath == "" && perm.Reference == "" && perm.ObjectType == "" {
		p.at--
		return p.fail("%q is not complete", w)
	}
	return nil
}

func (p *parser) alert(st *Statement) error {
	id, err := p.id("name of the alert")
	if err != nil {
		return err
	}
	a := &cib.Alert{ID: id}
	st.ID, st.Alert = id, a
	if p.end() {
		return p.fail("the path of the alert agent is missing")
	}
	a.Path = p.next()
	stop := []string{"attributes", "meta", "select", "to", "}", "{"}
	var parts []byte
	for !p.end() {
		switch {
		case p.accept("attributes"):
			set, err := p.attributes(stop...)
			if err != nil {
				return err
			}
			a.Params = append(a.Params, set)
			parts = append(parts, cib.PartParams)
		case p.accept("meta"):
			set, err := p.attributes(stop...)
			if err != nil {
				return err
			}
			a.Meta = append(a.Meta, set)
			parts = append(parts, cib.PartMeta)
		case p.accept("select"):
			if a.Select != nil {
				return p.fail("select is given twice: write all kinds of events after one")
			}
			parts = append(parts, cib.PartSelect)
			if err := p.alertSelect(a); err != nil {
				return err
			}
		case p.accept("to"):
			if err := p.recipient(a); err != nil {
				return err
			}
			parts = append(parts, cib.PartMember)
		case p.description(&a.Description):
		default:
			return p.fail("%q is not expected: attributes, meta, select or to", p.peek())
		}
	}
	a.SetLayout(parts)
	return nil
}

func (p *parser) alertSelect(a *cib.Alert) error {
	a.Select = &cib.AlertSelect{}
	s := a.Select
	any := false
	for {
		switch {
		case p.accept("nodes"):
			s.Nodes = true
		case p.accept("fencing"):
			s.Fencing = true
		case p.accept("resources"):
			s.Resources = true
		case p.is("attributes") && p.at+1 < len(p.words) && p.words[p.at+1].text == "{":
			p.at += 2
			s.AttributesOn = true
			for !p.accept("}") {
				if p.end() {
					return p.fail("the } after the attributes is missing")
				}
				s.Attributes = append(s.Attributes, cib.AlertAttribute{Name: p.next()})
			}
		case p.is("attributes"):
			if !any {
				p.at++
				s.AttributesOn = true
				break
			}
			return nil
		default:
			if !any {
				return p.fail("after select comes nodes, fencing, resources or attributes { NAME ... }")
			}
			return nil
		}
		any = true
	}
}

func (p *parser) recipient(a *cib.Alert) error {
	braced := p.accept("{")
	if p.end() || braced && p.is("}") {
		return p.fail("the recipient is missing")
	}
	r := cib.AlertRecipient{Value: p.next()}
	stop := []string{"attributes", "meta", "select", "to"}
	if braced {
		stop = []string{"attributes", "meta", "}"}
	}
	var parts []byte
	for !p.end() && !(braced && p.is("}")) {
		into, part := &r.Params, byte(cib.PartParams)
		switch {
		case p.accept("attributes"):
		case p.accept("meta"):
			into, part = &r.Meta, cib.PartMeta
		case p.description(&r.Description):
			continue
		case braced:
			return p.fail("%q is not expected in a recipient", p.peek())
		default:
			r.SetLayout(parts)
			a.Recipients = append(a.Recipients, r)
			return nil
		}
		set, err := p.attributes(stop...)
		if err != nil {
			return err
		}
		*into = append(*into, set)
		parts = append(parts, part)
	}
	if braced && !p.accept("}") {
		return p.fail("the } after the recipient is missing")
	}
	r.SetLayout(parts)
	a.Recipients = append(a.Recipients, r)
	return nil
}

// xml takes an element as the one remaining word.
func (p *parser) xml(st *Statement) error {
	var parts []string
	for !p.end() {
		parts = append(parts, p.next())
	}
	st.XML = strings.Join(parts, " ")
	if !strings.HasPrefix(st.XML, "<") {
		return p.fail("an XML element is expected")
	}
	return nil
}

// shortXPath writes an XPath as the short form that stands for it, else as xpath:.
func shortXPath(xpath string) string {
	for _, name := range []string{"meta", "params", "utilization", "location", "property", "node", "nodeattr", "nodeutil", "status", "cib"} {
		for _, form := range shortForms[name] {
			args, ok := matchForm(form, xpath)
			if !ok {
				continue
			}
			if name == "location" && len(args) == 2 && args[0] == args[1] {
				args = args[:1]
			}
			return strings.Join(append([]string{name}, args...), ":")
		}
	}
	return "xpath:" + quote(xpath)
}

// matchForm finds what stands for each %s of a form.
func matchForm(form, text string) (args []string, ok bool) {
	parts := strings.Split(form, "%s")
	rest, ok := strings.CutPrefix(text, parts[0])
	for _, part := range parts[1:] {
		if !ok {
			return nil, false
		}
		at := len(rest)
		if part != "" {
			if at = strings.Index(rest, part); at < 0 {
				return nil, false
			}
		}
		if checkID(rest[:at]) != nil {
			return nil, false
		}
		args = append(args, rest[:at])
		rest = rest[at+len(part):]
	}
	return args, ok && rest == ""
}
