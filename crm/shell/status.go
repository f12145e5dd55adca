package shell

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/quorate/quorate/crm/api"
	"github.com/quorate/quorate/crm/api/client"
	"github.com/quorate/quorate/crm/api/editor"
	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/policy"
	"github.com/quorate/quorate/crm/policy/model"
	"github.com/quorate/quorate/crm/status"
	"github.com/quorate/quorate/crm/store/command"
	"github.com/quorate/quorate/crm/version"
)

// statusDocument returns the document with the operations under way.
func (s *Shell) statusDocument(ctx context.Context) (doc *cib.Document, snap *editor.Snapshot, leader string, err error) {
	doc, snap, leader, _, err = s.fetchStatus(ctx)
	return doc, snap, leader, err
}

// fetchStatus is statusDocument with what the node says of itself and its links; nil for a file.
func (s *Shell) fetchStatus(ctx context.Context) (doc *cib.Document, snap *editor.Snapshot, leader string, l *api.Local, err error) {
	b, isLive := s.connect().(*editor.Live)
	if !isLive {
		if snap, err = s.load(ctx); err != nil {
			return nil, nil, "", nil, err
		}
		return snap.Doc, snap, "", nil, nil
	}
	if l, err = b.Client.Local(ctx); err != nil {
		return nil, nil, "", nil, explain(err)
	}
	if l.Quorate {
		leader = l.Leader
	}
	// Without a leader nobody knows what is newest: what this node knows is shown, and said to be that.
	known := leader != ""
	if snap, err = b.Fetch(ctx, !known); err != nil {
		var e *client.Error
		if !known || !errors.As(err, &e) || e.Reply.Code != api.CodeNoQuorum {
			return nil, nil, "", nil, explain(err)
		}
		if snap, err = b.Fetch(ctx, true); err != nil {
			return nil, nil, "", nil, explain(err)
		}
		known, leader = false, ""
	}
	if !known {
		s.warn("there is no leader with quorum: this is what node %s knew last", l.Node)
		if l.Waits != "" {
			s.warn("%s", l.Waits)
		}
	}
	return command.PolicyDocument(snap.State, leader), snap, leader, l, nil
}

// state reads a document the way the policy does.
func state(doc *cib.Document, quorate bool) (*model.Cluster, error) {
	return policy.State(policy.Input{Document: doc, Now: time.Now().UTC(), Quorate: quorate})
}

// clusterView is the cluster as the policy reads it from the newest status, and the name of the leader, "" for a file.
func (s *Shell) clusterView(ctx context.Context) (*model.Cluster, string, error) {
	doc, _, leader, err := s.statusDocument(ctx)
	if err != nil {
		return nil, "", err
	}
	cluster, err := state(doc, leader != "")
	return cluster, leader, err
}

// statusRequest is what crm status was asked.
type statusRequest struct {
	o             status.Options
	output        string
	watch, simple bool
	fencings      bool // all of the fencing history
}

// statusWords are the words of crm status, as crmsh has them.
var statusWords = map[string]func(r *statusRequest){
	"bynode":     func(r *statusRequest) { r.o.ByNode = true },
	"inactive":   func(r *statusRequest) { r.o.ActiveOnly = false },
	"active":     func(r *statusRequest) { r.o.ActiveOnly = true },
	"brief":      func(r *statusRequest) { r.o.Brief = true },
	"detail":     func(r *statusRequest) { r.o.Detail = true },
	"attributes": func(r *statusRequest) { r.o.Attributes = true },
	"ops":        func(r *statusRequest) { r.o.Operations = true },
	"timing":     func(r *statusRequest) { r.o.Operations, r.o.Timing = true, true },
	"failcounts": func(r *statusRequest) { r.o.FailCounts = true },
	"tickets":    func(r *statusRequest) { r.o.Tickets = true },
	"bans":       func(r *statusRequest) { r.o.Bans = true },
	"fencing":    func(r *statusRequest) { r.fencings = true },
	"simple":     func(r *statusRequest) { r.simple = true },
	"xml":        func(r *statusRequest) { r.output = "xml" },
	"json":       func(r *statusRequest) { r.output = "json" },
	"full": func(r *statusRequest) {
		r.o.Attributes, r.o.Operations, r.o.Timing, r.o.Tickets, r.o.Bans, r.fencings = true, true, true, true, true, true
	},
}

func readStatusRequest(c *call) (*statusRequest, error) {
	r := &statusRequest{output: "text", o: status.Options{Pending: true, FailCounts: true, Failures: true, Sparse: true}}
	for i := 0; i < len(c.args); i++ {
		a := c.args[i]
		word, ok := statusWords[a]
		switch {
		case ok:
			word(r)
		case a == "--watch" || a == "-w":
			r.watch = true
		case a == "--output" || a == "-o":
			if i+1 == len(c.args) {
				return nil, c.usage("--output needs text, json or xml")
			}
			i++
			r.output = c.args[i]
		case strings.HasPrefix(a, "--output="):
			r.output = strings.TrimPrefix(a, "--output=")
		default:
			names := slices.Sorted(maps.Keys(statusWords))
			if near := cib.Nearest(a, names); near != "" {
				return nil, c.usage("%q is not known; did you mean %q?", a, near)
			}
			return nil, c.usage("%q is none of %s", a, strings.Join(names, ", "))
		}
	}
	if r.output != "text" && r.output != "json" && r.output != "xml" {
		return nil, c.usage("%q is none of text, json, xml", r.output)
	}
	return r, nil
}

