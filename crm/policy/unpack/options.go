package unpack

import (
	"strings"

	"github.com/quorate/quorate/crm/policy/model"
	"github.com/quorate/quorate/crm/policy/values"
)

// options reads the cluster properties (spec/01-inputs.md section 4).
func (u *unpacker) options(quorate *bool) {
	c, o := u.c, &u.c.Options
	o.Properties = values.Properties(c, c.Doc.Config.Properties)

	o.Symmetric = u.boolean(true, "symmetric-cluster")
	o.Maintenance = u.boolean(false, "maintenance-mode")
	o.StartFailureFatal = u.boolean(true, "start-failure-is-fatal")
	o.StartupProbes = u.boolean(true, "enable-startup-probes")
	o.StopAll = u.boolean(false, "stop-all-resources")
	o.StopRemovedResources = u.boolean(true, "stop-removed-resources", "stop-orphan-resources")
	o.CancelRemovedActions = u.boolean(true, "cancel-removed-actions", "stop-orphan-actions")
	o.FencingEnabled = u.boolean(true, "fencing-enabled", "stonith-enabled")
	o.HaveWatchdog = u.boolean(false, "have-watchdog")
	o.ConcurrentFencing = u.boolean(true, "concurrent-fencing")
	o.StartupFencing = o.FencingEnabled && u.boolean(true, "startup-fencing")
	o.FenceRemoteWithoutQuorum = u.boolean(false, "fence-remote-without-quorum")
	o.ShutdownLock = u.boolean(false, "shutdown-lock")

	o.FencingAction = u.choice("reboot", []string{"reboot", "off"}, "fencing-action", "stonith-action")
	o.FencingTimeout = u.text("60s", "fencing-timeout", "stonith-timeout")
	o.FencingTimeoutMS = values.IntervalMS(o.FencingTimeout)
	o.PriorityFencingDelay = u.seconds("priority-fencing-delay")
	o.NodePendingTimeout = u.seconds("node-pending-timeout")
	o.ShutdownLockLimit = u.seconds("shutdown-lock-limit")
	o.ClusterDelay = u.text("60s", "cluster-delay")
	o.BatchLimit = u.text("0", "batch-limit")
	o.MigrationLimit = u.text("-1", "migration-limit")
	o.ClusterName = u.text("", "cluster-name")

	switch u.choice("default", []string{"default", "utilization", "minimal", "balanced"}, "placement-strategy") {
	case "utilization":
		o.Placement = model.PlaceUtilization
	case "minimal":
		o.Placement = model.PlaceMinimal
	case "balanced":
		o.Placement = model.PlaceBalanced
	}
	u.healthOptions()
	u.quorumOptions(quorate)
}

// value returns the property under the first of its names that is set.
func (u *unpacker) value(names ...string) (value, name string, set bool) {
	for _, n := range names {
		if v, ok := u.c.Options.Properties[n]; ok {
			return v, n, true
		}
	}
	return "", "", false
}

func (u *unpacker) boolean(def bool, names ...string) bool {
	v, name, set := u.value(names...)
	if !set {
		return def
	}
	b, ok := values.Bool(v)
	if !ok {
		u.warnf("property %s: %q is no boolean; using %v (use true or false)", name, v, def)
		return def
	}
	return b
}

func (u *unpacker) text(def string, names ...string) string {
	if v, _, set := u.value(names...); set {
		return v
	}
	return def
}

// choice returns the property as one of the allowed words, in lower case.
func (u *unpacker) choice(def string, allowed []string, names ...string) string {
	v, name, set := u.value(names...)
	if !set {
		return def
	}
	for _, a := range allowed {
		if strings.EqualFold(v, a) {
			return a
		}
	}
	u.warnf("property %s: %q is unknown; using %s (use one of %s)", name, v, def, strings.Join(allowed, ", "))
	return def
}

func (u *unpacker) seconds(name string) int64 {
	v, _, set := u.value(name)
	if !set {
		return 0
	}
	return values.Seconds(values.IntervalMS(v))
}

// healthOptions gives the health colours their values (spec/01-inputs.md 4.2).
func (u *unpacker) healthOptions() {
	o := &u.c.Options
	o.HealthStrategy = u.choice("none", []string{"none", "migrate-on-red", "only-green", "progressive", "custom"},
		"node-health-strategy")
	score := func(name string, def int32) int32 {
		v, _, set := u.value(name)
		if !set {
			return def
		}
		n, ok := values.ScoreIn(o, v)
		if !ok {
			u.warnf("property %s: %q is no score; using %d", name, v, def)
			return def
		}
		return n
	}
	switch o.HealthStrategy {
	case "migrate-on-red":
		o.HealthRed = model.MinInfinity
	case "only-green":
		o.HealthRed, o.HealthYellow = model.MinInfinity, model.MinInfinity
	case "progressive", "custom":
		o.HealthRed = score("node-health-red", model.MinInfinity)
		o.HealthYellow = score("node-health-yellow", 0)
		o.HealthGreen = score("node-health-green", 0)
		if o.HealthStrategy == "progressive" {
			o.HealthBase = score("node-health-base", 0)
		}
	}
}

// quorumOptions reads quorum and what its loss means (spec/01-inputs.md 4.3).
func (u *unpacker) quorumOptions(quorate *bool) {
	o, head := &u.c.Options, &u.c.Doc.Head
	o.Quorate = values.True(head.HaveQuorum)
	if quorate != nil {
		o.Quorate = *quorate
	}
	switch u.choice("stop", []string{"stop", "freeze", "ignore", "demote", "fence", "suicide"}, "no-quorum-policy") {
	case "freeze":
		o.QuorumPolicy = model.QuorumFreeze
	case "ignore":
		o.QuorumPolicy = model.QuorumIgnore
	case "demote":
		o.QuorumPolicy = model.QuorumDemote
	case "fence", "suicide":
		// A partition that never had quorum must not shoot others, nor itself.
		panicked, _ := values.Integer(head.NoQuorumPanic)
		if o.FencingEnabled && (o.Quorate || panicked > 0) {
			o.QuorumPolicy = model.QuorumFence
		}
	}
}
