package action

import (
	"slices"
	"strconv"
	"strings"

	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/policy/model"
	"github.com/quorate/quorate/crm/policy/values"
	"github.com/quorate/quorate/crm/transition"
)

// Verdict says how the parameters of a recorded operation compare with the configuration
// (spec/04-actions.md 3.5).
type Verdict uint8

// Verdicts.
const (
	Same    Verdict = iota
	Unknown         // nothing was recorded to compare with
	Changed         // something changed that may be taken over without a restart
	Restart         // something changed that needs a restart
)

// HostPlaceholder stands for the name of the host in the address of a bundle's connection.
const HostPlaceholder = "#uname"

// UsesHostAddress reports whether r is the connection of a bundle replica that is reached by its host's name.
func UsesHostAddress(c *model.Cluster, r *model.Resource) bool {
	return r.Connection && r.Replica != nil && r.Replica.Connection == r && values.Params(c, r, nil)["addr"] == HostPlaceholder
}

// Params returns the parameters of r for an action on node, with the address of a bundle's connection filled
// in. The result may be shared: do not change it.
func Params(c *model.Cluster, r *model.Resource, node *model.Node) map[string]string {
	p := values.Params(c, r, node)
	if !UsesHostAddress(c, r) || p["addr"] != HostPlaceholder {
		return p
	}
	host := r.Replica.Container.Assigned
	if host == nil {
		host = r.Replica.Container.Current()
	}
	if host == nil {
		return p
	}
	own := make(map[string]string, len(p))
	for name, value := range p {
		own[name] = value
	}
	own["addr"] = host.Name
	return own
}

// notDigested are the parameters that say where and by whom an operation runs, not what it does.
var notDigested = []string{"id", "crm_feature_set", "op-digest", "on_node", "on_node_uuid", "pcmk_external_ip"}

// digestSet returns what the digest of an operation covers, sorted by name.
func digestSet(c *model.Cluster, r *model.Resource, task string, intervalMS int64, node *model.Node) []transition.Attr {
	m := OpMeta(c, r, task, intervalMS)
	params, own := Params(c, r, node), OpParams(c, m.Op, node)
	set := make([]transition.Attr, 0, len(params)+len(own)+1)
	add := func(name, value string) {
		if !strings.HasPrefix(name, "CRM_meta_") && !slices.Contains(notDigested, name) {
			set = append(set, transition.Attr{Name: name, Value: value})
		}
	}
	for name, value := range own {
		add(name, value)
	}
	for name, value := range params {
		if _, taken := own[name]; !taken {
			add(name, value)
		}
	}
	if intervalMS > 0 {
		set = append(set, transition.Attr{Name: "CRM_meta_timeout", Value: m.Meta["timeout"]})
	}
	slices.SortFunc(set, func(a, b transition.Attr) int { return strings.Compare(a.Name, b.Name) })
	return set
}

func without(set []transition.Attr, drop func(name string) bool) []transition.Attr {
	out := make([]transition.Attr, 0, len(set))
	for _, a := range set {
		if !drop(a.Name) {
			out = append(out, a)
		}
	}
	return out
}

// compared is the task whose parameters a recorded operation was run with: what leads to an active resource
// counts as its start.
func compared(entry *cib.HistoryOp) string {
	switch entry.Operation {
	case TaskPromote, TaskMigrateFrom:
		return TaskStart
	case TaskMonitor:
		if entry.Interval == 0 {
			return TaskStart
		}
	}
	return entry.Operation
}

// Compare compares the parameters with which a recorded operation ran with those that it would get now, and
// returns the task that they are compared as.
func Compare(c *model.Cluster, r *model.Resource, node *model.Node, entry *cib.HistoryOp) (Verdict, string) {
	task := compared(entry)
	return verdict(c, r, task, entry, digestSet(c, r, task, entry.Interval, node)), task
}

