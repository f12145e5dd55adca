package compat

// pacemakerd answers for the daemon of that name: the library of the OCF agents asks it for its version, and asks
// crm_node for the name of the node only when it gets one; else agents take the machine's host name.
func pacemakerd(io IO, args []string) int {
	f := &frame{"pacemakerd", "tell the version of Pacemaker that the tools are like; the daemon itself is quorated", io}
	features, foreground := false, false
	rest, code, done := f.parse(args, []option{
		{short: 'F', long: "features", help: "show what is built in", set: flag(&features)},
		{short: 'f', long: "foreground", help: "not served: quorated is the daemon", set: flag(&foreground)},
	})
	switch {
	case done:
		return code
	case features && len(rest) == 0:
		return f.showVersion("ocf stonith systemd")
	}
	return f.fail(exitUsage, "this only tells the version: the daemon is quorated, see \"crm cluster start\"")
}
