package cibcrm

import (
	"slices"
	"strings"

	"github.com/quorate/quorate/crm/cib"
)

// Words that begin the blocks of a resource.
var blockWords = []string{"params", "meta", "utilization", "operations", "op", "op_params", "op_meta", "attributes"}

// primitive reads a primitive or a template.
func (p *parser) primitive(st *Statement) error {
	id, err := p.id("name of the resource")
	if err != nil {
		return err
	}
	r := &cib.Resource{Kind: cib.Primitive, ID: id}
	if p.keyword == "rsc_template" {
		r.Kind = cib.Template
	}
	st.ID, st.Resource = id, r
	if p.end() {
		return p.fail("the agent is missing: [CLASS:[PROVIDER:]]TYPE, or @TEMPLATE")
	}
	agent := p.next()
	if name, isTemplate := strings.CutPrefix(agent, "@"); isTemplate {
		if r.Kind == cib.Template {
			return p.fail("a template cannot be made from a template")
		}
		if checkID(name) != nil {
			return p.fail("%q refers to no template", agent)
		}
		r.Template = name
	} else if r.Class, r.Provider, r.Type, err = SplitAgent(agent); err != nil {
		p.at--
		return p.fail("%v", err)
	}
	var parts []byte
	for !p.end() {
		part := byte(cib.PartParams)
		switch {
		case p.accept("params"):
			err = p.block(&r.Params)
		case p.accept("meta"):
			part, err = cib.PartMeta, p.block(&r.Meta)
		case p.accept("utilization"):
			part, err = cib.PartUtilization, p.block(&r.Utilization)
		case p.accept("operations"):
			part, err = cib.PartOperations, p.operations(r)
		case p.accept("op"):
			part, err = cib.PartOperations, p.op(r)
		case len(r.Params)+len(r.Meta)+len(r.Utilization)+len(r.Operations.List) == 0 && p.description(&r.Description):
			continue
		default:
			if _, _, ok := pair(p.peek()); !ok && !strings.HasPrefix(p.peek(), "@") {
				return p.fail("%q is not expected: params, meta, utilization, operations or op", p.peek())
			}
			err = p.block(&r.Params)
		}
		if err != nil {
			return err
		}
		// Operations stand together, where the first of them is.
		if part != cib.PartOperations || !slices.Contains(parts, part) {
			parts = append(parts, part)
		}
	}
	r.SetLayout(parts)
	return nil
}

// block reads one attribute block of a resource and adds it.
func (p *parser) block(into *[]cib.AttributeSet) error {
	set, err := p.attributes(blockWords...)
	if err != nil {
		return err
	}
	*into = append(*into, set)
	return nil
}

// SplitAgent splits [CLASS:[PROVIDER:]]TYPE. A bare type is an OCF agent of the provider heartbeat.
func SplitAgent(s string) (class, provider, typ string, err error) {
	parts := strings.Split(s, ":")
	if slices.Contains(parts, "") {
		return "", "", "", &Error{Text: quote(s) + " names no agent: [CLASS:[PROVIDER:]]TYPE"}
	}
	switch len(parts) {
	case 1:
		return "ocf", "heartbeat", s, nil
	case 2:
		if strings.EqualFold(parts[0], "ocf") {
			return "ocf", "heartbeat", parts[1], nil
		}
		if !knownClass(parts[0]) {
			return "", "", "", &Error{Text: quote(parts[0]) + " is no class of agents (" + strings.Join(classes, ", ") + "); as a provider it is written ocf:" + s}
		}
		return parts[0], "", parts[1], nil
	case 3:
		if parts[0] != "ocf" {
			// systemd units may hold a colon.
			if knownClass(parts[0]) {
				return parts[0], "", strings.Join(parts[1:], ":"), nil
			}
			return "", "", "", &Error{Text: "only agents of class ocf have a provider, not " + quote(s)}
		}
		return parts[0], parts[1], parts[2], nil
	}
	return "", "", "", &Error{Text: quote(s) + " names no agent: [CLASS:[PROVIDER:]]TYPE"}
}

// classes of agents that a statement may name.
var classes = []string{"ocf", "lsb", "systemd", "service", "stonith", "upstart", "nagios"}

func knownClass(s string) bool { return slices.Contains(classes, s) }

