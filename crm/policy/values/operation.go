package values

import (
	"slices"
	"strconv"
	"strings"

	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/policy/model"
	"github.com/quorate/quorate/crm/rule"
	"github.com/quorate/quorate/crm/rule/iso8601"
)

// FindOp looks up a configured operation by name and interval; migrate_to and migrate_from fall back to
// migrate (spec/01-inputs.md 9.1). Disabled operations are found too unless enabledOnly is set. nil = none.
func FindOp(r *model.Resource, task string, intervalMS int64, enabledOnly bool) *model.Op {
	if op := findOp(r, task, intervalMS, enabledOnly); op != nil {
		return op
	}
	if task == "migrate_to" || task == "migrate_from" {
		return findOp(r, "migrate", 0, enabledOnly)
	}
	return nil
}

func findOp(r *model.Resource, task string, intervalMS int64, enabledOnly bool) *model.Op {
	for _, op := range r.Ops {
		if op.IntervalMS == intervalMS && op.Name == task && (op.Enabled || !enabledOnly) {
			return op
		}
	}
	return nil
}

// OpAttr returns an XML attribute of a configured operation by name; false = not written.
func OpAttr(op *cib.Operation, name string) (string, bool) {
	switch name {
	case "name":
		return op.Name, op.Name != ""
	case "interval":
		return op.Interval, op.Interval != ""
	}
	for i := range op.Extra {
		if op.Extra[i].Name == name {
			return op.Extra[i].Value, true
		}
	}
	return "", false
}

// OpMeta returns the meta-attributes of an operation, with interval, timeout, start-delay and on-fail
// normalised (spec/01-inputs.md 9.2, spec/04-actions.md 3.2 and 3.3). op is the configured operation; nil =
// none. The caller owns the result.
func OpMeta(c *model.Cluster, r *model.Resource, task string, intervalMS int64, op *model.Op) map[string]string {
	m := make(map[string]string, 6)
	probe := task == "monitor" && intervalMS == 0
	var in rule.Input
	needRules := func() rule.Input {
		if in.Now.IsZero() {
			in = rule.Input{Now: c.Now, Operation: &rule.Operation{Name: task, IntervalMS: intervalMS}}
			if r != nil {
				in.Resource = RuleResource(r)
			}
		}
		return in
	}
	if op != nil && op.Config != nil {
		cfg := op.Config
		if cfg.Name != "" {
			m["name"] = cfg.Name
		}
		if cfg.Interval != "" {
			m["interval"] = cfg.Interval
		}
		for i := range cfg.Extra {
			if a := &cfg.Extra[i]; a.Name != "id" {
				if _, taken := m[a.Name]; !taken {
					m[a.Name] = a.Value
				}
			}
		}
		if len(cfg.Meta) > 0 {
			Collect(c, cfg.Meta, needRules(), m)
		}
	}
	if probe && r != nil {
		if _, set := m["timeout"]; !set {
			if t, ok := smallestMonitorTimeout(r); ok {
				m["timeout"] = t
			}
		}
	}
	if len(c.Doc.Config.OpDefaults) > 0 {
		Collect(c, c.Doc.Config.OpDefaults, needRules(), m)
	}
	delete(m, "id")

	if intervalMS > 0 {
		m["interval"] = strconv.FormatInt(intervalMS, 10)
	} else {
		delete(m, "interval")
	}
	if r != nil && r.FenceDevice && (probe || task == "start") {
		if t, ok := Params(c, r, nil)["pcmk_monitor_timeout"]; ok {
			m["timeout"] = t
		}
	}
	m["timeout"] = strconv.FormatInt(TimeoutMS(m["timeout"]), 10)
	normaliseDelay(c, m, intervalMS)
	normaliseOnFail(r, task, intervalMS, m)
	return m
}

// maxSharedMonitors bounds the monitors that are remembered. Clusters of thousands of resources have some tens of
// different ones, and one that is not found is only evaluated again.
const maxSharedMonitors = 32

