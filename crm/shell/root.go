package shell

func root() *level {
	return &level{name: "", help: "crm manages a cluster. Levels hold commands of one subject; \"crm LEVEL COMMAND\" runs one.", commands: []*row{
		{name: "status", aliases: []string{"st", "stat"}, args: "[full|bynode|inactive|ops|failcounts|simple|brief|xml] [--output text|json|xml] [--watch]",
			example: "crm status --watch", help: "show nodes, resources and what failed", run: (*Shell).cmdStatus},
		{name: "cluster", help: "level: make, join, start and stop the cluster on this node", level: clusterLevel},
		{name: "node", help: "level: states and attributes of nodes", level: nodeLevel},
		{name: "resource", aliases: []string{"rsc"}, help: "level: start, stop, move and clean up resources", level: resourceLevel},
		{name: "configure", aliases: []string{"cfg", "conf"}, help: "level: edit the configuration", level: configureLevel},
		{name: "audit", help: "level: the record of who did what on this node", level: auditLevel},
		{name: "secret", help: "level: secrets that parameters refer to", level: secretLevel},
		{name: "ra", help: "level: agents and their parameters", level: raLevel},
		{name: "maintenance", help: "level: stop managing the whole cluster for a while", level: maintenanceLevel},
		{name: "cib", help: "level: shadows, copies of the configuration to work on", level: cibLevel},
		{name: "history", help: "level: what happened", level: historyLevel},
		{name: "options", help: "level: how crm behaves", level: optionsLevel},
		{name: "site", help: "level: tickets", level: siteLevel},
		{name: "corosync", help: "level: what stands in place of corosync", level: corosyncLevel},
		{name: "verify", args: "[scores]", example: "crm verify", help: "check the configuration in use", run: (*Shell).cmdVerify},
		{name: "plan", args: "FILE|FOLDER [-o PLAN.json]", example: "crm plan site.toml -o site-plan.json", help: "show what applying a file would change, move and interrupt", run: (*Shell).cmdPlan},
		{name: "apply", args: "[--yes] [--plan ID] [-m WHY] FILE|FOLDER|PLAN.json", example: "crm apply -m 'more memory' site-plan.json",
			help: "make the configuration what a file (TOML, CIB as XML, or crm statements) says, or carry out a saved plan that still holds", run: (*Shell).cmdApply},
		{name: "export", args: "[toml|xml|crm] [FILE]", example: "crm export toml site.toml", help: "write the configuration", run: (*Shell).cmdExport},
		{name: "import", args: "FILE", example: "crm import cib.xml", help: "take over a CIB of Pacemaker, with a report of what was translated", run: (*Shell).cmdImport},
		{name: "diff", args: "[REVISION [REVISION] | FILE]", example: "crm diff 120", help: "list what changed: with the newest revision, since a revision, between two, or what a file would change", run: (*Shell).cmdDiffRevisions},
		{name: "revisions", args: "[NUMBER]", example: "crm revisions 10", help: "list the newest changes of the configuration: who, when, why", run: (*Shell).cmdRevisions},
		{name: "rollback", args: "REVISION [--yes] [--plan ID] [-m WHY]", example: "crm rollback 120", help: "make the configuration what it was in an older revision, as a new one", run: (*Shell).cmdRollback},
		{name: "explain", aliases: []string{"why", "why-not"}, args: "RESOURCE [NODE] [--scores] [--if CHANGE] [--output text|json]", example: "crm explain web beta --if 'node alpha standby'",
			help: "say why a resource is where it is, or with NODE why it is or is not there", run: (*Shell).cmdExplain, complete: completeResources},
		{name: "wait", args: "[--timeout TIME]", example: "crm wait --timeout 60s", help: "wait until the cluster has nothing more to do", run: (*Shell).cmdWait},
	}}
}