func (p *parser) operations(r *cib.Resource) error {
	name, v, ok := p.option("id", "id-ref")
	if !ok {
		return p.fail("after operations comes $id=ID or $id-ref=ID")
	}
	if name == "id" {
		r.Operations.ID = v
	} else {
		r.Operations.IDRef = v
	}
	return nil
}

// opAttributes are attributes of an op element itself; others belong to its instance attributes.
var opAttributes = []string{"timeout", "on-fail", "role", "start-delay", "interval-origin", "enabled", "record-pending",
	"description", "id"}

// onFail are the values of on-fail.
var onFail = []string{"restart", "stop", "block", "fence", "standby", "demote", "ignore", "restart-container", "nothing"}

func (p *parser) op(r *cib.Resource) error {
	if p.end() {
		return p.fail("the name of the operation is missing, such as monitor")
	}
	o := cib.Operation{Name: p.next()}
	if checkID(o.Name) != nil {
		p.at--
		return p.fail("%q is not the name of an operation", o.Name)
	}
	var own cib.AttributeSet
	var attrs, sets []byte // parts as they are written; attributes come first
	for !p.end() {
		switch {
		case p.accept("op_params"):
			sets = append(sets, cib.PartParams)
			set, err := p.attributes(blockWords...)
			if err != nil {
				return err
			}
			o.Params = append(o.Params, set)
			continue
		case p.accept("op_meta"):
			sets = append(sets, cib.PartMeta)
			set, err := p.attributes(blockWords...)
			if err != nil {
				return err
			}
			o.Meta = append(o.Meta, set)
			continue
		}
		if p.is(blockWords...) {
			break
		}
		name, value, ok := pair(p.peek())
		if !ok {
			return p.fail("%q is not NAME=VALUE", p.peek())
		}
		p.at++
		plain := strings.TrimPrefix(name, "$")
		if len(own.Pairs) > 0 && (plain == "interval" || plain != "id" && slices.Contains(opAttributes, plain)) {
			// The field's shell refuses it too: what follows would look like a parameter of the agent.
			p.at--
			return p.fail("%s comes before %s, which is a parameter of the agent: write it first", plain, own.Pairs[0].Name)
		}
		switch {
		case name == "$id" || name == "id":
			o.ID = value
		case name == "$id-ref":
			o.IDRef = value
		case plain == "interval":
			if err := p.once(o.Interval != "", name); err != nil {
				return err
			}
			o.Interval = value
			attrs = append(attrs, cib.PartInterval)
		case slices.Contains(opAttributes, plain):
			if err := p.once(slices.ContainsFunc(o.Extra, func(a cib.Attr) bool { return a.Name == plain }), name); err != nil {
				return err
			}
			if plain == "role" && !knownRole(value) {
				p.at--
				return p.fail("%q is not a role: %s", value, strings.Join(roleNames, ", "))
			}
			if plain == "on-fail" && !slices.Contains(onFail, value) {
				p.at--
				return p.fail("on-fail is one of %s, not %q", strings.Join(onFail, ", "), value)
			}
			o.Extra = append(o.Extra, cib.Attr{Name: plain, Value: value})
			attrs = append(attrs, cib.PartAttribute)
		default:
			own.Pairs = append(own.Pairs, cib.NVPair{Name: name, Value: value})
		}
	}
	if len(own.Pairs) > 0 {
		o.Params = append([]cib.AttributeSet{own}, o.Params...)
		sets = append([]byte{cib.PartParams}, sets...)
	}
	if o.Interval == "" {
		o.Interval = "0"
		attrs = append(attrs, cib.PartInterval)
	}
	o.SetLayout(append(attrs, sets...))
	r.Operations.List = append(r.Operations.List, o)
	return nil
}

func (p *parser) once(seen bool, name string) error {
	if seen {
		p.at--
		return p.fail("%s is given twice", name)
	}
	return nil
}

func (p *parser) group(st *Statement) error {
	id, err := p.id("name of the group")
	if err != nil {
		return err
	}
	r := &cib.Resource{Kind: cib.Group, ID: id}
	st.ID, st.Resource = id, r
	for !p.end() && !p.is("params", "meta") {
		if p.description(&r.Description) {
			continue
		}
		if _, _, ok := pair(p.peek()); ok && len(st.Nested) > 0 {
			break // parameters without the word
		}
		member := p.peek()
		if err := checkID(member); err != nil {
			return p.fail("%q cannot be a member: %v", member, err)
		}
		if slices.Contains(st.Nested, member) {
			return p.fail("%s is listed twice", member)
		}
		st.Nested = append(st.Nested, member)
		p.at++
	}
	if len(st.Nested) == 0 {
		return p.fail("a group needs at least one member")
	}
	return p.collective(r)
}

