package compat

import (
	"slices"
	"strings"
	"time"

	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/status"
	"github.com/quorate/quorate/crm/store/command"
)

// stonithOptions are the options of stonith_admin.
type stonithOptions struct {
	output
	what, argument, agent string
	timeout, tolerance    time.Duration
	quiet, verbose        bool
}

// fenceTime is how long stonith_admin waits for a fencing unless --timeout says otherwise.
const fenceTime = 120 * time.Second

// stonithAdmin is stonith_admin: fencing and its history.
func stonithAdmin(stdio IO, args []string) int {
	f := &frame{"stonith_admin", "fence nodes, show devices and what was fenced", stdio}
	o := &stonithOptions{timeout: fenceTime}
	do := func(name string) func(string) error {
		return func(s string) error { o.what, o.argument = name, s; return nil }
	}
	seconds := func(p *time.Duration) func(string) error {
		return func(s string) error {
			ms, err := cib.ParseTimeout(s)
			*p = time.Duration(ms) * time.Millisecond
			return err
		}
	}
	ignore := func(string) error { return nil }
	rest, code, done := f.parse(args, append([]option{
		{short: 'B', long: "reboot", value: true, arg: "NODE", help: "have the cluster reboot a node, and wait for it", set: do("reboot")},
		{short: 'F', long: "fence", value: true, arg: "NODE", help: "the same, but switch it off", set: do("off")},
		{short: 'U', long: "unfence", value: true, arg: "NODE", help: "not served: the cluster unfences nodes itself when they join", set: do("unfence")},
		{short: 'C', long: "confirm", value: true, arg: "NODE", help: "vouch that a node is down", set: do("confirm")},
		{short: 'l', long: "list", value: true, arg: "NODE", help: "devices that can fence a node", set: do("list")},
		{short: 'L', long: "list-registered", help: "all devices", set: do("devices")},
		{short: 'I', long: "list-installed", help: "installed fence agents", set: do("installed")},
		{short: 's', long: "list-targets", value: true, arg: "DEVICE", help: "nodes that a device can fence, as configured", set: do("targets")},
		{short: 'M', long: "metadata", help: "metadata of the agent that -a names", set: do("metadata")},
		{short: 'Q', long: "query", value: true, arg: "DEVICE", help: "whether a device is active", set: do("query")},
		{short: 'H', long: "history", value: true, arg: "NODE", help: "what was fenced; * is all nodes", set: do("history")},
		{short: 'a', long: "agent", value: true, arg: "AGENT", help: "the agent", set: text(&o.agent)},
		{short: 't', long: "timeout", value: true, arg: "TIME", help: "how long to wait; default 120 seconds", set: seconds(&o.timeout)},
		{long: "tolerance", value: true, arg: "TIME", help: "do nothing when the node was fenced less than this ago", set: seconds(&o.tolerance)},
		{short: 'T', long: "tag", value: true, arg: "TAG", help: "accepted", set: ignore},
		{short: 'y', long: "delay", value: true, arg: "TIME", help: "accepted; delays are the devices'", set: ignore},
		{short: 'b', long: "broadcast", help: "accepted; the history is the cluster's", set: ignore},
		{short: 'q', long: "quiet", help: "less words", set: flag(&o.quiet)},
		{short: 'V', long: "verbose", help: "with --history: all that is recorded", set: flag(&o.verbose)},
	}, o.table()...))
	switch {
	case done:
		return code
	case len(rest) > 0:
		return f.fail(exitUsage, "unexpected argument %q; see stonith_admin --help", rest[0])
	case o.what == "":
		return f.fail(exitUsage, "say what to do; see stonith_admin --help")
	case o.what == "unfence":
		return f.fail(exitUnimplemented, "the cluster unfences a node itself when it joins")
	case o.what == "metadata" && o.agent == "":
		return f.fail(exitUsage, "name the agent with --agent AGENT")
	}
	if err := o.begin(f, args); err != nil {
		return f.failed(err)
	}
	return o.end(o.run())
}

func (o *stonithOptions) run() error {
	look := openView
	if o.what == "reboot" || o.what == "off" || o.what == "confirm" {
		look = open // who acts needs the newest state
	}
	c, end, err := look()
	if err != nil {
		return err
	}
	defer end()
	switch o.what {
	case "reboot", "off":
		return o.fence(c)
	case "confirm":
		n, err := findNode(c.doc, o.argument)
		if err != nil {
			return err
		}
		return c.propose(&command.Entry{Kind: command.KindConfirmDown, ConfirmDown: &command.ConfirmDown{Node: n.Name}})
	case "history":
		return o.history(c)
	case "installed", "metadata":
		return o.agents(c)
	}
	return o.devices(c)
}

func (o *stonithOptions) agents(c *cluster) error {
	if c.client == nil {
		return errNeedsCluster
	}
	if o.what == "metadata" {
		data, err := c.client.Metadata(c.ctx, "stonith:"+o.agent)
		if err != nil {
			return err
		}
		o.printf("%s", data)
		if o.xml != nil {
			o.element("metadata", string(data))
		}
		return nil
	}
	list, err := c.client.Agents(c.ctx, "stonith")
	if err != nil {
		return err
	}
	for i := range list {
		list[i] = strings.TrimPrefix(list[i], "stonith:")
	}
	o.list("Installed fence devices", "device", list)
	return nil
}

