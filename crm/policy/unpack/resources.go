package unpack

import (
	"fmt"
	"slices"
	"sort"
	"strconv"
	"strings"

	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/policy/model"
	"github.com/quorate/quorate/crm/policy/values"
)

// resources expands the configured resources (spec/01-inputs.md section 6).
func (u *unpacker) resources() {
	c := u.c
	for _, cfg := range c.Doc.Config.Resources {
		if cfg.Kind == cib.Template {
			u.templates[cfg.ID] = cfg
		}
	}
	c.UnfencingInUse = c.Options.FencingEnabled && unfencingInUse(&c.Doc.Config)
	for _, cfg := range c.Doc.Config.Resources {
		if cfg.Kind != cib.Template {
			u.top(cfg)
		}
	}
	for _, g := range u.guests {
		if c.Resource(g.name) != nil {
			continue // a resource of that name is the connection
		}
		u.top(g.connection())
	}
	u.linkLaunchers()
	sort.SliceStable(c.Resources, func(i, j int) bool { return c.Resources[i].Priority > c.Resources[j].Priority })
}

// top expands one top-level resource; one with an error is left out.
func (u *unpacker) top(cfg *cib.Resource) {
	before := len(u.c.All)
	r, err := u.expand(cfg, nil, "")
	if err != nil {
		u.errorf("%v; it is left out", err)
		u.c.Truncate(before)
		return
	}
	u.c.Resources = append(u.c.Resources, r)
}

// pair and block build configuration for implicit resources.
func pair(name, value string) cib.NVPair { return cib.NVPair{Name: name, Value: value} }

func block(pairs ...cib.NVPair) []cib.AttributeSet { return []cib.AttributeSet{{Pairs: pairs}} }

// connection is the implicit connection of a guest node (spec/01-inputs.md 5.1).
func (g guest) connection() *cib.Resource {
	meta := []cib.NVPair{pair("container", g.launcher), pair("internal_rsc", "true")}
	if g.hasMigrate {
		meta = append(meta, pair("allow-migrate", g.migrate))
	}
	if g.hasManaged {
		meta = append(meta, pair("is-managed", g.managed))
	}
	var params []cib.NVPair
	if g.hasAddr {
		params = append(params, pair("addr", g.addr))
	}
	if g.hasPort {
		params = append(params, pair("port", g.port))
	}
	timeout := g.timeout
	if timeout == "" {
		timeout = "60s"
	}
	return &cib.Resource{
		Kind: cib.Primitive, ID: g.name, Class: "ocf", Provider: "pacemaker", Type: "remote",
		Meta: block(meta...), Params: block(params...),
		Operations: cib.Operations{List: []cib.Operation{
			{ID: g.name + "-monitor-interval-30s", Name: "monitor", Interval: "30s", Extra: []cib.Attr{{Name: "timeout", Value: "30s"}}},
			{ID: g.name + "-start-interval-0s", Name: "start", Interval: "0", Extra: []cib.Attr{{Name: "timeout", Value: timeout}}},
		}},
	}
}

// unfencingInUse reports whether some resource or the resource defaults ask for, or provide, unfencing.
func unfencingInUse(cfg *cib.Configuration) bool {
	in := func(sets []cib.AttributeSet) bool {
		for i := range sets {
			for j := range sets[i].Pairs {
				p := &sets[i].Pairs[j]
				if (p.Name == "requires" || p.Name == "provides") && p.Value == "unfencing" {
					return true
				}
			}
		}
		return false
	}
	var within func(*cib.Resource) bool
	within = func(r *cib.Resource) bool {
		return in(r.Meta) || slices.ContainsFunc(r.Members, within)
	}
	return in(cfg.ResourceDefaults) || slices.ContainsFunc(cfg.Resources, within)
}

// withTemplate returns the primitive merged with its template (spec/01-inputs.md 6.3).
func (u *unpacker) withTemplate(cfg *cib.Resource) (*cib.Resource, error) {
	if cfg.Template == "" {
		return cfg, nil
	}
	if x, done := u.expanded[cfg]; done {
		return x, nil
	}
	t := u.templates[cfg.Template]
	if t == nil {
		return nil, fmt.Errorf("resource %q uses the template %q, which does not exist", cfg.ID, cfg.Template)
	}
	x := *cfg
	x.Class, x.Provider, x.Type = t.Class, t.Provider, t.Type
	if x.Description == "" {
		x.Description = t.Description
	}
	x.Params = append(slices.Clone(t.Params), cfg.Params...)
	x.Meta = append(slices.Clone(t.Meta), cfg.Meta...)
	x.Utilization = append(slices.Clone(t.Utilization), cfg.Utilization...)
	x.Operations.List = slices.Clone(cfg.Operations.List)
	for i := range t.Operations.List {
		op := &t.Operations.List[i]
		own := slices.ContainsFunc(cfg.Operations.List, func(o cib.Operation) bool {
			return o.Name == op.Name && opRoleClass(&o) == opRoleClass(op)
		})
		if !own {
			x.Operations.List = append(x.Operations.List, *op)
		}
	}
	u.expanded[cfg] = &x
	if !slices.Contains(u.c.Templates[cfg.Template], cfg.ID) {
		u.c.Templates[cfg.Template] = append(u.c.Templates[cfg.Template], cfg.ID)
	}
	return &x, nil
}

