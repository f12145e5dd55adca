package shell

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/quorate/quorate/crm/api"
	"github.com/quorate/quorate/crm/api/client"
	"github.com/quorate/quorate/crm/api/editor"
	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/cib/cibxml"
	"github.com/quorate/quorate/crm/policy"
	"github.com/quorate/quorate/crm/policy/model"
	"github.com/quorate/quorate/crm/status"
	"github.com/quorate/quorate/crm/store/command"
)

// statusDocument returns the document with the operations under way.
func (s *Shell) statusDocument(ctx context.Context) (doc *cib.Document, snap *editor.Snapshot, leader string, err error) {
	b, isLive := s.connect().(*editor.Live)
	if !isLive {
		if snap, err = s.load(ctx); err != nil {
			return nil, nil, "", err
		}
		return snap.Doc, snap, "", nil
	}
	l, err := b.Client.Local(ctx)
	if err != nil {
		return nil, nil, "", explain(err)
	}
	if l.Quorate {
		leader = l.Leader
	}
	// Without a leader nobody knows what is newest: what this node knows is shown, and said to be that.
	known := leader != ""
	if snap, err = b.Fetch(ctx, !known); err != nil {
		var e *client.Error
		if !known || !errors.As(err, &e) || e.Reply.Code != api.CodeNoQuorum {
			return nil, nil, "", err
		}
		if snap, err = b.Fetch(ctx, true); err != nil {
			return nil, nil, "", err
		}
		known, leader = false, ""
	}
	if !known {
		s.warn("there is no leader with quorum: this is what node %s knew last", l.Node)
	}
	return command.PolicyDocument(snap.State, leader), snap, leader, nil
}

// state reads a document the way the policy does.
func state(doc *cib.Document, quorate bool) (*model.Cluster, error) {
	return policy.State(policy.Input{Document: doc, Now: time.Now().UTC(), Quorate: quorate})
}

func (s *Shell) cmdStatus(c *call) error {
	output, watch := "text", false
	o := status.Options{Pending: true, FailCounts: true, Failures: true, Sparse: true}
	for i := 0; i < len(c.args); i++ {
		a := c.args[i]
		switch {
		case a == "--watch" || a == "-w":
			watch = true
		case a == "--output" || a == "-o":
			if i+1 == len(c.args) {
				return c.usage("--output needs text, json or xml")
			}
			i++
			output = c.args[i]
		case strings.HasPrefix(a, "--output="):
			output = strings.TrimPrefix(a, "--output=")
		case a == "xml" || a == "json":
			output = a
		case a == "full" || a == "detail":
			o.Attributes = true
		case a == "simple" || a == "brief" || a == "bynode" || a == "inactive" || a == "ops" || a == "timing" || a == "failcounts":
		default:
			return c.usage("%q is not known", a)
		}
	}
	if output != "text" && output != "json" && output != "xml" {
		return c.usage("%q is none of text, json, xml", output)
	}
	if !watch {
		return s.showStatus(c.ctx, output, o)
	}
	cl, err := s.live()
	if err != nil {
		return err
	}
	var after uint64
	for {
		st, err := cl.Wait(c.ctx, after, watchTime)
		if c.ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return explain(err)
		}
		if st.Index == after {
			continue
		}
		after = st.Index
		if s.cfg.Terminal && output == "text" {
			s.printf("\x1b[H\x1b[2J")
		}
		if err := s.showStatus(c.ctx, output, o); err != nil {
			return err
		}
	}
}

// watchTime is how long one request waits for news.
const watchTime = 20 * time.Second

func (s *Shell) showStatus(ctx context.Context, output string, o status.Options) error {
	doc, snap, leader, err := s.statusDocument(ctx)
	if err != nil {
		return err
	}
	quorate := leader != "" || snap.State == nil && cib.IsTrue(doc.Head.HaveQuorum)
	if output == "xml" {
		_, err := s.out.Write(cibxml.Write(doc, cibxml.Options{}))
		return err
	}
	cluster, err := state(doc, quorate)
	if err != nil {
		return err
	}
	if output == "json" {
		return s.statusJSON(cluster, snap, leader, quorate)
	}
	var head strings.Builder
	head.WriteString("Cluster Summary:\n")
	if snap.State != nil {
		fmt.Fprintf(&head, "  * Cluster: %s\n", snap.State.Name)
	}
	q := "partition with quorum"
	if !quorate {
		q = "partition WITHOUT quorum"
	}
	fmt.Fprintf(&head, "  * Leader: %s - %s\n", orNone(leader), q)
	instances := 0
	for _, r := range cluster.All {
		if r.Kind == cib.Primitive && !r.Removed {
			instances++
		}
	}
	fmt.Fprintf(&head, "  * %d nodes configured, %d resource instances configured\n", len(cluster.Nodes), instances)
	if !cib.IsTrue(cib.EffectiveProperty(doc, "fencing-enabled")) {
		head.WriteString("  * Fencing is OFF: after a node loss, data may be used by two nodes at once\n")
	}
	if cib.IsTrue(cib.EffectiveProperty(doc, "maintenance-mode")) {
		head.WriteString("  * MAINTENANCE MODE: the cluster does not start, stop or watch resources\n")
	}
	if snap.State != nil {
		for _, p := range snap.State.Pending {
			if p.Target != "" {
				fmt.Fprintf(&head, "  * Fencing of %s is under way\n", p.Target)
			}
		}
	}
	// A heading with nothing below it says nothing.
	text := strings.TrimSuffix(status.Text(cluster, o), "\nMigration Summary:\n")
	s.printf("%s\n%s", head.String(), text)
	if snap.State != nil && len(snap.State.Fencing) > 0 {
		const newest = 3
		list := snap.State.Fencing
		s.printf("\nFencing History (crm history fencing):\n")
		for i := len(list) - 1; i >= max(0, len(list)-newest); i-- {
			s.printf("  * %s %s\n", time.UnixMilli(list[i].Ended).Format(time.DateTime), fencingText(&list[i]))
		}
	}
	return nil
}

