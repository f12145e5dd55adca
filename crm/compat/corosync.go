package compat

import (
	"fmt"
	"log/syslog"
	"slices"
	"strings"
)

// cmapctl is corosync-cmapctl, of which fence agents use the queries: they look for their node in the list.
func cmapctl(stdio IO, args []string) int {
	f := &frame{"corosync-cmapctl", "show the nodes and the cluster's name as corosync's configuration map has them", stdio}
	get, quiet := false, false
	keys, code, done := f.parse(args, []option{
		{short: 'g', help: "show exactly these keys", set: flag(&get)},
		{short: 'q', help: "with -g: values only", set: flag(&quiet)},
		{short: 'b', help: "accepted", set: func(string) error { return nil }},
	})
	if done {
		return code
	}
	c, end, err := openView()
	if err != nil {
		return f.failed(err)
	}
	defer end()
	if c.state == nil {
		return f.failed(errNeedsCluster)
	}
	found := false
	for _, e := range cmap(c) {
		match := len(keys) == 0 || slices.ContainsFunc(keys, func(k string) bool { return k == e.key || !get && strings.HasPrefix(e.key, k) })
		switch {
		case !match:
			continue
		case quiet:
			fmt.Fprintln(stdio.Out, e.value)
		default:
			fmt.Fprintf(stdio.Out, "%s (%s) = %s\n", e.key, e.kind, e.value)
		}
		found = true
	}
	if !found {
		return f.fail(exitError, "no such key: there are totem.cluster_name and nodelist.node.N.name, .nodeid and .ringM_addr")
	}
	return exitOK
}

type cmapEntry struct{ key, kind, value string }

// cmap lists the keys that are served. Numbers of nodes are their ids less one: fence agents make keys of them, and ids
// are never used again.
func cmap(c *cluster) []cmapEntry {
	list := []cmapEntry{{"totem.cluster_name", "str", c.state.Name}}
	for i := range c.state.Members {
		m := &c.state.Members[i]
		if m.Removed {
			continue
		}
		at := fmt.Sprintf("nodelist.node.%d.", m.NodeID-1)
		list = append(list, cmapEntry{at + "name", "str", m.Name}, cmapEntry{at + "nodeid", "u32", fmt.Sprint(m.NodeID)})
		n, err := findNode(c.doc, m.Name)
		if err != nil {
			continue
		}
		for ring, l := range n.Links {
			list = append(list, cmapEntry{fmt.Sprintf("%sring%d_addr", at, ring), "str", l.Address})
		}
	}
	return list
}

// haLogger is ha_logger: a line for the system log.
func haLogger(stdio IO, args []string) int {
	f := &frame{"ha_logger", "write a line to the system log", stdio}
	tag, kind := "ha_logger", ""
	words, code, done := f.parse(args, []option{
		{short: 't', value: true, arg: "TAG", help: "tag of the line", set: text(&tag)},
		{short: 'D', value: true, arg: "LOG", help: "ha-log (default) or ha-debug", set: text(&kind)},
	})
	switch {
	case done:
		return code
	case kind != "" && kind != "ha-log" && kind != "ha-debug":
		return f.fail(exitUsage, "log %q is none of ha-log, ha-debug", kind)
	}
	level := syslog.LOG_INFO
	if kind == "ha-debug" {
		level = syslog.LOG_DEBUG
	}
	w, err := syslog.New(syslog.LOG_DAEMON|level, tag)
	if err != nil {
		return f.fail(exitUnavailable, "%v", err)
	}
	defer w.Close()
	if _, err := w.Write([]byte(strings.Join(words, " "))); err != nil {
		return f.fail(exitIOErr, "%v", err)
	}
	return exitOK
}