// opRoleClass sorts the roles of an operation: none, Started and Unpromoted are one class.
func opRoleClass(op *cib.Operation) model.Role {
	text, _ := values.OpAttr(op, "role")
	switch role := model.ParseRole(text); role {
	case model.RoleStarted, model.RoleUnpromoted:
		return model.RoleUnknown
	default:
		return role
	}
}

// operations returns the operations of an expanded primitive; instances share them.
func (u *unpacker) operations(cfg *cib.Resource) []*model.Op {
	if ops, done := u.ops[cfg]; done {
		return ops
	}
	list := cfg.Operations.List
	ops := make([]*model.Op, len(list))
	flat := make([]model.Op, len(list))
	for i := range list {
		op := &flat[i]
		op.Config, op.Name, op.IntervalMS, op.Enabled = &list[i], list[i].Name, values.IntervalMS(list[i].Interval), true
		if v, set := values.OpAttr(&list[i], "enabled"); set {
			if b, ok := values.Bool(v); ok {
				op.Enabled = b
			}
		}
		if v, set := values.OpAttr(&list[i], "role"); set {
			op.Role = model.ParseRole(v)
		}
		ops[i] = op
	}
	u.ops[cfg] = ops
	return ops
}

// expand makes the resource of a configured one, with all that is below it. The suffix is the instance
// number of the clone instance at hand, such as ":0", or "".
func (u *unpacker) expand(cfg *cib.Resource, parent *model.Resource, suffix string) (*model.Resource, error) {
	c := u.c
	if cfg.ID == "" {
		return nil, fmt.Errorf("resource of agent %s:%s has no id", cfg.Class, cfg.Type)
	}
	if cfg.Kind == cib.Primitive {
		x, err := u.withTemplate(cfg)
		if err != nil {
			return nil, err
		}
		cfg = x
	}
	r := &model.Resource{
		ID: cfg.ID + suffix, ConfigID: cfg.ID, Kind: cfg.Kind, Config: cfg, Parent: parent, Instance: -1,
		Role:  model.RoleStopped,
		Class: cfg.Class, Provider: cfg.Provider, Type: cfg.Type,
	}
	r.Meta = values.Meta(c, r)
	u.flags(r)
	c.AddResource(r)
	var err error
	switch cfg.Kind {
	case cib.Primitive:
		r.Ops = u.operations(cfg)
		if len(cfg.Utilization) > 0 {
			r.Utilization = u.capacities(cfg.Utilization)
		}
		if r.FenceDevice {
			c.HaveFencingDevice = true
		}
	case cib.Group:
		err = u.group(r, suffix)
	case cib.Clone:
		err = u.clone(r)
	case cib.Bundle:
		err = u.bundle(r)
	}
	if err != nil {
		return nil, err
	}
	u.defaultLocation(r)
	return r, nil
}