// fenceTargets are the nodes that a device can fence as its parameters say; all says that they do not say it.
func fenceTargets(r *cib.Resource) (names []string, all bool) {
	hosts, _ := cib.Value(r.Params, "pcmk_host_list")
	split := func(s string) []string {
		return strings.FieldsFunc(s, func(c rune) bool { return strings.ContainsRune(" ,;\t\n", c) })
	}
	names = split(hosts)
	mapped, _ := cib.Value(r.Params, "pcmk_host_map")
	for _, pair := range split(mapped) {
		name, _, _ := strings.Cut(pair, ":")
		names = append(names, name)
	}
	return names, len(names) == 0
}

// devices lists devices, those that can fence a node, or the nodes that one can fence.
func (o *stonithOptions) devices(c *cluster) error {
	var found []string
	var one *cib.Resource
	cib.EachResource(&c.doc.Config, func(r, _ *cib.Resource) {
		if r.Kind != cib.Primitive || r.Class != "stonith" {
			return
		}
		if r.ID == o.argument {
			one = r
		}
		targets, all := fenceTargets(r)
		if o.what == "devices" || all || slices.ContainsFunc(targets, func(t string) bool { return strings.EqualFold(t, o.argument) }) {
			found = append(found, r.ID)
		}
	})
	switch o.what {
	case "targets", "query":
		if one == nil {
			return coded(exitNoSuch, "device %s: %w", o.argument, errNotSet)
		}
		if o.what == "targets" {
			targets, all := fenceTargets(one)
			if all {
				return coded(exitUnsatisfied, "%s has no pcmk_host_list: which nodes it can fence is asked when one is to be fenced", one.ID)
			}
			o.list("Fence Targets", "target", targets)
			return nil
		}
		v, err := c.view()
		if err != nil {
			return err
		}
		r, err := mustResource(v, one.ID)
		if err != nil {
			return err
		}
		if len(r.Active) == 0 {
			return coded(exitError, "device %s is not active", one.ID)
		}
		return nil
	}
	if o.what == "list" {
		if _, err := findNode(c.doc, o.argument); err != nil {
			return err
		}
	}
	o.list("fence devices", "device", found)
	if o.xml == nil && !o.quiet {
		word := "devices"
		if len(found) == 1 {
			word = "device"
		}
		o.printf("%d fence %s found\n", len(found), word)
	}
	return nil
}

func (o *stonithOptions) history(c *cluster) error {
	var events []status.FencingEvent
	seen := make(map[string]bool)
	for _, e := range c.fencings() {
		key := e.Target + "/" + e.Action + "/" + e.State.String()
		if o.argument != "*" && !strings.EqualFold(e.Target, o.argument) || !o.verbose && seen[key] {
			continue
		}
		seen[key] = true
		events = append(events, e)
	}
	if o.xml != nil {
		v, err := c.view()
		if err != nil {
			return err
		}
		o.xml.Raw(status.XML(v, status.Options{Depth: o.xml.Depth(), NoNodes: true, NoResources: true, Fencing: events, FencingAll: true}))
		return nil
	}
	for _, e := range events {
		when := localTime(e.Completed.Unix())
		by := e.By
		if by == "" {
			by = "a human"
		}
		switch {
		case o.quiet && e.State == status.FencingDone:
			o.printf("%d\n", e.Completed.Unix())
		case o.quiet:
		case e.State == status.FencingPending:
			o.printf("%s wishes to %s node %s\n", e.Origin, e.Action, e.Target)
		case e.State == status.FencingDone:
			o.printf("%s was able to %s node %s on behalf of %s from %s at %s\n", by, e.Action, e.Target, e.Client, e.Origin, when)
		default:
			o.printf("%s was not able to %s node %s on behalf of %s from %s at %s\n", by, e.Action, e.Target, e.Client, e.Origin, when)
		}
	}
	if o.xml == nil && !o.quiet {
		o.printf("%d %s found\n", len(events), map[bool]string{true: "event", false: "events"}[len(events) == 1])
	}
	return nil
}

// fence asks the cluster for the fencing of a node and waits until it is recorded.
func (o *stonithOptions) fence(c *cluster) error {
	if c.client == nil {
		return errNeedsCluster
	}
	n, err := findNode(c.doc, o.argument)
	if err != nil {
		return err
	}
	since := time.Now()
	if last := lastFencing(c.state, n.Name); last != nil && last.OK && since.Sub(time.UnixMilli(last.Ended)) < o.tolerance {
		return nil
	}
	known := int64(0)
	if last := lastFencing(c.state, n.Name); last != nil {
		known = last.Ended
	}
	// The policy fences a node that has this attribute, in the way that it names.
	if err := c.propose(&command.Entry{Kind: command.KindAttributes, Attributes: []command.Attribute{{Node: n.Name, Name: "terminate", Value: o.what}}}); err != nil {
		return err
	}
	return c.waitFencing(n.Name, known, since.Add(o.timeout))
}

func lastFencing(s *command.State, node string) *command.FencingRecord {
	for i := range slices.Backward(s.Fencing) {
		if s.Fencing[i].Target == node && !s.Fencing[i].Late {
			return &s.Fencing[i]
		}
	}
	return nil
}
