package shell

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/quorate/quorate/crm/api/client"
	"github.com/quorate/quorate/crm/api/editor"
	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/cib/cibcrm"
	"github.com/quorate/quorate/crm/status"
	"github.com/quorate/quorate/crm/store/command"
)

func nodeLevel() *level {
	return &level{name: "node", help: "States and attributes of nodes.", commands: []*row{
		{name: "list", help: "list the nodes with their states", run: (*Shell).cmdNodeList},
		{name: "show", aliases: []string{"print"}, args: "[NODE]", example: "crm node show alpha", help: "show nodes with their attributes", run: (*Shell).cmdNodeShow, complete: completeNodes},
		{name: "standby", args: "[NODE] [forever|reboot]", example: "crm node standby alpha", help: "move resources away from a node", run: (*Shell).cmdStandby, complete: completeNodes},
		{name: "online", args: "[NODE]", example: "crm node online alpha", help: "let resources run on a node again", run: (*Shell).cmdOnline, complete: completeNodes},
		{name: "maintenance", args: "[NODE]", example: "crm node maintenance alpha", help: "leave the resources of a node as they are, unwatched", run: (*Shell).cmdNodeMaintenance, complete: completeNodes},
		{name: "ready", args: "[NODE]", example: "crm node ready alpha", help: "end the maintenance of a node", run: (*Shell).cmdReady, complete: completeNodes},
		{name: "attribute", args: "NODE set NAME VALUE | show NAME | delete NAME", example: "crm node attribute alpha set rack a", help: "permanent attributes of a node", run: (*Shell).cmdNodeAttribute,
			complete: completeAttributeCommand(completeNodes, func(s *Shell, _ string) []string {
				return s.nodeNames(func(n *cib.Node) []cib.AttributeSet { return n.Attributes })
			})},
		{name: "utilization", args: "NODE set NAME VALUE | show NAME | delete NAME", example: "crm node utilization alpha set cpu 8", help: "what a node has to give", run: (*Shell).cmdNodeUtilization,
			complete: completeAttributeCommand(completeNodes, func(s *Shell, _ string) []string {
				return s.nodeNames(func(n *cib.Node) []cib.AttributeSet { return n.Utilization })
			})},
		{name: "status-attr", args: "NODE set NAME VALUE | show NAME | delete NAME", example: "crm node status-attr alpha delete pingd", help: "attributes that last until the node restarts", run: (*Shell).cmdStatusAttr, complete: completeNodes},
		{name: "clearstate", args: "NODE", example: "crm node clearstate alpha", help: "vouch that a node is down, in place of fencing", run: (*Shell).cmdClearstate, complete: completeNodes},
		{name: "fence", args: "NODE [--off|--reboot] [--nowait]", example: "crm node fence alpha --off", help: "have the cluster fence a node, and wait for it", run: (*Shell).cmdFence, complete: completeNodes},
		{name: "delete", args: "NODE", example: "crm node delete gamma", help: "remove a node from the cluster for good", run: (*Shell).cmdNodeDelete, complete: completeNodes},
		{name: "server", args: "[NODE ...]", example: "crm node server alpha", help: "print the names or addresses of nodes", run: (*Shell).cmdServer, complete: completeNodes},
	}}
}

// findNode returns the node of that name, ignoring case.
func findNode(doc *cib.Document, name string) (*cib.Node, error) {
	var names []string
	for i := range doc.Config.Nodes {
		if strings.EqualFold(doc.Config.Nodes[i].Name, name) {
			return &doc.Config.Nodes[i], nil
		}
		names = append(names, doc.Config.Nodes[i].Name)
	}
	return nil, fmt.Errorf("node %s is not in the cluster; there are %s", name, strings.Join(names, ", "))
}

// thisNode is the node that a command without a name means.
func (s *Shell) thisNode(ctx context.Context) (string, error) {
	_, l, err := s.local(ctx)
	if err != nil {
		return "", fmt.Errorf("name the node: %w", err)
	}
	return l.Node, nil
}