// flags parses the meta-attributes of a resource (spec/01-inputs.md 6.2).
func (u *unpacker) flags(r *model.Resource) {
	o, m := &u.c.Options, r.Meta
	r.FenceDevice = r.Kind == cib.Primitive && strings.EqualFold(r.Class, "stonith")
	r.Connection = r.Kind == cib.Primitive && isConnection(r.Class, r.Provider, r.Type)
	guestConnection := r.Connection && m["container"] != ""

	r.Priority = values.Score(m["priority"], 0)
	if v, ok := values.ScoreIn(o, m["priority"]); ok {
		r.Priority = v
	}
	r.Critical = true
	if b, ok := values.Bool(m["critical"]); ok {
		r.Critical = b
	}
	r.Notify = values.True(m["notify"])
	r.AllowUnhealthy = values.True(m["allow-unhealthy-nodes"])
	r.AttributeTargetHost = strings.EqualFold(m["container-attribute-target"], "host")
	r.AllowMigrate = r.Connection && !guestConnection
	if v, set := m["allow-migrate"]; set {
		r.AllowMigrate = values.True(v)
	}

	r.Managed = true
	if v, set := m["is-managed"]; set && !strings.EqualFold(v, "default") {
		r.Managed = values.True(v)
	}
	if values.True(m["maintenance"]) || o.Maintenance {
		r.Managed, r.Maintenance = false, true
	}

	if v := m["resource-stickiness"]; v != "" && !strings.EqualFold(v, "default") {
		if n, ok := values.ScoreIn(o, v); ok {
			r.Stickiness = n
		}
	}
	r.MigrationThreshold = model.Infinity
	if v := m["migration-threshold"]; v != "" && !strings.EqualFold(v, "default") {
		if n, ok := values.ScoreIn(o, v); ok && n >= 0 {
			r.MigrationThreshold = n
		} else {
			u.warnf("resource %q: migration-threshold %q is no count; using INFINITY", r.ID, v)
		}
	}
	r.FailureTimeoutMS = values.IntervalMS(m["failure-timeout"])

	switch v := m["multiple-active"]; strings.ToLower(v) {
	case "", "stop_start":
	case "block":
		r.Multi = model.MultiBlock
	case "stop_only":
		r.Multi = model.MultiStopOnly
	case "stop_unexpected":
		r.Multi = model.MultiStopUnexpected
	default:
		u.warnf("resource %q: multiple-active %q is unknown; using stop_start", r.ID, v)
	}
	r.Unique = r.Parent == nil || values.True(m["globally-unique"]) || !inClone(r)
	u.requires(r)

	if r.Connection && !guestConnection {
		if v, set := values.Params(u.c, r, nil)["reconnect_interval"]; set {
			if ms := values.IntervalMS(v); ms > 0 {
				r.ReconnectMS, r.FailureTimeoutMS = ms, ms
			}
		}
	}
	r.TargetRole = m["target-role"]
	// Decided for clones once they know whether they are promotable.
	if r.Kind == cib.Primitive || r.Kind == cib.Group {
		u.applyTargetRole(r)
	}
}

// inClone reports whether some ancestor is a clone.
func inClone(r *model.Resource) bool {
	for p := r.Parent; p != nil; p = p.Parent {
		if p.Kind == cib.Clone {
			return true
		}
	}
	return false
}

// applyTargetRole sets the next role that target-role asks for (spec/01-inputs.md 6.2.1).
func (u *unpacker) applyTargetRole(r *model.Resource) {
	role := model.RoleUnknown
	if v := r.TargetRole; v != "" && !strings.EqualFold(v, "default") {
		promotable := false
		if t := r.Top(false); t.Clone != nil {
			promotable = t.Clone.Promotable
		}
		switch parsed := model.ParseRole(v); {
		case parsed == model.RoleStopped:
			role = model.RoleStopped
		case parsed == model.RoleUnpromoted && promotable:
			role = model.RoleUnpromoted
		case parsed == model.RoleUnpromoted:
			u.warnf("resource %q: target-role %q is for promotable clones only; it is left out of account", r.ID, v)
		case parsed == model.RoleUnknown:
			u.warnf("resource %q: target-role %q is unknown; use Stopped, Started, Unpromoted or Promoted", r.ID, v)
		}
	}
	r.Next = role
	if role != model.RoleUnknown {
		u.target[r] = role
	}
}

// requires decides what a resource needs before it may start (spec/01-inputs.md 6.2.2).
func (u *unpacker) requires(r *model.Resource) {
	o := &u.c.Options
	unfence := func() {
		if !o.FencingEnabled || r.FenceDevice {
			r.Requires = model.RequiresQuorum
			return
		}
		r.Requires, r.Unfencing = model.RequiresFencing, true
	}
	v := r.Meta["requires"]
	switch strings.ToLower(v) {
	case "nothing":
		r.Requires = model.RequiresNothing
		return
	case "quorum":
		r.Requires = model.RequiresQuorum
		return
	case "fencing":
		r.Requires = model.RequiresFencing
		if !o.FencingEnabled {
			u.warnf("resource %q requires fencing, but fencing is disabled", r.ID)
		}
		return
	case "unfencing":
		unfence()
		return
	}
	if v != "" {
		u.warnf("resource %q: requires %q is unknown; use nothing, quorum, fencing or unfencing", r.ID, v)
	}
	switch {
	case r.FenceDevice, r.Connection:
		r.Requires = model.RequiresQuorum
	case u.c.UnfencingInUse:
		unfence()
	case o.FencingEnabled:
		r.Requires = model.RequiresFencing
	case o.QuorumPolicy == model.QuorumIgnore:
		r.Requires = model.RequiresNothing
	default:
		r.Requires = model.RequiresQuorum
	}
}