// SharedOpMeta is OpMeta for results that will not be changed. Most resources of a cluster are monitored in one of a few
// ways, and those that write the same share one result.
func SharedOpMeta(c *model.Cluster, r *model.Resource, task string, intervalMS int64, op *model.Op) model.OpMeta {
	meta := model.OpMeta{Task: task, Interval: intervalMS, Op: op}
	ruled := len(c.Doc.Config.OpDefaults) > 0
	if op == nil && !ruled && intervalMS == 0 && (task == "start" || task == "stop") && !r.FenceDevice {
		meta.Meta, meta.Shared = plainMeta, plainMetaNumber
		return meta
	}
	if task != "monitor" || r.FenceDevice || ruled || op != nil && (op.Config == nil || len(op.Config.Meta) > 0) {
		meta.Meta = OpMeta(c, r, task, intervalMS, op)
		return meta
	}
	timeout := "" // of a probe that takes that of another monitor
	if intervalMS == 0 {
		if t, ok := smallestMonitorTimeout(r); ok {
			timeout = "=" + t
		}
	}
	for i := range c.Monitors {
		m := &c.Monitors[i]
		if m.Interval == intervalMS && m.Task == timeout && sameText(m.Op, op) {
			meta.Meta, meta.Shared = m.Meta, m.Shared
			return meta
		}
	}
	meta.Meta = OpMeta(c, r, task, intervalMS, op)
	if n := len(c.Monitors); n < maxSharedMonitors {
		meta.Shared = plainMetaNumber + 1 + n
		c.Monitors = append(c.Monitors, model.OpMeta{Task: timeout, Interval: intervalMS, Op: op, Meta: meta.Meta, Shared: meta.Shared})
	}
	return meta
}

// plainMeta is what OpMeta gives for a start or stop of which the configuration says nothing, as is so for
// most. It is never changed.
var plainMeta = map[string]string{"timeout": "20000"}

// plainMetaNumber is the number of plainMeta among the shared tables; those of monitors come after it.
const plainMetaNumber = 1

// sameText reports whether two operations without meta-attributes are written alike; nil = not configured.
func sameText(a, b *model.Op) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Config.Name == b.Config.Name && a.Config.Interval == b.Config.Interval && slices.Equal(a.Config.Extra, b.Config.Extra)
}

// smallestMonitorTimeout returns the timeout attribute of the enabled recurring monitor with the smallest
// interval.
func smallestMonitorTimeout(r *model.Resource) (string, bool) {
	var best *model.Op
	for _, op := range r.Ops {
		if op.Enabled && op.Name == "monitor" && op.IntervalMS > 0 && (best == nil || op.IntervalMS < best.IntervalMS) {
			best = op
		}
	}
	if best == nil || best.Config == nil {
		return "", false
	}
	return OpAttr(best.Config, "timeout")
}

func normaliseDelay(c *model.Cluster, m map[string]string, intervalMS int64) {
	if d, set := m["start-delay"]; set {
		m["start-delay"] = strconv.FormatInt(IntervalMS(d), 10)
		return
	}
	origin, set := m["interval-origin"]
	if !set || intervalMS <= 0 {
		return
	}
	t, err := iso8601.ParseDate(origin, c.Now, c.Now.Location())
	if err != nil {
		return
	}
	interval := intervalMS / 1000
	if interval <= 0 {
		return
	}
	// Seconds until the next origin + k*interval, k being any integer.
	since := c.Now.Unix() - t.Unix()
	delay := since % interval
	if delay < 0 {
		delay += interval
	}
	if delay > 0 {
		delay = interval - delay
	}
	m["start-delay"] = strconv.FormatInt(delay*1000, 10)
}

// Policy is what happens when an operation fails; a higher one is more severe (spec/01-inputs.md 9.3).
type Policy uint8

// Failure policies in order of severity.
const (
	PolicyIgnore Policy = iota
	PolicyDemote
	PolicyRestart
	PolicyResetRemote
	PolicyRestartContainer
	PolicyBan
	PolicyBlock
	PolicyStop
	PolicyStandby
	PolicyFence
)

// String returns the policy's name; the value of on-fail where there is one.
func (p Policy) String() string {
	return [...]string{"ignore", "demote", "restart", "reset-remote", "restart-container", "migrate", "block", "stop",
		"standby", "fence"}[p]
}

