package shell

import "errors"

// elsewhere is a command of the field's shell that has no use here: it says what to do instead.
func elsewhere(name, why, instead string) *row {
	return &row{name: name, old: true, help: why + "; " + instead, run: func(s *Shell, c *call) error {
		return hint(errors.New(why), "%s", instead)
	}}
}

// corosyncLevel answers those who look for corosync: membership is a part of quorated.
func corosyncLevel() *level {
	const none = "there is no corosync: quorated has its own membership and encrypted links"
	l := &level{name: "corosync", help: "There is no corosync: membership, links and quorum are a part of quorated and of the configuration.\n" +
		"Addresses stand in the node objects, names and priorities of links and the timing in the section [cluster] of the TOML form.", commands: []*row{
		{name: "status", help: "show links and quorum, as \"cluster status\" does", run: (*Shell).cmdClusterStatus},
		elsewhere("log", none, "\"journalctl -u quorated\" shows the log"),
		elsewhere("reload", none, "changes of links and timing take effect at the commit"),
	}}
	for _, name := range []string{"show", "get"} {
		l.commands = append(l.commands, elsewhere(name, none, "\"crm export toml\" shows links and timing in [cluster] and [nodes]; \"crm cluster status\" shows what they are doing"))
	}
	for _, name := range []string{"edit", "set", "push", "pull", "diff"} {
		l.commands = append(l.commands, elsewhere(name, none, "change [cluster] or [nodes] in a TOML file and \"crm apply\" it: every node has it at once, nothing is copied"))
	}
	l.commands = append(l.commands,
		elsewhere("add-node", none, "\"crm cluster token create NODE\" here, then \"crm cluster join TOKEN\" on the new node"),
		elsewhere("del-node", none, "\"crm cluster remove NODE\""))
	return l
}

// replacedCluster are commands of the level cluster that ssh or a configuration tool does better, or that need none.
func replacedCluster() []*row {
	const own = "crm does not log in on other nodes"
	return []*row{
		elsewhere("run", own, "use ssh or your configuration management"),
		elsewhere("copy", own, "the configuration is the same on every node by itself; copy other files with your configuration management"),
		elsewhere("diff", own, "the configuration is the same on every node by itself; compare other files with your configuration management"),
		elsewhere("geo-init", "there is no booth", "\"crm site ticket grant TICKET\" moves a ticket by hand"),
		elsewhere("geo-join", "there is no booth", "\"crm site ticket grant TICKET\" moves a ticket by hand"),
		elsewhere("geo-init-arbitrator", "there is no booth", "\"crm site ticket grant TICKET\" moves a ticket by hand"),
		elsewhere("crash_test", "there is no crash_test", "\"crm node fence NODE\" fences a node, \"crm cib cibstatus\" pretends failures in a shadow"),
	}
}
