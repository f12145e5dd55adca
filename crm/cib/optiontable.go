package cib

// propertyOptions are the cluster properties. Defaults are those of spec/01-inputs.md 4.1 and of the
// documentation of Pacemaker.
func propertyOptions() []Option {
	return []Option{
		{Name: "no-quorum-policy", Type: TypeChoice, Choices: []string{"stop", "freeze", "ignore", "demote", "fence"}, OldText: []string{"suicide"}, Default: "stop",
			Help: "What a partition without quorum does: stop all resources, freeze (keep what runs, start nothing), ignore the loss, demote promoted instances and stop the rest, or fence all its nodes."},
		{Name: "symmetric-cluster", Type: TypeBoolean, Default: "true",
			Help: "Whether resources may run on any node by default; if not, only where a location constraint lets them."},
		{Name: "maintenance-mode", Type: TypeBoolean, Default: "false",
			Help: "Whether the cluster refrains from monitoring, starting and stopping resources."},
		{Name: "start-failure-is-fatal", Type: TypeBoolean, Default: "true",
			Help: "Whether a failed start keeps a resource off the node; if not, its failures are counted and compared with migration-threshold."},
		{Name: "enable-startup-probes", Type: TypeBoolean, Default: "true",
			Help: "Whether the cluster looks for resources that are already active when a node joins."},
		{Name: "stop-all-resources", Type: TypeBoolean, Default: "false", Help: "Whether all resources are stopped."},
		{Name: "stop-removed-resources", Old: []string{"stop-orphan-resources"}, Type: TypeBoolean, Default: "true",
			Help: "Whether resources that are not in the configuration any more are stopped."},
		{Name: "cancel-removed-actions", Old: []string{"stop-orphan-actions"}, Type: TypeBoolean, Default: "true",
			Help: "Whether recurring actions that are not in the configuration any more are cancelled."},
		{Name: "remove-after-stop", Type: TypeBoolean, Default: "false",
			Help: "Whether the history of a resource is removed after it was stopped. Deprecated."},

		{Name: "fencing-enabled", Old: []string{"stonith-enabled"}, Type: TypeBoolean, Default: "true",
			Help: "Whether nodes that may hold resources and cannot be reached are fenced. Without fencing data can be damaged."},
		{Name: "fencing-action", Old: []string{"stonith-action"}, Type: TypeChoice, Choices: []string{"reboot", "off"}, OldText: []string{"poweroff"}, Default: "reboot",
			Help: "What fencing does with a node."},
		{Name: "fencing-timeout", Old: []string{"stonith-timeout"}, Type: TypeDuration, Default: "60s",
			Help: "How long one fencing action may take."},
		{Name: "fencing-watchdog-timeout", Old: []string{"stonith-watchdog-timeout"}, Type: TypeTimeout, Negative: true, Default: "0",
			Help: "How long after its last sign of life a lost node has certainly been reset by its watchdog. 0: the watchdog is not relied on; negative: twice the watchdog's own time."},
		atLeast(1, Option{Name: "fencing-max-attempts", Old: []string{"stonith-max-attempts"}, Default: "10",
			Help: "How often fencing of a node may fail before the cluster tries again only every 30 s."}),
		{Name: "fencing-reaction", Old: []string{"fence-reaction"}, Type: TypeChoice, Choices: []string{"stop", "panic"}, Default: "stop",
			Help: "What a node does when it learns that it was fenced but is still there: stop the cluster, or reset itself."},
		{Name: "have-watchdog", Type: TypeBoolean, Default: "false", Internal: true, Help: "Whether watchdogs are in use; set by the cluster."},
		{Name: "concurrent-fencing", Type: TypeBoolean, Default: "true", Help: "Whether several nodes may be fenced at the same time."},
		{Name: "startup-fencing", Type: TypeBoolean, Default: "true",
			Help: "Whether nodes that were never seen are fenced. Without it, nodes that were never seen are taken for clean."},
		{Name: "priority-fencing-delay", Type: TypeDuration, Default: "0",
			Help: "How long fencing waits that is aimed at the node with the higher total priority of resources, so that in a split of two the more important node survives."},
		{Name: "node-pending-timeout", Type: TypeDuration, Default: "0",
			Help: "How long a node may take from membership to taking part before it is fenced. 0: without limit."},
		{Name: "fence-remote-without-quorum", Type: TypeBoolean, Default: "false",
			Help: "Whether a partition without quorum may fence remote nodes."},

		{Name: "shutdown-lock", Type: TypeBoolean, Default: "false",
			Help: "Whether the resources of a node that was shut down in order stay bound to it until it is back."},
		{Name: "shutdown-lock-limit", Type: TypeDuration, Default: "0", Help: "How long such a bond lasts. 0: without limit."},

		{Name: "placement-strategy", Type: TypeChoice, Choices: []string{"default", "utilization", "minimal", "balanced"}, Default: "default",
			Help: "Whether and how utilization attributes decide placement."},
		{Name: "node-health-strategy", Type: TypeChoice, Choices: []string{"none", "migrate-on-red", "only-green", "progressive", "custom"}, Default: "none",
			Help: "How node attributes whose names start with #health decide placement."},
		{Name: "node-health-base", Type: TypeScore, Default: "0", Help: "Score that every node starts with under the strategy progressive."},
		{Name: "node-health-green", Type: TypeScore, Default: "0", Help: "Score of the word green."},
		{Name: "node-health-yellow", Type: TypeScore, Default: "0", Help: "Score of the word yellow."},
		{Name: "node-health-red", Type: TypeScore, Default: "-INFINITY", Help: "Score of the word red."},

		{Name: "cluster-name", Type: TypeText, Help: "Name of the cluster; the node attribute #cluster-name."},
		{Name: "cluster-delay", Type: TypeDuration, Default: "60s", Help: "Time added to the timeouts of actions for the way to the node and back."},
		atLeast(0, Option{Name: "batch-limit", Default: "0", Help: "Largest number of actions at the same time in the whole cluster. 0: by load."}),
		{Name: "migration-limit", Type: TypeInteger, Bounded: true, Min: -1, Max: maxInt32, Default: "-1", Help: "Largest number of live migrations at the same time on a node. -1: without limit."},
		{Name: "load-threshold", Type: TypePercent, Default: "80%", Help: "Processor load of a node above which fewer actions are run on it."},
		atLeast(0, Option{Name: "node-action-limit", Default: "0", Help: "Largest number of actions at the same time on a node. 0: twice the number of its processors."}),
		atLeast(0, Option{Name: "cluster-ipc-limit", Default: "500", Help: "Largest backlog of a client before it is disconnected."}),
		{Name: "cluster-recheck-interval", Type: TypeDuration, Default: "15min", Help: "How often rules with dates and failure timeouts are looked at again at least."},
		{Name: "dc-deadtime", Type: TypeDuration, Default: "20s", Help: "How long a starting node waits for others."},
		{Name: "election-timeout", Type: TypeDuration, Default: "2min", Help: "How long an election of a leader may take."},
		{Name: "shutdown-escalation", Type: TypeDuration, Default: "20min", Help: "How long an orderly shutdown of a node may take."},
		{Name: "join-integration-timeout", Old: []string{"crmd-integration-timeout"}, Type: TypeDuration, Default: "3min", Help: "How long a joining node may take to be taken in."},
		{Name: "join-finalization-timeout", Old: []string{"crmd-finalization-timeout"}, Type: TypeDuration, Default: "30min", Help: "How long a joining node may take to be finished."},
		{Name: "transition-delay", Old: []string{"crmd-transition-delay"}, Type: TypeDuration, Default: "0", Help: "How long a decision waits for further changes."},
		{Name: "enable-acl", Type: TypeBoolean, Default: "false", Help: "Whether the access rules of the configuration are applied."},
		{Name: "pe-error-series-max", Type: TypeInteger, Bounded: true, Min: -1, Max: maxInt32, Default: "-1", Help: "How many inputs of decisions with errors are kept. -1: without limit."},
		{Name: "pe-warn-series-max", Type: TypeInteger, Bounded: true, Min: -1, Max: maxInt32, Default: "5000", Help: "How many inputs of decisions with warnings are kept. -1: without limit."},
		{Name: "pe-input-series-max", Type: TypeInteger, Bounded: true, Min: -1, Max: maxInt32, Default: "4000", Help: "How many inputs of other decisions are kept. -1: without limit."},

		{Name: "dc-version", Type: TypeText, Internal: true, Help: "Version of the cluster software; set by the cluster."},
		{Name: "cluster-infrastructure", Type: TypeText, Internal: true, Help: "Messaging layer; set by the cluster."},
		{Name: "last-lrm-refresh", Type: TypeText, Internal: true, Help: "When the history was last refreshed; set by tools."},
		{Name: "expected-quorum-votes", Type: TypeInteger, Internal: true, Help: "Number of votes; kept from old configurations, without effect."},
		{Name: "node-info-timeout", Type: TypeDuration, Internal: true, Help: "Kept from old configurations, without effect."},
	}
}