func (s *Shell) nodeArg(c *call) (string, error) {
	if err := c.want(0, 1); err != nil {
		return "", err
	}
	if len(c.args) == 1 {
		return c.args[0], nil
	}
	return s.thisNode(c.ctx)
}

// nodeMark sets a permanent attribute of a node.
func (s *Shell) nodeMark(c *call, name, attribute, value string) error {
	return s.changeOne(c.ctx, client.Scope{Node: name}, "crm node "+c.cmd.name+" "+name, func(doc *cib.Document) error {
		n, err := findNode(doc, name)
		if err != nil {
			return err
		}
		cib.SetValue(&doc.Config, &n.Attributes, "nodes-"+n.ID, attribute, value)
		return nil
	})
}

func (s *Shell) cmdStandby(c *call) error {
	args, lifetime := c.args, "forever"
	if n := len(args); n > 0 && (args[n-1] == "forever" || args[n-1] == "reboot") {
		lifetime, args = args[n-1], args[:n-1]
	}
	name, err := s.nodeArg(&call{ctx: c.ctx, cmd: c.cmd, args: args})
	if err != nil {
		return err
	}
	if lifetime == "reboot" {
		return s.transient(c, command.Attribute{Node: name, Name: "standby", Value: "on"})
	}
	return s.nodeMark(c, name, "standby", "on")
}

func (s *Shell) cmdOnline(c *call) error {
	name, err := s.nodeArg(c)
	if err != nil {
		return err
	}
	if snap, err := s.load(c.ctx); err == nil && snap.State != nil {
		for i := range snap.Doc.Status.Nodes {
			n := &snap.Doc.Status.Nodes[i]
			if _, ok := cib.Value(n.Attributes, "standby"); ok && n.Name == name {
				if err := s.transient(c, command.Attribute{Node: name, Name: "standby", Delete: true}); err != nil {
					return err
				}
			}
		}
	}
	return s.nodeMark(c, name, "standby", "off")
}

func (s *Shell) cmdNodeMaintenance(c *call) error {
	name, err := s.nodeArg(c)
	if err != nil {
		return err
	}
	return s.nodeMark(c, name, "maintenance", "true")
}

func (s *Shell) cmdReady(c *call) error {
	name, err := s.nodeArg(c)
	if err != nil {
		return err
	}
	return s.nodeMark(c, name, "maintenance", "off")
}

// transient sets a transient attribute in the cluster.
func (s *Shell) transient(c *call, a command.Attribute) error {
	cl, err := s.live()
	if err != nil {
		return err
	}
	_, err = cl.Propose(c.ctx, &command.Entry{Kind: command.KindAttributes, Attributes: []command.Attribute{a}})
	return explain(err)
}

func (s *Shell) cmdNodeAttribute(c *call) error {
	if err := c.want(2, 4); err != nil {
		return err
	}
	if c.args[1] == "set" && len(c.args) == 4 {
		return s.nodeMark(c, c.args[0], c.args[2], c.args[3])
	}
	return s.attributeCommand(c, c.args[0], client.Scope{Node: c.args[0]}, c.args[1:], "instance_attributes", func(doc *cib.Document) (*[]cib.AttributeSet, error) {
		n, err := findNode(doc, c.args[0])
		if err != nil {
			return nil, err
		}
		return &n.Attributes, nil
	})
}

func (s *Shell) cmdNodeUtilization(c *call) error {
	if err := c.want(2, 4); err != nil {
		return err
	}
	return s.attributeCommand(c, c.args[0], client.Scope{Node: c.args[0]}, c.args[1:], "utilization", func(doc *cib.Document) (*[]cib.AttributeSet, error) {
		n, err := findNode(doc, c.args[0])
		if err != nil {
			return nil, err
		}
		return &n.Utilization, nil
	})
}