// collective reads the params, meta and description of a group or clone.
func (p *parser) collective(r *cib.Resource) error {
	var parts []byte
	for !p.end() {
		part := byte(cib.PartParams)
		var err error
		switch {
		case p.accept("params"):
			err = p.block(&r.Params)
		case p.accept("meta"):
			part, err = cib.PartMeta, p.block(&r.Meta)
		case len(r.Params)+len(r.Meta) == 0 && p.description(&r.Description):
			continue
		default:
			if _, _, ok := pair(p.peek()); !ok {
				return p.fail("%q is not expected: params or meta", p.peek())
			}
			err = p.block(&r.Params)
		}
		if err != nil {
			return err
		}
		parts = append(parts, part)
	}
	r.SetLayout(parts)
	return nil
}

func (p *parser) clone(st *Statement) error {
	id, err := p.id("name of the clone")
	if err != nil {
		return err
	}
	r := &cib.Resource{Kind: cib.Clone, ID: id, LegacyMaster: p.keyword == "ms"}
	st.ID, st.Resource = id, r
	child, err := p.id("resource to clone")
	if err != nil {
		return err
	}
	st.Nested = []string{child}
	return p.collective(r)
}

// Attributes of the parts of a bundle.
var (
	bundleEngines = []string{"docker", "podman", "rkt"}
	engineAttrs   = []string{"image", "replicas", "replicas-per-host", "masters", "promoted-max", "run-command", "network", "options"}
	networkAttrs  = []string{"ip-range-start", "control-port", "host-interface", "host-netmask", "add-host"}
	portAttrs     = []string{"id", "port", "internal-port", "range"}
	storageAttrs  = []string{"id", "source-dir", "source-dir-root", "target-dir", "options"}
)

func (p *parser) bundle(st *Statement) error {
	id, err := p.id("name of the bundle")
	if err != nil {
		return err
	}
	b := &cib.BundleSpec{}
	r := &cib.Resource{Kind: cib.Bundle, ID: id, Bundle: b}
	st.ID, st.Resource = id, r
	var parts []byte
	once := func(part byte) {
		if !slices.Contains(parts, part) {
			parts = append(parts, part)
		}
	}
	for !p.end() {
		switch {
		case p.is(bundleEngines...):
			if b.Engine != "" {
				return p.fail("a bundle has one container engine")
			}
			once(cib.PartContainer)
			b.Engine = strings.ToLower(p.next())
			if b.Attributes, err = p.fixed(engineAttrs); err != nil {
				return err
			}
		case p.accept("network"):
			once(cib.PartNetwork)
			b.HasNetwork = true
			if b.Network, err = p.fixed(networkAttrs); err != nil {
				return err
			}
		case p.accept("port-mapping"):
			attrs, err := p.fixed(portAttrs)
			if err != nil {
				return err
			}
			if get(attrs, "port")+get(attrs, "range") == "" {
				return p.fail("a port-mapping needs port=NUMBER or range=FIRST-LAST")
			}
			once(cib.PartNetwork)
			b.HasNetwork = true
			m := cib.PortMapping{ID: get(attrs, "id"), Port: get(attrs, "port"),
				InternalPort: get(attrs, "internal-port"), Range: get(attrs, "range")}
			m.SetLayout(mappingParts(attrs))
			b.Ports = append(b.Ports, m)
		case p.accept("storage"):
			once(cib.PartStorage)
			b.HasStorage = true
		case p.accept("storage-mapping"):
			attrs, err := p.fixed(storageAttrs)
			if err != nil {
				return err
			}
			if get(attrs, "target-dir") == "" || get(attrs, "source-dir")+get(attrs, "source-dir-root") == "" {
				return p.fail("a storage-mapping needs target-dir=FOLDER and one of source-dir=FOLDER, source-dir-root=FOLDER")
			}
			once(cib.PartStorage)
			b.HasStorage = true
			m := cib.StorageMapping{ID: get(attrs, "id"), SourceDir: get(attrs, "source-dir"),
				SourceDirRoot: get(attrs, "source-dir-root"), TargetDir: get(attrs, "target-dir"), Options: get(attrs, "options")}
			m.SetLayout(mappingParts(attrs))
			b.Storage = append(b.Storage, m)
		case p.accept("primitive"):
			child, err := p.id("primitive in the bundle")
			if err != nil {
				return err
			}
			once(cib.PartMember)
			st.Nested = []string{child}
		case p.accept("meta"):
			set, err := p.attributes(append([]string{"network", "storage", "primitive", "meta"}, bundleEngines...)...)
			if err != nil {
				return err
			}
			r.Meta = append(r.Meta, set)
			parts = append(parts, cib.PartMeta)
		case p.description(&r.Description):
		default:
			return p.fail("%q is not expected: %s, network, storage, primitive or meta", p.peek(), strings.Join(bundleEngines, ", "))
		}
	}
	if b.Engine == "" {
		return p.fail("the container engine is missing: %s", strings.Join(bundleEngines, ", "))
	}
	if get(b.Attributes, "image") == "" {
		return p.fail("the container needs image=NAME")
	}
	r.SetLayout(parts)
	return nil
}