// defaultLocation puts the nodes into the resource's table (spec/01-inputs.md 6.1, spec/03-assignment.md 2.1).
func (u *unpacker) defaultLocation(r *model.Resource) {
	c := u.c
	if !c.Options.Symmetric && !(r.Connection && r.Meta["container"] != "") {
		u.addBundleNodes(r)
		return
	}
	if r.ExclusiveDiscovery {
		return
	}
	r.Allowed = r.Allowed.Grow(c.NodeCount())
	for _, n := range c.Nodes {
		e := &r.Allowed[n.Index]
		switch {
		case e.Discovery == model.DiscoverNever:
		case n.Kind == model.BundleNode:
			*e = bundleNodeEntry
		case !e.Present:
			*e = model.Entry{Score: n.Score, Present: true}
		}
	}
}

// bundleNodeEntry is how a bundle node stands in the tables of what does not run in that bundle.
var bundleNodeEntry = model.Entry{Score: model.MinInfinity, Discovery: model.DiscoverNever, Present: true, Hidden: true}

func (u *unpacker) addBundleNodes(r *model.Resource) {
	for _, n := range u.c.Nodes {
		if n.Kind == model.BundleNode {
			r.Allowed = r.Allowed.Grow(u.c.NodeCount())
			r.Allowed[n.Index] = bundleNodeEntry
		}
	}
}

// group makes the members (spec/01-inputs.md 6.4).
func (u *unpacker) group(r *model.Resource, suffix string) error {
	if v, set := r.Meta["ordered"]; set && !values.True(v) {
		r.GroupUnordered = true
	}
	if v, set := r.Meta["collocated"]; set && !values.True(v) {
		r.GroupUncolocated = true
	}
	for _, m := range r.Config.Members {
		if m.Kind != cib.Primitive {
			continue
		}
		child, err := u.expand(m, r, suffix)
		if err != nil {
			u.errorf("group %q: %v; it is left out", r.ID, err)
			continue
		}
		r.Children = append(r.Children, child)
	}
	if len(r.Children) == 0 {
		u.warnf("group %q has no members", r.ID)
	}
	return nil
}

// count reads a number of a clone: unset is def, invalid and negative are 0.
func count(m map[string]string, def int, names ...string) int {
	for _, name := range names {
		v, set := m[name]
		if !set {
			continue
		}
		n, ok := values.Integer(v)
		if !ok || n < 0 {
			return 0
		}
		return int(min(n, maxInstances))
	}
	return def
}

// maxInstances bounds clone-max, so that a mistyped number takes neither all memory nor hours: the work grows with
// the square of the instances. Documents of the field stay below a few hundred.
const maxInstances = 2000

// maxReplicas bounds the replicas of a bundle: the options of each container name the addresses of all of them.
const maxReplicas = 1000

// clone makes the instances (spec/01-inputs.md 6.5).
func (u *unpacker) clone(r *model.Resource) error {
	c, m := u.c, r.Meta
	var child *cib.Resource
	for _, x := range r.Config.Members {
		if x.Kind == cib.Primitive || x.Kind == cib.Group {
			child = x
			break
		}
	}
	if child == nil {
		return fmt.Errorf("clone %q has no primitive and no group", r.ID)
	}
	uniqueAble, promotable, err := u.classes(child)
	if err != nil {
		return fmt.Errorf("clone %q: %w", r.ID, err)
	}
	cl := &model.Clone{Child: child, ChildID: child.ID}
	r.Clone = cl
	cl.NodeMax = count(m, 1, "clone-node-max")
	cl.Max = count(m, max(1, c.NodeCount()), "clone-max")
	cl.Min = count(m, 0, "clone-min")
	cl.Unique = cl.NodeMax > 1
	if v, set := m["globally-unique"]; set {
		cl.Unique = values.True(v)
	}
	cl.Promotable = values.True(m["promotable"])
	if cl.Promotable {
		if !promotable {
			return fmt.Errorf("clone %q is promotable, but %q is not of class ocf", r.ID, child.ID)
		}
		cl.PromotedMax = count(m, 1, "promoted-max", "master-max")
		cl.PromotedNodeMax = count(m, 1, "promoted-node-max", "master-node-max")
	}
	if cl.Unique && !uniqueAble {
		u.warnf("clone %q cannot be globally unique, since only agents of class ocf and stonith can tell their instances apart", r.ID)
		cl.Unique, cl.NodeMax = false, 1
		cl.Max = min(cl.Max, max(1, c.NodeCount()))
	}
	if !cl.Unique && cl.NodeMax > 1 {
		u.errorf("clone %q is anonymous, so only one instance may run on a node: clone-node-max %d is left out of account", r.ID, cl.NodeMax)
		cl.NodeMax = 1
	}
	cl.Ordered, cl.Interleave, cl.Notify = values.True(m["ordered"]), values.True(m["interleave"]), r.Notify
	r.Unique = cl.Unique
	m["globally-unique"] = strconv.FormatBool(cl.Unique)
	if m["resource-stickiness"] == "" {
		// For the instances: an instance that runs somewhere stays there if all else is equal.
		m["resource-stickiness"] = "1"
	}
	u.applyTargetRole(r)

	if cl.Max == 0 {
		// One instance, so that history finds something; it counts as removed.
		_, err := u.instance(r, true)
		return err
	}
	for range cl.Max {
		if _, err := u.instance(r, false); err != nil {
			return err
		}
	}
	return nil
}