func (s *Shell) cmdStatusAttr(c *call) error {
	if err := c.want(3, 4); err != nil {
		return err
	}
	snap, err := s.load(c.ctx)
	if err != nil {
		return err
	}
	n, err := findNode(snap.Doc, c.args[0])
	if err != nil {
		return err
	}
	switch {
	case c.args[1] == "set" && len(c.args) == 4:
		return s.transient(c, command.Attribute{Node: n.Name, Name: c.args[2], Value: c.args[3]})
	case c.args[1] == "delete" && len(c.args) == 3:
		return s.transient(c, command.Attribute{Node: n.Name, Name: c.args[2], Delete: true})
	case c.args[1] == "show" && len(c.args) == 3:
		for i := range snap.Doc.Status.Nodes {
			if st := &snap.Doc.Status.Nodes[i]; st.Name == n.Name {
				if v, ok := cib.Value(st.Attributes, c.args[2]); ok {
					s.printf("%s\n", v)
					return nil
				}
			}
		}
		return fmt.Errorf("node %s has no transient attribute %s", n.Name, c.args[2])
	}
	return c.usage("set needs a name and a value, show and delete a name")
}

func (s *Shell) cmdClearstate(c *call) error {
	if err := c.want(1, 1); err != nil {
		return err
	}
	cl, err := s.live()
	if err != nil {
		return err
	}
	if s.interactive && !s.confirm(fmt.Sprintf("Is %s really off or cut from all it shares? Its resources start elsewhere at once", c.args[0])) {
		return nil
	}
	_, err = cl.Propose(c.ctx, &command.Entry{Kind: command.KindConfirmDown, ConfirmDown: &command.ConfirmDown{Node: c.args[0]}})
	return explain(err)
}

// fenceWait is how long "crm node fence" waits, beside the fencing-timeout of the cluster.
const fenceWait = 60 * time.Second

func (s *Shell) cmdFence(c *call) error {
	names, has := shadowWords(c.args, "--off", "--reboot", "--nowait")
	switch {
	case len(names) != 1:
		return c.usage("name one node")
	case has["--off"] && has["--reboot"]:
		return c.usage("--off and --reboot exclude each other")
	}
	cl, err := s.live()
	if err != nil {
		return err
	}
	st, err := cl.State(c.ctx, false)
	if err != nil {
		return explain(err)
	}
	n, err := findNode(st.Document, names[0])
	if err != nil {
		return err
	}
	if err := fenceable(st, n.Name); err != nil {
		return err
	}
	if s.interactive && !s.confirm(fmt.Sprintf("Fence %s? Everything on it ends hard", n.Name)) {
		return nil
	}
	want := "true"
	for _, op := range []string{"off", "reboot"} {
		if has["--"+op] {
			want = op
		}
	}
	// The policy fences a node that has this attribute.
	if err := s.transient(c, command.Attribute{Node: n.Name, Name: "terminate", Value: want}); err != nil || has["--nowait"] {
		return err
	}
	limit := fenceWait
	if ms, err := cib.ParseInterval(cib.EffectiveProperty(st.Document, "fencing-timeout")); err == nil {
		limit += time.Duration(ms) * time.Millisecond
	}
	return s.awaitFencing(c, cl, st, n.Name, limit)
}

// fenceable says why asking for a fencing would have no effect; nil = it has one.
func fenceable(st *command.State, name string) error {
	if !cib.IsTrue(cib.EffectiveProperty(st.Document, "fencing-enabled")) {
		return hint(fmt.Errorf("%s cannot be fenced: fencing is off in this cluster", name), "crm configure property fencing-enabled=true, with a device")
	}
	devices := false
	cib.EachResource(&st.Document.Config, func(r, _ *cib.Resource) { devices = devices || strings.EqualFold(r.Class, "stonith") })
	if !devices {
		return hint(fmt.Errorf("%s cannot be fenced: no fence device is configured", name), "crm configure primitive NAME stonith:AGENT ...")
	}
	for i := range st.Document.Status.Nodes {
		if x := &st.Document.Status.Nodes[i]; x.Name == name && x.Join == "down" && (st.Member(name) == nil || !st.Member(name).Online) {
			return fmt.Errorf("%s is off already, as the cluster knows it", name)
		}
	}
	return nil
}