// metaOptions are the meta-attributes of resources (spec/01-inputs.md 6.2).
func metaOptions() []Option {
	return []Option{
		{Name: "priority", Type: TypeScore, Default: "0", Help: "If not all resources can be active, those of lower priority are stopped."},
		{Name: "critical", Type: TypeBoolean, Default: "true", Help: "Default of influence in colocations of which this resource is the dependent."},
		{Name: "target-role", Type: TypeChoice, Choices: []string{"Stopped", "Started", "Unpromoted", "Promoted"}, OldText: []string{"Slave", "Master", "default", "#default"}, Default: "Started", Help: "Highest role that the resource may have."},
		{Name: "is-managed", Type: TypeBoolean, Default: "true", Help: "Whether the cluster may start and stop the resource."},
		{Name: "maintenance", Type: TypeBoolean, Default: "false", Help: "Whether the cluster leaves the resource alone, without monitoring it."},
		{Name: "resource-stickiness", Type: TypeScore, Help: "Score for staying where it is. Default 0, for instances of clones 1."},
		{Name: "migration-threshold", Type: TypeScore, Default: "INFINITY", Help: "Number of failures on a node after which it may not run there any more. INFINITY: without limit."},
		{Name: "failure-timeout", Type: TypeDuration, Default: "0", Help: "How long after the last failure the failures are forgotten. 0: never."},
		{Name: "multiple-active", Type: TypeChoice, Choices: []string{"stop_start", "stop_only", "stop_unexpected", "block"}, Default: "stop_start", Help: "What is done when the resource is found active on more nodes than it should be."},
		{Name: "requires", Type: TypeChoice, Choices: []string{"nothing", "quorum", "fencing", "unfencing"}, Help: "What must be given before the resource may start. Default: fencing where fencing is enabled, else quorum."},
		{Name: "provides", Type: TypeText, Help: "What a fence device provides: unfencing."},
		{Name: "allow-migrate", Type: TypeBoolean, Default: "false", Help: "Whether the resource may be migrated live."},
		{Name: "allow-unhealthy-nodes", Type: TypeBoolean, Default: "false", Help: "Whether the resource may stay on nodes whose health is bad."},
		{Name: "container-attribute-target", Type: TypeText, Help: "host: node attributes of a guest or bundle node are those of the node that it runs on."},
		{Name: "remote-node", Type: TypeText, Help: "Name of the guest node that the resource provides."},
		{Name: "remote-port", Type: TypeInteger, Bounded: true, Min: 1, Max: 65535, Default: "3121", Help: "Port of the guest node's executor."},
		{Name: "remote-addr", Type: TypeText, Help: "Address of the guest node. Default: its name."},
		{Name: "remote-connect-timeout", Type: TypeTimeout, Default: "60s", Help: "How long connecting to the guest node may take."},
		{Name: "remote-allow-migrate", Type: TypeBoolean, Default: "true", Help: "Whether the connection of the guest node may be migrated."},
		{Name: "container", Type: TypeText, Help: "Resource inside which this one runs."},

		{Name: "notify", Type: TypeBoolean, Default: "false", Help: "Clones: whether instances are told before and after others are started or stopped."},
		atLeast(0, Option{Name: "clone-max", Help: "Clones: number of instances. Default: number of nodes."}),
		atLeast(0, Option{Name: "clone-node-max", Default: "1", Help: "Clones: largest number of instances on a node."}),
		atLeast(0, Option{Name: "clone-min", Default: "0", Help: "Clones: number of instances that must run before what is ordered after the clone may."}),
		{Name: "globally-unique", Type: TypeBoolean, Help: "Clones: whether each instance does something different. Default: true if clone-node-max is above 1."},
		{Name: "ordered", Type: TypeBoolean, Help: "Clones: whether instances start one after the other (default false). Groups: whether members do (default true)."},
		{Name: "collocated", Type: TypeBoolean, Default: "true", Help: "Groups: whether members run on the same node. Deprecated."},
		{Name: "interleave", Type: TypeBoolean, Default: "false", Help: "Clones: whether an instance waits only for the instance on its own node of a clone that it is ordered after."},
		{Name: "promotable", Type: TypeBoolean, Default: "false", Help: "Clones: whether instances can be promoted."},
		atLeast(0, Option{Name: "promoted-max", Old: []string{"master-max"}, Default: "1", Help: "Promotable clones: number of promoted instances."}),
		atLeast(0, Option{Name: "promoted-node-max", Old: []string{"master-node-max"}, Default: "1", Help: "Promotable clones: largest number of promoted instances on a node."}),
	}
}