// normaliseOnFail removes an on-fail that its operation may not have, and fills in that of demote
// (spec/04-actions.md 3.3).
func normaliseOnFail(r *model.Resource, task string, intervalMS int64, m map[string]string) {
	value, set := m["on-fail"]
	switch task {
	case "stop":
		if set && (equalFold(value, "standby") || equalFold(value, "demote") || equalFold(value, "stop")) {
			delete(m, "on-fail")
			return
		}
	case "demote":
		if !set && r != nil {
			for _, op := range r.Ops {
				if op.Name != "monitor" || op.IntervalMS <= 0 || op.Role != model.RolePromoted || !op.Enabled || op.Config == nil {
					continue
				}
				if v, ok := OpAttr(op.Config, "on-fail"); ok && !equalFold(v, "demote") {
					m["on-fail"] = v
				}
			}
			return
		}
	case "lrm_delete":
		m["on-fail"] = "ignore"
		return
	}
	if set && equalFold(value, "demote") {
		promoted := model.ParseRole(m["role"]) == model.RolePromoted
		if task != "promote" && !(task == "monitor" && intervalMS > 0 && promoted) {
			delete(m, "on-fail")
		}
	}
}

// OnFail returns the policy for a failure of an operation, given its meta-attributes as OpMeta returns them
// (spec/01-inputs.md 9.3).
func OnFail(c *model.Cluster, r *model.Resource, task string, intervalMS int64, meta map[string]string) Policy {
	switch strings.ToLower(meta["on-fail"]) {
	case "block":
		return explicit(r, task, intervalMS, PolicyBlock)
	case "fence":
		if c.Options.FencingEnabled {
			return explicit(r, task, intervalMS, PolicyFence)
		}
		return explicit(r, task, intervalMS, PolicyStop)
	case "standby":
		return explicit(r, task, intervalMS, PolicyStandby)
	case "ignore", "nothing":
		return explicit(r, task, intervalMS, PolicyIgnore)
	case "migrate":
		return explicit(r, task, intervalMS, PolicyBan)
	case "stop":
		return explicit(r, task, intervalMS, PolicyStop)
	case "restart":
		return explicit(r, task, intervalMS, PolicyRestart)
	case "demote":
		return explicit(r, task, intervalMS, PolicyDemote)
	case "restart-container":
		if r.Launcher != nil {
			return explicit(r, task, intervalMS, PolicyRestartContainer)
		}
	}
	return defaultOnFail(c, r, task, intervalMS)
}

// explicit is the policy p that was asked for, unless r is an unmanaged connection whose failures must not
// reset the remote node.
func explicit(r *model.Resource, task string, intervalMS int64, p Policy) Policy {
	if resetsRemote(r, task, intervalMS) && !r.Managed {
		return PolicyStop
	}
	return p
}

// resetsRemote reports whether a failure of this operation means that the remote node behind it has to be
// reset.
func resetsRemote(r *model.Resource, task string, intervalMS int64) bool {
	return r.Connection && r.Launcher == nil && task != "start" && !(task == "monitor" && intervalMS == 0)
}

func defaultOnFail(c *model.Cluster, r *model.Resource, task string, intervalMS int64) Policy {
	switch {
	case r.Launcher != nil:
		return PolicyRestartContainer
	case resetsRemote(r, task, intervalMS):
		if r.Managed {
			return PolicyResetRemote
		}
		return PolicyStop
	case task == "stop" && c.Options.FencingEnabled:
		return PolicyFence
	case task == "stop":
		return PolicyBlock
	}
	return PolicyRestart
}

// RoleAfterFailure is the role that a resource may have after a failure of the operation under the policy
// (spec/01-inputs.md 9.3).
func RoleAfterFailure(r *model.Resource, task string, p Policy) model.Role {
	switch {
	case p == PolicyStop, p == PolicyResetRemote && r.ReconnectMS > 0:
		return model.RoleStopped
	case task == "promote":
		return model.RoleUnpromoted
	}
	return model.RoleStarted
}