// awaitFencing waits until a fencing of the node is recorded that is newer than st.
func (s *Shell) awaitFencing(c *call, cl *client.Client, st *command.State, name string, limit time.Duration) error {
	giveUp := fmt.Sprintf("the cluster goes on trying; \"crm status\" shows it, \"crm node status-attr %s delete terminate\" ends it", name)
	deadline := time.Now().Add(limit)
	ctx, cancel := context.WithDeadline(c.ctx, deadline)
	defer cancel()
	for after := st.Index; ; {
		now, err := cl.Wait(ctx, after, time.Until(deadline))
		if err != nil {
			if c.ctx.Err() == nil && ctx.Err() != nil {
				return hint(fmt.Errorf("%s was not fenced within %v", name, limit), "%s", giveUp)
			}
			return explain(err)
		}
		for i := range now.Fencing {
			f := &now.Fencing[i]
			if f.Target != name || f.Index <= after || f.Late || f.Op == "on" {
				continue
			}
			if !f.OK {
				return hint(errors.New(fencingText(f)), "%s", giveUp)
			}
			s.printf("%s\n", fencingText(f))
			return nil
		}
		after = now.Index
	}
}

func (s *Shell) cmdNodeDelete(c *call) error {
	if err := c.want(1, 1); err != nil {
		return err
	}
	if _, file := s.connect().(*editor.File); !file {
		return s.cmdRemove(c)
	}
	return s.change(c.ctx, "crm node delete "+c.args[0], func(doc *cib.Document) error {
		n, err := findNode(doc, c.args[0])
		if err != nil {
			return err
		}
		return cibcrm.NewEditor(&doc.Config).Delete(n.Name)
	})
}

func (s *Shell) cmdServer(c *call) error {
	snap, err := s.load(c.ctx)
	if err != nil {
		return err
	}
	for _, n := range snap.Doc.Config.Nodes {
		if len(c.args) > 0 && !slices.Contains(c.args, n.Name) {
			continue
		}
		address := n.Name
		if len(n.Links) > 0 {
			address = n.Links[0].Address
		}
		s.printf("%s\n", address)
	}
	return nil
}

func (s *Shell) cmdNodeList(c *call) error {
	if err := c.want(0, 0); err != nil {
		return err
	}
	cluster, leader, err := s.clusterView(c.ctx)
	if err != nil {
		return err
	}
	rows := [][]string{{"NODE", "STATE", "RUNNING"}}
	for _, n := range cluster.Nodes {
		name := n.Name
		if n.Name == leader {
			name += " (leader)"
		}
		rows = append(rows, []string{name, status.NodeState(n), fmt.Sprint(len(n.Running))})
	}
	s.table(rows)
	return nil
}

func (s *Shell) cmdNodeShow(c *call) error {
	if err := c.want(0, 1); err != nil {
		return err
	}
	cluster, _, err := s.clusterView(c.ctx)
	if err != nil {
		return err
	}
	shown := 0
	for _, n := range cluster.Nodes {
		if len(c.args) == 1 && !strings.EqualFold(n.Name, c.args[0]) {
			continue
		}
		shown++
		s.printf("%s(%s): %s\n", n.Name, n.ID, status.NodeState(n))
		if n.Config == nil {
			continue
		}
		for _, l := range n.Config.Links {
			s.printf("\tlink %s=%s\n", l.Link, l.Address)
		}
		for _, list := range [][]cib.AttributeSet{n.Config.Attributes, n.Config.Utilization} {
			for i := range list {
				for _, p := range list[i].Pairs {
					s.printf("\t%s=%s\n", p.Name, p.Value)
				}
			}
		}
		if n.State == nil {
			continue
		}
		for i := range n.State.Attributes {
			for _, p := range n.State.Attributes[i].Pairs {
				s.printf("\t%s=%s (until the node restarts)\n", p.Name, p.Value)
			}
		}
	}
	if shown == 0 && len(c.args) == 1 {
		return fmt.Errorf("node %s is not in the cluster", c.args[0])
	}
	return nil
}