// mappingParts are the attributes of a mapping as they are written. An id that is made is the last.
func mappingParts(attrs []cib.Attr) []byte {
	var parts []byte
	for _, a := range attrs {
		parts = append(parts, cib.MappingPart(a.Name))
	}
	if get(attrs, "id") == "" {
		parts = append(parts, cib.PartID)
	}
	return parts
}

// fixed reads NAME=VALUE words of a closed list.
func (p *parser) fixed(names []string) ([]cib.Attr, error) {
	var out []cib.Attr
	for !p.end() {
		n, v, ok := pair(p.peek())
		if !ok {
			break
		}
		n = strings.TrimPrefix(n, "$")
		if !slices.Contains(names, n) {
			return nil, p.fail("%q is not one of %s", n, strings.Join(names, ", "))
		}
		if slices.ContainsFunc(out, func(a cib.Attr) bool { return a.Name == n }) {
			return nil, p.fail("%s is given twice", n)
		}
		out = append(out, cib.Attr{Name: n, Value: v})
		p.at++
	}
	return out, nil
}

func get(attrs []cib.Attr, name string) string {
	for _, a := range attrs {
		if a.Name == name {
			return a.Value
		}
	}
	return ""
}

func (p *parser) monitor(st *Statement) error {
	m := &Monitor{}
	st.Monitor = m
	if p.end() {
		return p.fail("the form is monitor RESOURCE[:ROLE] INTERVAL[:TIMEOUT]")
	}
	m.Resource, m.Role, _ = strings.Cut(p.next(), ":")
	st.ID = m.Resource
	if checkID(m.Resource) != nil {
		return p.fail("%q is not the name of a resource", m.Resource)
	}
	if m.Role != "" && !knownRole(m.Role) {
		return p.fail("%q is not a role: %s", m.Role, strings.Join(roleNames, ", "))
	}
	if p.end() {
		return p.fail("the interval is missing: INTERVAL[:TIMEOUT]")
	}
	m.Interval, m.Timeout, _ = strings.Cut(p.next(), ":")
	for _, t := range []string{m.Interval, m.Timeout} {
		if t != "" && !timeText(t) {
			return p.fail("%q is not a time, such as 30s", t)
		}
	}
	if m.Interval == "" {
		return p.fail("the interval is missing: INTERVAL[:TIMEOUT]")
	}
	return nil
}

// timeText reports whether s looks like a time: digits and a unit.
func timeText(s string) bool {
	unit := strings.TrimLeft(s, "0123456789")
	return unit != s && slices.Contains([]string{"", "s", "ms", "us", "m", "h", "sec", "msec", "usec", "min", "hr"}, strings.ToLower(unit))
}

var roleNames = []string{"Stopped", "Started", "Promoted", "Unpromoted", "Master", "Slave"}

func knownRole(s string) bool {
	return slices.ContainsFunc(roleNames, func(r string) bool { return strings.EqualFold(r, s) })
}

// canonicalRole writes a role with its usual capital.
func canonicalRole(s string) string {
	for _, r := range roleNames {
		if strings.EqualFold(r, s) {
			return r
		}
	}
	return s
}

// OperationAttribute reports whether name is an attribute of an op element itself; all others are instance
// attributes of the operation.
func OperationAttribute(name string) bool { return slices.Contains(opAttributes, name) }