// operationOptions are the meta-attributes of operations (spec/01-inputs.md 9).
func operationOptions() []Option {
	return []Option{
		{Name: "interval", Type: TypeDuration, Default: "0", Help: "How often the operation is run; 0: only where needed."},
		{Name: "timeout", Type: TypeTimeout, Default: "20s", Help: "How long it may take before it counts as failed."},
		{Name: "start-delay", Type: TypeDuration, Default: "0", Help: "How long to wait after the resource started before the first run."},
		{Name: "interval-origin", Type: TypeDate, Help: "Date from which the runs of a recurring operation are counted."},
		{Name: "on-fail", Type: TypeChoice, Choices: []string{"ignore", "demote", "restart", "restart-container", "block", "stop", "standby", "fence"}, OldText: []string{"nothing", "migrate"}, Help: "What a failure leads to. Default: fence for stop where fencing is enabled, block for stop where not, else restart."},
		{Name: "enabled", Type: TypeBoolean, Default: "true", Help: "Whether a recurring operation is run."},
		{Name: "role", Type: TypeChoice, Choices: []string{"Stopped", "Started", "Unpromoted", "Promoted"}, OldText: []string{"Slave", "Master"}, Help: "Role of the resource in which a recurring operation is run."},
		{Name: "record-pending", Type: TypeBoolean, Default: "true", Help: "Whether the start of the operation is recorded."},
		{Name: "description", Type: TypeText, Help: "Text for people."},
	}
}

