package compat

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/quorate/quorate/crm/api"
	"github.com/quorate/quorate/crm/cib/cibxml"
)

// crmNode is crm_node: names, numbers and quorum.
func crmNode(io IO, args []string) int {
	f := &frame{"crm_node", "names and ids of nodes, and quorum", io}
	var what []byte
	var id string
	ask := func(c byte) func(string) error {
		return func(v string) error { what, id = append(what, c), v; return nil }
	}
	rest, code, done := f.parse(args, []option{
		{short: 'n', long: "name", help: "name of this node", set: ask('n')},
		{short: 'i', long: "cluster-id", help: "id of this node", set: ask('i')},
		{short: 'l', long: "list", help: "all nodes: id, name, and member or lost", set: ask('l')},
		{short: 'p', long: "partition", help: "names of the nodes that this one reaches, and its own", set: ask('p')},
		{short: 'q', long: "quorum", help: "1 with quorum, else 0", set: ask('q')},
		{short: 'N', long: "name-for-id", value: true, arg: "ID", help: "name of the node with this id", set: ask('N')},
		{short: 'Q', long: "quiet", help: "accepted", set: func(string) error { return nil }},
	})
	switch {
	case done:
		return code
	case len(rest) > 0:
		return f.fail(exitUsage, "unexpected argument %q; see crm_node --help", rest[0])
	case len(what) == 0:
		return f.fail(exitUsage, "say what to show; see crm_node --help")
	}
	c, end, err := open()
	if err != nil {
		return f.failed(err)
	}
	defer end()
	// "-l -p" shows what the last of them says, as the tool does.
	do := what[len(what)-1]
	if do == 'n' {
		name, err := c.node("")
		if err != nil {
			return f.failed(err)
		}
		fmt.Fprintln(io.Out, name)
		return exitOK
	}
	l, err := c.local()
	if err != nil {
		return f.failed(err)
	}
	reached := map[string]bool{l.Node: true}
	for _, p := range l.Peers {
		reached[p.Node] = p.State == "reachable" || p.State == "suspect"
	}
	switch do {
	case 'q':
		fmt.Fprintln(io.Out, map[bool]int{true: 1}[l.Quorate])
	case 'i', 'N':
		for i := range c.state.Members {
			m := &c.state.Members[i]
			switch number := strconv.Itoa(int(m.NodeID)); {
			case m.Removed:
			case do == 'i' && m.Name == l.Node:
				fmt.Fprintln(io.Out, number)
				return exitOK
			case do == 'N' && number == id:
				fmt.Fprintln(io.Out, m.Name)
				return exitOK
			}
		}
		return f.failed(fmt.Errorf("node %s: %w", id, errNotSet))
	default:
		listNodes(f, c, l, reached, do == 'p')
	}
	return exitOK
}

func listNodes(f *frame, c *cluster, l *api.Local, reached map[string]bool, partition bool) {
	var names []string
	for i := range c.state.Members {
		m := &c.state.Members[i]
		if m.Removed {
			continue
		}
		up := reached[m.Name]
		if up {
			names = append(names, m.Name)
		}
		if !partition {
			fmt.Fprintln(f.io.Out, m.NodeID, m.Name, map[bool]string{true: "member", false: "lost"}[up])
		}
	}
	if partition {
		fmt.Fprintln(f.io.Out, strings.Join(names, " "))
	}
}

// liveCIB returns the document of the running cluster, or of the file that CIB_file names, as XML.
func liveCIB() ([]byte, error) {
	c, end, err := open()
	if err != nil {
		return nil, err
	}
	defer end()
	if c.client != nil {
		// The daemon's form has what the policy sees: the state of nodes with their facts.
		return c.client.CIB(c.ctx, false)
	}
	return cibxml.Write(c.doc, cibxml.Options{Plain: true}), nil
}