// classes says whether the agents of a clone's child can be globally unique and promotable.
func (u *unpacker) classes(child *cib.Resource) (unique, promotable bool, err error) {
	unique, promotable = true, true
	look := func(p *cib.Resource) error {
		x, err := u.withTemplate(p)
		if err != nil {
			return err
		}
		ocf := strings.EqualFold(x.Class, "ocf")
		promotable = promotable && ocf
		unique = unique && (ocf || strings.EqualFold(x.Class, "stonith"))
		return nil
	}
	if child.Kind == cib.Primitive {
		err = look(child)
		return unique, promotable, err
	}
	for _, m := range child.Members {
		if m.Kind == cib.Primitive {
			_ = look(m) // the group leaves out a member with an error
		}
	}
	return unique, promotable, nil
}

// instance adds the next instance to a clone.
func (u *unpacker) instance(r *model.Resource, removed bool) (*model.Resource, error) {
	cl := r.Clone
	n := cl.Total
	had := r.Meta["clone"]
	r.Meta["clone"] = itoa(n) // for the computed meta-attributes of the instance and its members
	child, err := u.expand(cl.Child, r, ":"+itoa(n))
	if had == "" {
		delete(r.Meta, "clone")
	} else {
		r.Meta["clone"] = had
	}
	if err != nil {
		return nil, err
	}
	cl.Total++
	child.Instance = n
	if removed {
		each(child, func(x *model.Resource) { x.Removed = true })
	}
	r.Children = append(r.Children, child)
	return child, nil
}

// each calls f for r and everything below it, parents first.
func each(r *model.Resource, f func(*model.Resource)) {
	f(r)
	for _, child := range r.Children {
		each(child, f)
	}
}

// linkLaunchers ties connections to their launchers and to the nodes behind them (spec/01-inputs.md 5.1, 5.3).
func (u *unpacker) linkLaunchers() {
	for _, r := range u.c.All {
		u.linkLauncher(r)
	}
}

// launchedBy reports whether r runs in l, directly or not.
func launchedBy(r, l *model.Resource) bool {
	for ; r != nil; r = r.Launcher {
		if r == l {
			return true
		}
	}
	return false
}

func (u *unpacker) linkLauncher(r *model.Resource) {
	c := u.c
	if r.Kind != cib.Primitive {
		return
	}
	if id := r.Meta["container"]; id != "" && id != r.ID && r.Launcher == nil {
		l := c.Resource(id)
		switch {
		case l == nil:
			u.errorf("resource %q: its container %q does not exist", r.ID, id)
		case launchedBy(l, r):
			u.errorf("resource %q: its container %q is itself in it, over container meta-attributes; this one is ignored", r.ID, id)
		default:
			r.Launcher = l
			l.Launched = append(l.Launched, r)
		}
	}
	if !r.Connection || r.RemoteNode != nil {
		return
	}
	n := c.NodeByName(r.ID)
	if n == nil || n.Kind == model.ClusterNode {
		return
	}
	r.RemoteNode, n.Connection = n, r
	switch {
	case r.Launcher == nil:
		n.Unclean = n.Unclean || c.Options.StartupFencing
	case r.Replica != nil:
		setKind(n, model.BundleNode)
	default:
		setKind(n, model.GuestNode)
	}
	if r.Launcher != nil {
		r.IsGuestConnection = true
		r.Launcher.RemoteNode = n
		n.Unclean = false
	}
}