// statusView is the JSON form of the status.
type statusView struct {
	Cluster   string         `json:"cluster,omitempty"`
	Leader    string         `json:"leader,omitempty"`
	Quorate   bool           `json:"quorate"`
	Fencing   bool           `json:"fencing_enabled"`
	Nodes     []nodeView     `json:"nodes"`
	Resources []resourceView `json:"resources"`
	Failures  []failureView  `json:"failures,omitempty"`
	Pending   []pendingView  `json:"pending,omitempty"`
}

type nodeView struct {
	Name        string            `json:"name"`
	State       string            `json:"state"`
	Online      bool              `json:"online"`
	Unclean     bool              `json:"unclean,omitempty"`
	Standby     bool              `json:"standby,omitempty"`
	Maintenance bool              `json:"maintenance,omitempty"`
	Attributes  map[string]string `json:"attributes,omitempty"`
}

type resourceView struct {
	ID        string         `json:"id"`
	Kind      string         `json:"kind"`
	Agent     string         `json:"agent,omitempty"`
	Role      string         `json:"role,omitempty"`
	Nodes     []string       `json:"nodes,omitempty"`
	Managed   bool           `json:"managed"`
	Failed    bool           `json:"failed,omitempty"`
	Blocked   bool           `json:"blocked,omitempty"`
	Removed   bool           `json:"orphaned,omitempty"`
	Pending   string         `json:"pending,omitempty"`
	Resources []resourceView `json:"resources,omitempty"`
}

type failureView struct {
	Resource  string `json:"resource"`
	Node      string `json:"node"`
	Operation string `json:"operation"`
	RC        int    `json:"rc"`
	Reason    string `json:"reason,omitempty"`
	Time      int64  `json:"time,omitempty"` // seconds since 1970
}

type pendingView struct {
	Node, Task, Resource string
}

func viewResource(r *model.Resource) resourceView {
	v := resourceView{ID: r.ID, Kind: r.Kind.String(), Managed: r.Managed, Failed: r.Failed, Blocked: r.Blocked, Removed: r.Removed, Pending: r.PendingTask}
	if r.Kind == cib.Primitive {
		v.Agent = r.Class + ":" + r.Type
		if r.Provider != "" {
			v.Agent = r.Class + ":" + r.Provider + ":" + r.Type
		}
		v.Role = r.Role.String()
		for _, n := range r.Active {
			v.Nodes = append(v.Nodes, n.Name)
		}
	}
	for _, child := range r.Children {
		v.Resources = append(v.Resources, viewResource(child))
	}
	return v
}

func (s *Shell) statusJSON(c *model.Cluster, snap *editor.Snapshot, leader string, quorate bool) error {
	v := statusView{Leader: leader, Quorate: quorate, Fencing: cib.IsTrue(cib.EffectiveProperty(snap.Doc, "fencing-enabled")),
		Nodes: []nodeView{}, Resources: []resourceView{}}
	if snap.State != nil {
		v.Cluster = snap.State.Name
		for _, p := range snap.State.Pending {
			v.Pending = append(v.Pending, pendingView{p.Node, p.Task, p.Resource})
		}
	}
	for _, n := range c.Nodes {
		attributes := make(map[string]string)
		for name, value := range n.Attributes {
			if !strings.HasPrefix(name, "#") {
				attributes[name] = value
			}
		}
		v.Nodes = append(v.Nodes, nodeView{n.Name, status.NodeState(n), n.Online, n.Unclean, n.Standby, n.Maintenance, attributes})
	}
	for _, r := range c.Resources {
		v.Resources = append(v.Resources, viewResource(r))
	}
	for _, f := range c.FailedOps {
		id := ""
		if f.Resource != nil {
			id = f.Resource.ID
		}
		v.Failures = append(v.Failures, failureView{id, f.Node.Name, f.Op.Operation, f.Op.RC, f.Op.ExitReason, f.Op.LastRCChange})
	}
	enc := json.NewEncoder(s.out)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

func parseWait(text string) (time.Duration, error) {
	if ms, err := cib.ParseTimeout(text); err == nil && ms > 0 {
		return time.Duration(ms) * time.Millisecond, nil
	}
	return 0, fmt.Errorf("%q is no time, such as 60s", text)
}

func (s *Shell) cmdWait(c *call) error {
	limit := waitTime
	for i := 0; i < len(c.args); i++ {
		value, has := strings.CutPrefix(c.args[i], "--timeout=")
		if c.args[i] == "--timeout" && i+1 < len(c.args) {
			i++
			value, has = c.args[i], true
		}
		if !has {
			return c.usage("%q is not known", c.args[i])
		}
		d, err := parseWait(value)
		if err != nil {
			return c.usage("%v", err)
		}
		limit = d
	}
	return s.waitIdle(c.ctx, limit)
}

// waitLeader waits until nothing is under way and the policy wants nothing more.
func (s *Shell) waitLeader(ctx context.Context, limit time.Duration) error {
	cl, err := s.live()
	if err != nil {
		return err
	}
	return explain((&editor.Live{Client: cl}).WaitIdle(ctx, limit))
}