// SecretsOnly reports whether the parameters that are not secret are those with which a recorded operation
// ran. In a document from which the secrets may have been removed (model.Options.Sanitized), a change is
// none then.
func SecretsOnly(c *model.Cluster, r *model.Resource, node *model.Node, entry *cib.HistoryOp) bool {
	set := digestSet(c, r, compared(entry), entry.Interval, node)
	return entry.SecureDigest != "" && secureDigest(c, r, node, entry, set) == entry.SecureDigest
}

func verdict(c *model.Cluster, r *model.Resource, task string, entry *cib.HistoryOp, set []transition.Attr) Verdict {
	if entry.RestartDigest != "" {
		names := strings.Fields(entry.ForceRestart)
		restart := without(set, func(name string) bool { return !slices.Contains(names, name) })
		// Without the list of names, all parameters count; with an empty one, none does.
		if transition.Digest(restart) != entry.RestartDigest && (len(names) > 0 || transition.Digest(set) != entry.RestartDigest) {
			return Restart
		}
	}
	switch {
	case entry.OpDigest == "":
		return Unknown
	case transition.Digest(set) == entry.OpDigest:
		return Same
	}
	if op := OpMeta(c, r, task, entry.Interval).Op; entry.Interval == 0 && op != nil && op.Config != nil && len(op.Config.Params) > 0 {
		return Restart
	}
	return Changed
}

// secureDigest is the digest of what is not secret, as the recorder of the entry calculated it.
func secureDigest(c *model.Cluster, r *model.Resource, node *model.Node, entry *cib.HistoryOp, set []transition.Attr) string {
	secret := strings.Fields(entry.SecureParams)
	drop := func(name string) bool { return slices.Contains(secret, name) }
	if entry.FeatureSet != "" && !olderThan(entry.FeatureSet, 3, 16) {
		return transition.Digest(without(set, drop))
	}
	params := Params(c, r, node)
	old := without(set, func(name string) bool {
		_, instance := params[name]
		return !instance || drop(name) || r.FenceDevice && fencingSpecial(name)
	})
	return transition.Digest(old)
}

// olderThan compares the first two numbers of a dotted version.
func olderThan(version string, major, minor int) bool {
	a, rest, _ := strings.Cut(version, ".")
	b, _, _ := strings.Cut(rest, ".")
	x, _ := strconv.Atoi(a)
	y, _ := strconv.Atoi(b)
	return x < major || x == major && y < minor
}

// fencingSpecial reports whether a parameter of a fence device is for the cluster, not for the agent.
func fencingSpecial(name string) bool {
	return strings.HasPrefix(name, "pcmk_") || name == "provides" || name == "stonith-timeout"
}

// unfencingDigests fills in by which definition of each unfencing device a node is fenced or unfenced, and
// reports whether one changed since the node was unfenced (spec/04-actions.md 13.1 and 13.4). A node that has
// no record of it is unfenced for want of the attribute #node-unfenced.
func unfencingDigests(c *model.Cluster, a *model.Action) (changed bool) {
	n := a.Node
	if !c.UnfencingInUse {
		return false
	}
	_, recorded := n.Attributes["#digests-all"]
	var all, secure strings.Builder
	for _, r := range c.All {
		if !r.FenceDevice || r.Kind != cib.Primitive || !strings.EqualFold(r.Meta["provides"], "unfencing") {
			continue
		}
		set := digestSet(c, r, "on", 0, n)
		full := r.ID + ":" + r.Type + ":" + transition.Digest(set) + ","
		part := r.ID + ":" + r.Type + ":" + transition.Digest(without(set, func(name string) bool {
			return name == "passwd" || name == "password" || name == "user"
		})) + ","
		if recorded && !strings.Contains(n.Attributes["#digests-all"], full) && !strings.Contains(n.Attributes["#digests-secure"], part) {
			changed = true
		}
		all.WriteString(full)
		secure.WriteString(part)
	}
	a.Meta["digests-all"] = all.String()
	a.Meta["digests-secure"] = secure.String()
	return changed
}
