package compat

import (
	"fmt"
	"strings"

	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/store/command"
)

// attrdOptions are the options of attrd_updater.
type attrdOptions struct {
	name, node string
	all        bool
	change     command.Attribute
	delay      bool   // a dampening was given
	what       string // update, both, delay, query, delete or refresh; of several, the last counts, as with Pacemaker's tool
}

func (o *attrdOptions) table() []option {
	ignore := func(string) error { return nil }
	do := func(name string) func(string) error { return func(string) error { o.what = name; return nil } }
	value := func(name string) func(string) error {
		return func(s string) error { o.change.Value, o.what = s, name; return nil }
	}
	return []option{
		{short: 'n', long: "name", value: true, arg: "NAME", help: "the attribute", set: text(&o.name)},
		{short: 'U', long: "update", value: true, arg: "VALUE", help: "set the value; value++ and value+=N add to it", set: value("update")},
		{short: 'v', value: true, arg: "VALUE", help: "the same as -U", set: value("update")},
		{short: 'B', long: "update-both", value: true, arg: "VALUE", help: "set the value and, with -d, the dampening", set: value("both")},
		{short: 'Y', long: "update-delay", help: "set the dampening, with -d", set: do("delay")},
		{short: 'Q', long: "query", help: "show the value", set: do("query")},
		{short: 'D', long: "delete", help: "delete the value", set: do("delete")},
		{short: 'R', long: "refresh", help: "end the dampening of everything that waits", set: do("refresh")},
		{short: 'd', long: "delay", value: true, arg: "TIME", help: "dampening: how long changes of a new attribute wait for further ones, such as 5 (seconds) or 5s",
			set: o.setDelay},
		{short: 'N', long: "node", value: true, arg: "NODE", help: "of this node (default: where the command runs)", set: text(&o.node)},
		{short: 'A', long: "all", help: "with --query: of all nodes", set: flag(&o.all)},
		{short: 'p', long: "private", help: "a new attribute is never written to the configuration's status, so that no rule sees it", set: flag(&o.change.Private)},
		{short: 's', long: "set", value: true, arg: "ID", help: "accepted; there is one set", set: ignore},
		{short: 'S', value: true, arg: "SECTION", help: "accepted; attributes live in the status", set: ignore},
		{short: 'l', long: "lifetime", value: true, arg: "LIFETIME", help: "accepted; the lifetime ends when the node leaves", set: ignore},
		{short: 'q', long: "quiet", help: "accepted", set: ignore},
	}
}

func (o *attrdOptions) setDelay(s string) error {
	o.delay = true
	if s == "" || strings.TrimRight(s, "ms") == "0" {
		return nil // nothing: also an agent's parameter that is not set
	}
	ms, err := cib.ParseTimeout(s)
	if err != nil {
		return err
	}
	o.change.DelayMS = ms
	return nil
}

// attrdUpdater is attrd_updater: transient attributes of nodes.
func attrdUpdater(io IO, args []string) int {
	f := &frame{"attrd_updater", "show and change attributes that last until the node restarts", io}
	var o attrdOptions
	rest, code, done := f.parse(args, o.table())
	switch {
	case done:
		return code
	case len(rest) > 0:
		return f.fail(exitUsage, "unexpected argument %q; see attrd_updater --help", rest[0])
	case o.what == "":
		return f.fail(exitUsage, "say what to do: --update VALUE, --delete, --query or --refresh")
	case o.name == "" && o.what != "refresh":
		return f.fail(exitUsage, "no attribute: name one with --name NAME")
	case (o.what == "delay" || o.what == "both") && !o.delay:
		return f.fail(exitUsage, "a new dampening needs --delay TIME")
	}
	c, end, err := open()
	if err != nil {
		return f.failed(err)
	}
	defer end()
	if o.what == "query" {
		return o.query(f, c)
	}
	o.change.Name = o.name
	switch o.what {
	case "refresh":
		o.change.Write = true
	case "both":
		o.change.SetDelay = true
	case "delay":
		o.change.SetDelay, o.change.KeepValue = true, true
	case "delete":
		o.change.Delete = true
	}
	if o.what != "refresh" && o.what != "delay" {
		if o.change.Node, err = c.node(o.node); err != nil {
			return f.failed(err)
		}
	}
	if err := c.setTransient(o.change); err != nil {
		return f.failed(err)
	}
	return exitOK
}

func (o *attrdOptions) query(f *frame, c *cluster) int {
	values, known := c.attributeValues(o.name)
	if !known {
		return f.failed(fmt.Errorf("%s: %w", o.name, errNotSet))
	}
	if !o.all {
		node, err := c.node(o.node)
		if err != nil {
			return f.failed(err)
		}
		one := command.AttributeValue{Node: node} // known elsewhere: here it is empty
		for _, v := range values {
			if strings.EqualFold(v.Node, node) {
				one = v
			}
		}
		values = []command.AttributeValue{one}
	}
	for _, v := range values {
		fmt.Fprintf(f.io.Out, "name=\"%s\" host=\"%s\" value=\"%s\"\n", o.name, v.Node, v.Value)
	}
	return exitOK
}