func (s *Shell) cmdStatus(c *call) error {
	r, err := readStatusRequest(c)
	if err != nil {
		return err
	}
	if !r.watch {
		return s.showStatus(c.ctx, r)
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
		if s.cfg.Terminal && r.output == "text" {
			s.printf("\x1b[H\x1b[2J")
		}
		if err := s.showStatus(c.ctx, r); err != nil {
			return err
		}
	}
}

// watchTime is how long one request waits for news.
const watchTime = 20 * time.Second

func (s *Shell) showStatus(ctx context.Context, r *statusRequest) error {
	doc, snap, leader, local, err := s.fetchStatus(ctx)
	if err != nil {
		return err
	}
	if snap.State != nil {
		status.Describe(doc, snap.State)
		r.o.Fencing = status.FencingEvents(snap.State)
	}
	quorate := leader != "" || snap.State == nil && cib.IsTrue(doc.Head.HaveQuorum)
	cluster, err := policy.Read(policy.Input{Document: doc, Now: time.Now(), Quorate: quorate})
	if err != nil {
		return err
	}
	troubles := linkTroubles(local)
	if snap.State != nil {
		troubles = append(troubles, fencingTroubles(snap.State, cluster)...)
	}
	switch {
	case r.output == "json":
		return s.statusJSON(cluster, snap, leader, quorate, troubles)
	case r.output == "xml":
		s.statusXML(cluster, snap, r)
	case r.simple:
		return s.statusSimple(cluster, quorate, linkTroubles(local))
	default:
		s.statusText(cluster, snap, leader, quorate, troubles, r)
	}
	return nil
}

// statusXML prints everything in the form of the field's crm_mon.
func (s *Shell) statusXML(cluster *model.Cluster, snap *editor.Snapshot, r *statusRequest) {
	if snap.State != nil {
		cluster.Options.Properties["cluster-infrastructure"] = "quorate"
		cluster.Options.Properties["dc-version"] = version.Version
	}
	o := r.o
	o.Attributes, o.Operations, o.Timing, o.Tickets, o.Bans = true, true, true, true, true
	w := status.Result("crm", "status", "xml")
	o.Depth = w.Depth()
	w.Raw(status.SummaryXML(cluster, o.Depth) + status.XML(cluster, o))
	status.EndResult(w, 0, "OK")
	s.printf("%s", w.String())
}

// statusSimple prints one line for a monitoring system, and fails where something needs a look.
func (s *Shell) statusSimple(c *model.Cluster, quorate bool, links []string) error {
	online := 0
	var bad []string
	for _, n := range c.Nodes {
		switch {
		case n.Unclean:
			bad = append(bad, "unclean node: "+n.Name)
		case n.Online:
			online++
		case !n.IsGuestKind():
			bad = append(bad, "offline node: "+n.Name)
		}
	}
	if !quorate {
		bad = append([]string{"no quorum"}, bad...)
	}
	bad = append(bad, links...)
	if len(bad) > 0 {
		return fmt.Errorf("CLUSTER WARN: %s", strings.Join(bad, ", "))
	}
	total, _, _ := status.Instances(c)
	s.printf("CLUSTER OK: %d nodes online, %d resource instances configured\n", online, total)
	return nil
}

func (s *Shell) statusText(cluster *model.Cluster, snap *editor.Snapshot, leader string, quorate bool, troubles []string, r *statusRequest) {
	s.printf("Cluster Summary:\n")
	if snap.State != nil {
		s.printf("  * Cluster: %s\n", snap.State.Name)
	}
	q := "partition with quorum"
	if !quorate {
		q = "partition WITHOUT quorum"
	}
	s.printf("  * Leader: %s - %s\n", orNone(leader), q)
	total, disabled, blocked := status.Instances(cluster)
	s.printf("  * %d nodes configured, %d resource instances configured", len(cluster.Nodes), total)
	if disabled > 0 {
		s.printf(", %d disabled", disabled)
	}
	if blocked > 0 {
		s.printf(", %d BLOCKED from further action due to failure", blocked)
	}
	s.printf("\n")
	if !cluster.Options.FencingEnabled {
		s.printf("  * Fencing is OFF: after a node loss, data may be used by two nodes at once\n")
	}
	if cluster.Options.Maintenance {
		s.printf("  * MAINTENANCE MODE: the cluster does not start, stop or watch resources\n")
	}
	if cluster.Options.StopAll {
		s.printf("  * The property stop-all-resources is true: nothing is to run\n")
	}
	for _, t := range troubles {
		s.printf("  * %s\n", t)
	}
	o := r.o
	o.Fencing = nil
	s.printf("\n%s", status.Text(cluster, o))
	if snap.State == nil || len(snap.State.Fencing) == 0 {
		return
	}
	newest := 3
	title := "Fencing History (crm history fencing)"
	if r.fencings {
		newest, title = len(snap.State.Fencing), "Fencing History"
	}
	s.printf("\n%s:\n", title)
	list := snap.State.Fencing
	for i := len(list) - 1; i >= max(0, len(list)-newest); i-- {
		s.printf("  * %s %s\n", time.UnixMilli(list[i].Ended).Format(time.DateTime), fencingText(&list[i]))
	}
}

// statusView is the JSON form of the status.
type statusView struct {
	Cluster   string         `json:"cluster,omitempty"`
	Leader    string         `json:"leader,omitempty"`
	Quorate   bool           `json:"quorate"`
	Fencing   bool           `json:"fencing_enabled"`
	Troubles  []string       `json:"troubles,omitempty"` // of links and fencing, as the text says them
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

func (s *Shell) statusJSON(c *model.Cluster, snap *editor.Snapshot, leader string, quorate bool, troubles []string) error {
	v := statusView{Leader: leader, Quorate: quorate, Troubles: troubles, Fencing: cib.IsTrue(cib.EffectiveProperty(snap.Doc, "fencing-enabled")),
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