// fencingOptions are the parameters that every fence device takes, whatever its agent.
func fencingOptions() []Option {
	list := []Option{
		{Name: "pcmk_host_map", Type: TypeText, Help: "What the device calls each node: \"node1:1;node2:2,3\"."},
		{Name: "pcmk_host_list", Type: TypeText, Help: "Nodes that the device can fence, separated by spaces."},
		{Name: "pcmk_host_check", Type: TypeChoice, Choices: []string{"dynamic-list", "static-list", "status", "none"}, Help: "How the nodes that the device can fence are found. Default: static-list with pcmk_host_list or pcmk_host_map, else dynamic-list or status where the agent can, else none."},
		{Name: "pcmk_host_argument", Type: TypeText, Help: "Parameter of the agent that names the node. Default: port or plug, as the agent says; none: no parameter."},
		{Name: "pcmk_delay_max", Type: TypeDuration, Default: "0s", Help: "Upper bound of a random delay before fencing."},
		{Name: "pcmk_delay_base", Type: TypeText, Default: "0s", Help: "Delay before fencing; also by node: \"node1:1s;node2:5\"."},
		{Name: "pcmk_action_limit", Type: TypeInteger, Bounded: true, Min: -1, Max: maxInt32, Default: "1", Help: "Largest number of actions at the same time on the device. -1: without limit."},
		{Name: "provides", Type: TypeText, Internal: true, Help: "Kept from old configurations."},
		{Name: "stonith-timeout", Type: TypeDuration, Internal: true, Help: "Kept from old configurations, without effect."},
	}
	for _, action := range []string{"reboot", "off", "on", "list", "monitor", "status", "metadata", "validate_all"} {
		list = append(list,
			Option{Name: "pcmk_" + action + "_action", Type: TypeText, Default: action, Help: "What to ask the agent for instead of " + action + "."},
			Option{Name: "pcmk_" + action + "_timeout", Type: TypeDuration, Default: "60s", Help: "How long " + action + " may take, instead of fencing-timeout."},
			atLeast(1, Option{Name: "pcmk_" + action + "_retries", Default: "2", Help: "How often " + action + " is tried within its timeout."}))
	}
	return list
}
