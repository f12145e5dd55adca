package shell

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/quorate/quorate/crm/api/client"
	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/cib/cibcrm"
	"github.com/quorate/quorate/crm/policy/model"
	"github.com/quorate/quorate/crm/rule"
	"github.com/quorate/quorate/crm/rule/iso8601"
	"github.com/quorate/quorate/crm/status"
	"github.com/quorate/quorate/crm/store/command"
)

func resourceLevel() *level {
	l := &level{name: "resource", help: "Start, stop, move and clean up resources.", commands: []*row{
		{name: "status", aliases: []string{"show", "list", "st"}, args: "[RESOURCE ...]", example: "crm resource status web", help: "show where resources run", run: (*Shell).cmdResourceStatus},
		{name: "start", args: "RESOURCE ...", example: "crm resource start web", help: "let resources run", run: (*Shell).cmdTargetRole},
		{name: "stop", args: "RESOURCE ...", example: "crm resource stop web", help: "stop resources", run: (*Shell).cmdTargetRole},
		{name: "restart", args: "RESOURCE ...", example: "crm resource restart web", help: "stop resources, wait, and start them", run: (*Shell).cmdResourceRestart},
		{name: "promote", args: "RESOURCE", example: "crm resource promote db-clone", help: "let a promotable clone have promoted instances", run: (*Shell).cmdTargetRole},
		{name: "demote", args: "RESOURCE", example: "crm resource demote db-clone", help: "keep all instances of a promotable clone unpromoted", run: (*Shell).cmdTargetRole},
		{name: "move", aliases: []string{"migrate"}, args: "RESOURCE [NODE] [LIFETIME] [force]", example: "crm resource move web beta", help: "run a resource on another node, until \"clear\"", run: (*Shell).cmdMove},
		{name: "clear", aliases: []string{"unmove", "unmigrate", "unban"}, args: "RESOURCE [NODE]", example: "crm resource clear web", help: "take back what move and ban did", run: (*Shell).cmdClear},
		{name: "ban", args: "RESOURCE [NODE] [LIFETIME] [force]", example: "crm resource ban web beta", help: "keep a resource off a node, until \"clear\"", run: (*Shell).cmdBan},
		{name: "cleanup", args: "[RESOURCE] [NODE] [force]", example: "crm resource cleanup web", help: "forget failures and look at the resource again", run: (*Shell).cmdCleanup},
		{name: "refresh", args: "[RESOURCE] [NODE] [force]", example: "crm resource refresh web", help: "forget the whole history and look at the resource again", run: (*Shell).cmdCleanup},
		{name: "failcount", args: "RESOURCE show|set|delete NODE [VALUE]", example: "crm resource failcount web show alpha", help: "fail counts", run: (*Shell).cmdFailcount},
		{name: "manage", args: "RESOURCE", example: "crm resource manage web", help: "let the cluster start and stop a resource again", run: (*Shell).cmdManage},
		{name: "unmanage", args: "RESOURCE", example: "crm resource unmanage web", help: "leave a resource as it is; it is still watched", run: (*Shell).cmdManage},
		{name: "maintenance", args: "RESOURCE [on|off|true|false]", example: "crm resource maintenance web on", help: "leave a resource as it is, unwatched", run: (*Shell).cmdResourceMaintenance},
		{name: "constraints", args: "RESOURCE", example: "crm resource constraints web", help: "list the constraints that touch a resource", run: (*Shell).cmdConstraints},
		{name: "operations", args: "[RESOURCE] [NODE]", example: "crm resource operations web alpha", help: "list recorded operations", run: (*Shell).cmdOperations},
		{name: "locate", args: "RESOURCE ...", example: "crm resource locate web", help: "print the nodes that run resources", run: (*Shell).cmdLocate},
		{name: "param", args: "RESOURCE set NAME VALUE | show NAME | delete NAME", example: "crm resource param vip set ip 10.0.0.9", help: "one parameter of a resource", run: (*Shell).cmdResourceAttribute},
		{name: "meta", args: "RESOURCE set NAME VALUE | show NAME | delete NAME", example: "crm resource meta web set resource-stickiness 100", help: "one meta-attribute of a resource", run: (*Shell).cmdResourceAttribute},
		{name: "utilization", args: "RESOURCE set NAME VALUE | show NAME | delete NAME", example: "crm resource utilization vm set memory 2048", help: "what a resource needs of a node", run: (*Shell).cmdResourceAttribute},
		{name: "secret", args: "RESOURCE set NAME [VALUE] | stash NAME | show NAME | check NAME | delete NAME", example: "crm resource secret ipmi stash password", help: "keep a parameter in the secret store, out of the document (set without a value reads standard input)", run: (*Shell).cmdResourceSecret},
		{name: "trace", args: "RESOURCE [OPERATION [INTERVAL]] [FOLDER]", example: "crm resource trace web monitor /var/tmp/trace", help: "have an OCF agent write down what it does", run: (*Shell).cmdTrace},
		{name: "untrace", args: "RESOURCE [OPERATION [INTERVAL]]", example: "crm resource untrace web", help: "end the trace of an agent", run: (*Shell).cmdUntrace},
		{name: "scores", help: "print the scores of all resources on all nodes", run: (*Shell).cmdScores},
	}}
	for _, c := range l.commands {
		switch c.name {
		case "move", "ban", "clear", "cleanup", "refresh":
			c.complete = completeMove
		case "trace", "untrace":
			c.complete = completeOperations
		case "param":
			c.complete = completeAttributeCommand(completeResources, (*Shell).parameterNames)
		case "meta":
			c.complete = completeAttributeCommand(completeResources, func(*Shell, string) []string {
				var out []string
				for _, o := range cib.MetaOptions() {
					out = append(out, o.Name)
				}
				return out
			})
		case "failcount":
			c.complete = func(s *Shell, words []string) []string {
				if len(words) == 3 {
					return completeNodes(s, words)
				}
				return completeAttributeCommand(completeResources, nil)(s, words)
			}
		case "scores":
		default:
			c.complete = completeResources
		}
	}
	return l
}

// mustFind returns a resource, or an error with the names there are.
func mustFind(doc *cib.Document, id string) (*cib.Resource, error) {
	r, _, ok := cibcrm.Find(&doc.Config, id)
	if ok && r.Kind != cib.Template {
		return r, nil
	}
	var names []string
	cib.EachResource(&doc.Config, func(r, _ *cib.Resource) { names = append(names, r.ID) })
	text := "resource not found: " + id
	if near := cib.Nearest(id, names); near != "" {
		text += fmt.Sprintf("; did you mean %q?", near)
	}
	return nil, errors.New(text)
}

// setMeta sets a meta-attribute of a resource.
func setMeta(doc *cib.Document, r *cib.Resource, name, value string) {
	cib.SetValue(&doc.Config, &r.Meta, r.ID+"-meta_attributes", name, value)
}

// carrier returns the resource that carries the meta-attributes of r: of the only child of a clone, the clone,
// since an instance has none of its own.
func carrier(doc *cib.Document, r *cib.Resource) *cib.Resource {
	if _, parent, ok := cibcrm.Find(&doc.Config, r.ID); ok && parent != nil && parent.Kind == cib.Clone {
		return parent
	}
	return r
}

// olderNames says that a document is for tools that look for the role names of before Pacemaker 3.
func olderNames(doc *cib.Document) bool {
	var major, minor int
	if _, err := fmt.Sscanf(doc.Head.FeatureSet, "%d.%d", &major, &minor); err != nil {
		return false
	}
	const firstNew = 17 // crm_feature_set 3.17 came with 2.1.6, whose tools write the newer names
	return major < 3 || major == 3 && minor < firstNew
}

func (s *Shell) cmdTargetRole(c *call) error {
	if err := c.want(1, -1); err != nil {
		return err
	}
	return s.change(c.ctx, "crm resource "+c.cmd.name+" "+strings.Join(c.args, " "), func(doc *cib.Document) error {
		for _, id := range c.args {
			r, err := mustFind(doc, id)
			if err != nil {
				return err
			}
			r = carrier(doc, r)
			var role string
			switch c.cmd.name {
			case "start":
				role = "Started"
			case "stop":
				role = "Stopped"
			default:
				promotable, _ := cib.Value(r.Meta, "promotable")
				if r.Kind != cib.Clone && r.Kind != cib.Bundle || r.Kind == cib.Clone && !r.LegacyMaster && !cib.IsTrue(promotable) {
					return fmt.Errorf("%s is not promotable: only clones with promotable=true are promoted and demoted", id)
				}
				role = "Promoted"
				if c.cmd.name == "demote" {
					role = "Unpromoted"
				}
				if olderNames(doc) {
					role = map[string]string{"Promoted": "Master", "Unpromoted": "Slave"}[role]
				}
			}
			// What is said of a container holds for its members: a setting of their own would stand against it.
			cib.EachResource(&cib.Configuration{Resources: r.Members}, func(m, _ *cib.Resource) { cib.DeleteValue(m.Meta, "target-role") })
			setMeta(doc, r, "target-role", role)
		}
		return nil
	})
}

func (s *Shell) cmdResourceRestart(c *call) error {
	if err := c.want(1, -1); err != nil {
		return err
	}
	if _, err := s.live(); err != nil {
		return err
	}
	before := make(map[string]string)
	had := make(map[string]bool)
	set := func(value func(id string) (string, bool)) error {
		return s.change(c.ctx, "crm resource restart "+strings.Join(c.args, " "), func(doc *cib.Document) error {
			for _, id := range c.args {
				r, err := mustFind(doc, id)
				if err != nil {
					return err
				}
				if v, ok := value(id); ok {
					setMeta(doc, r, "target-role", v)
				} else {
					cib.DeleteValue(r.Meta, "target-role")
					r.Meta = slices.DeleteFunc(r.Meta, func(x cib.AttributeSet) bool { return len(x.Pairs)+len(x.Rules) == 0 && x.IDRef == "" })
				}
			}
			return nil
		})
	}
	snap, err := s.load(c.ctx)
	if err != nil {
		return err
	}
	for _, id := range c.args {
		r, err := mustFind(snap.Doc, id)
		if err != nil {
			return err
		}
		before[id], had[id] = cib.Value(r.Meta, "target-role")
		if strings.EqualFold(before[id], "Stopped") {
			return fmt.Errorf("%s is stopped by its target-role: start it instead", id)
		}
	}
	if err := set(func(string) (string, bool) { return "Stopped", true }); err != nil {
		return err
	}
	stopped := s.waitIdle(c.ctx, 0)
	if err := set(func(id string) (string, bool) { return before[id], had[id] }); err != nil {
		return err
	}
	if stopped != nil {
		return stopped
	}
	return s.waitIdle(c.ctx, 0)
}

// cliArgs are the arguments of move and ban.
type cliArgs struct {
	resource, node, end string
	force               bool
}

func (s *Shell) cliArgs(c *call) (*cliArgs, error) {
	if err := c.want(1, 4); err != nil {
		return nil, err
	}
	a := &cliArgs{resource: c.args[0], force: s.opts.force}
	for i, w := range c.args[1:] {
		switch {
		case w == "force":
			a.force = true
		case strings.HasPrefix(w, "P") && a.end == "" && iso8601Duration(w):
			d, _ := iso8601.ParseDuration(w)
			a.end = d.AddTo(time.Now().UTC()).Format("2006-01-02 15:04:05Z")
		case i == 0:
			a.node = w
		default:
			return nil, c.usage("%q is no lifetime, such as PT1H, nor force", w)
		}
	}
	return a, nil
}

func iso8601Duration(w string) bool {
	_, err := iso8601.ParseDuration(w)
	return err == nil
}

// runsOn returns the nodes that run any part of a resource.
func (s *Shell) runsOn(ctx context.Context, id string) ([]string, error) {
	doc, _, leader, err := s.statusDocument(ctx)
	if err != nil {
		return nil, err
	}
	cluster, err := state(doc, leader != "")
	if err != nil {
		return nil, err
	}
	return activeNodes(cluster, id), nil
}

func activeNodes(cluster *model.Cluster, id string) []string {
	var out []string
	eachActive(cluster, id, func(_ *model.Resource, node string) {
		if !slices.Contains(out, node) {
			out = append(out, node)
		}
	})
	slices.Sort(out)
	return out
}

// eachActive calls f for each primitive within a resource and each node that it is active on.
func eachActive(cluster *model.Cluster, id string, f func(r *model.Resource, node string)) {
	for _, r := range cluster.All {
		top := false
		for x := r; x != nil; x = x.Parent {
			top = top || x.ConfigID == id || x.ID == id
		}
		if !top || r.Kind != cib.Primitive {
			continue
		}
		for _, n := range r.Active {
			f(r, n.Name)
		}
	}
}

func cliConstraint(id string, a *cliArgs, score string, what string) cib.Constraint {
	k := cib.Constraint{Kind: cib.Location, ID: id, Resource: a.resource, Role: "Started"}
	if a.end == "" {
		k.Node, k.Score = a.node, score
		return k
	}
	k.Rules = []rule.Rule{{ID: "cli-" + what + "-rule-" + a.resource, Score: score, BooleanOp: "and", Conditions: []rule.Condition{
		{Attribute: &rule.AttributeExpression{ID: "cli-" + what + "-expr-" + a.resource, Attribute: "#uname", Operation: "eq", Value: a.node, HasValue: true, Type: "string"}},
		{Date: &rule.DateExpression{ID: "cli-" + what + "-lifetime-end-" + a.resource, Operation: "lt", End: a.end}},
	}}}
	return k
}

func putConstraint(doc *cib.Document, k cib.Constraint) {
	doc.Config.Constraints = slices.DeleteFunc(doc.Config.Constraints, func(x cib.Constraint) bool { return x.ID == k.ID })
	doc.Config.Constraints = append(doc.Config.Constraints, k)
}

func (s *Shell) cmdMove(c *call) error {
	a, err := s.cliArgs(c)
	if err != nil {
		return err
	}
	var here []string
	if a.node == "" {
		if !a.force {
			return hint(errors.New("move needs a node, or \"force\" to move away from where it is"), "crm resource move %s NODE", a.resource)
		}
		if here, err = s.runsOn(c.ctx, a.resource); err != nil {
			return err
		}
		if len(here) != 1 {
			return fmt.Errorf("%s runs on %d nodes: name the one to move to", a.resource, len(here))
		}
	}
	return s.change(c.ctx, "crm resource move "+strings.Join(c.args, " "), func(doc *cib.Document) error {
		r, err := mustFind(doc, a.resource)
		if err != nil {
			return err
		}
		if a.node == "" {
			b := *a
			b.node = here[0]
			putConstraint(doc, cliConstraint("cli-ban-"+r.ID+"-on-"+b.node, &b, "-INFINITY", "ban"))
			return nil
		}
		n, err := findNode(doc, a.node)
		if err != nil {
			return err
		}
		a.node = n.Name
		doc.Config.Constraints = slices.DeleteFunc(doc.Config.Constraints, func(x cib.Constraint) bool { return x.ID == "cli-ban-"+r.ID+"-on-"+n.Name })
		putConstraint(doc, cliConstraint("cli-prefer-"+r.ID, a, "INFINITY", "prefer"))
		return nil
	})
}

func (s *Shell) cmdBan(c *call) error {
	a, err := s.cliArgs(c)
	if err != nil {
		return err
	}
	if a.node == "" {
		here, err := s.runsOn(c.ctx, a.resource)
		if err != nil {
			return err
		}
		if len(here) != 1 {
			return fmt.Errorf("%s runs on %d nodes: name the one to keep it off", a.resource, len(here))
		}
		a.node = here[0]
	}
	return s.change(c.ctx, "crm resource ban "+strings.Join(c.args, " "), func(doc *cib.Document) error {
		r, err := mustFind(doc, a.resource)
		if err != nil {
			return err
		}
		n, err := findNode(doc, a.node)
		if err != nil {
			return err
		}
		a.node = n.Name
		putConstraint(doc, cliConstraint("cli-ban-"+r.ID+"-on-"+n.Name, a, "-INFINITY", "ban"))
		return nil
	})
}

func (s *Shell) cmdClear(c *call) error {
	if err := c.want(1, 2); err != nil {
		return err
	}
	return s.change(c.ctx, "crm resource clear "+strings.Join(c.args, " "), func(doc *cib.Document) error {
		r, err := mustFind(doc, c.args[0])
		if err != nil {
			return err
		}
		doc.Config.Constraints = slices.DeleteFunc(doc.Config.Constraints, func(k cib.Constraint) bool {
			switch {
			case k.ID == "cli-prefer-"+r.ID:
				return len(c.args) == 1 || strings.EqualFold(k.Node, c.args[1]) || k.Node == ""
			case len(c.args) == 2:
				return strings.EqualFold(k.ID, "cli-ban-"+r.ID+"-on-"+c.args[1])
			}
			return k.Resource == r.ID && strings.HasPrefix(k.ID, "cli-ban-"+r.ID+"-on-")
		})
		return nil
	})
}

func (s *Shell) cmdCleanup(c *call) error {
	args := slices.DeleteFunc(slices.Clone(c.args), func(a string) bool { return a == "force" })
	if len(args) > 2 {
		return c.usage("%q is too much", args[2])
	}
	cl, err := s.live()
	if err != nil {
		return err
	}
	snap, err := s.load(c.ctx)
	if err != nil {
		return err
	}
	f := command.Forget{OnlyFailed: c.cmd.name == "cleanup"}
	if len(args) > 1 {
		n, err := findNode(snap.Doc, args[1])
		if err != nil {
			return err
		}
		f.Node = n.Name
	}
	if len(args) == 0 {
		_, err := cl.Propose(c.ctx, &command.Entry{Kind: command.KindForget, Forget: &f})
		return explain(err)
	}
	r, err := mustFind(snap.Doc, args[0])
	if err != nil {
		return err
	}
	// The history knows primitives and, of clones, their instances.
	var primitives []string
	cib.EachResource(&cib.Configuration{Resources: []*cib.Resource{r}}, func(x, _ *cib.Resource) {
		if x.Kind == cib.Primitive {
			primitives = append(primitives, x.ID)
		}
	})
	done := make(map[string]bool)
	forget := func(name string) error {
		if done[name] {
			return nil
		}
		done[name] = true
		one := f
		one.Resource = name
		_, err := cl.Propose(c.ctx, &command.Entry{Kind: command.KindForget, Forget: &one})
		return explain(err)
	}
	for _, id := range primitives {
		if err := forget(id); err != nil {
			return err
		}
		for i := range snap.Doc.Status.Nodes {
			for _, h := range snap.Doc.Status.Nodes[i].History {
				if base, _, ok := strings.Cut(h.ID, ":"); ok && base == id {
					if err := forget(h.ID); err != nil {
						return err
					}
				}
			}
		}
	}
	if s.opts.wait {
		return s.waitIdle(c.ctx, 0)
	}
	return nil
}

func (s *Shell) cmdFailcount(c *call) error {
	if err := c.want(3, 4); err != nil {
		return err
	}
	id, action, node := c.args[0], c.args[1], c.args[2]
	snap, err := s.load(c.ctx)
	if err != nil {
		return err
	}
	if _, err := mustFind(snap.Doc, id); err != nil {
		return err
	}
	n, err := findNode(snap.Doc, node)
	if err != nil {
		return err
	}
	switch action {
	case "show":
		total := int64(0)
		for i := range snap.Doc.Status.Nodes {
			st := &snap.Doc.Status.Nodes[i]
			if st.Name != n.Name {
				continue
			}
			for j := range st.Attributes {
				for _, p := range st.Attributes[j].Pairs {
					if p.Name == "fail-count-"+id || strings.HasPrefix(p.Name, "fail-count-"+id+"#") {
						if v, err := cib.ParseScore(p.Value); err == nil {
							total = min(total+int64(v), int64(cib.Infinity))
						}
					}
				}
			}
		}
		value := fmt.Sprint(total)
		if total >= int64(cib.Infinity) {
			value = "INFINITY"
		}
		s.printf("scope=status  name=fail-count-%s value=%s\n", id, value)
		return nil
	case "set":
		if len(c.args) != 4 {
			return c.usage("the value is missing")
		}
		return s.transient(c, command.Attribute{Node: n.Name, Name: "fail-count-" + id, Value: c.args[3]})
	case "delete":
		cl, err := s.live()
		if err != nil {
			return err
		}
		_, err = cl.Propose(c.ctx, &command.Entry{Kind: command.KindForget, Forget: &command.Forget{Resource: id, Node: n.Name, OnlyFailed: true}})
		return explain(err)
	}
	return c.usage("%q is none of show, set, delete", action)
}

// mark sets a meta-attribute of one resource.
func (s *Shell) mark(c *call, name, value string) error {
	return s.changeOne(c.ctx, client.Scope{Resource: c.args[0]}, "crm resource "+c.cmd.name+" "+strings.Join(c.args, " "), func(doc *cib.Document) error {
		r, err := mustFind(doc, c.args[0])
		if err != nil {
			return err
		}
		setMeta(doc, carrier(doc, r), name, value)
		return nil
	})
}

func (s *Shell) cmdManage(c *call) error {
	if err := c.want(1, 1); err != nil {
		return err
	}
	value := "true"
	if c.cmd.name == "unmanage" {
		value = "false"
	}
	return s.mark(c, "is-managed", value)
}

func (s *Shell) cmdResourceMaintenance(c *call) error {
	if err := c.want(1, 2); err != nil {
		return err
	}
	on := true
	if len(c.args) == 2 {
		v, err := cib.ParseBool(c.args[1])
		if err != nil {
			return c.usage("%q is neither on nor off", c.args[1])
		}
		on = v
	}
	return s.mark(c, "maintenance", fmt.Sprint(on))
}

func (s *Shell) cmdResourceAttribute(c *call) error {
	if err := c.want(3, 4); err != nil {
		return err
	}
	kind := map[string]string{"param": "instance_attributes", "meta": "meta_attributes", "utilization": "utilization"}[c.cmd.name]
	return s.attributeCommand(c, c.args[0], client.Scope{Resource: c.args[0]}, c.args[1:], kind, func(doc *cib.Document) (*[]cib.AttributeSet, error) {
		r, err := mustFind(doc, c.args[0])
		if err != nil {
			return nil, err
		}
		switch c.cmd.name {
		case "param":
			return &r.Params, nil
		case "meta":
			return &r.Meta, nil
		}
		if r.Kind != cib.Primitive {
			return nil, fmt.Errorf("%s is a %s: only primitives have utilization", r.ID, r.Kind)
		}
		return &r.Utilization, nil
	})
}

func (s *Shell) cmdConstraints(c *call) error {
	if err := c.want(1, 1); err != nil {
		return err
	}
	snap, err := s.load(c.ctx)
	if err != nil {
		return err
	}
	if _, err := mustFind(snap.Doc, c.args[0]); err != nil {
		return err
	}
	touching := make(map[string]bool)
	for _, ref := range cib.References(&snap.Doc.Config, c.args[0]) {
		if ref.Kind == cib.KindConstraint {
			touching[ref.ID] = true
		}
	}
	for _, it := range cibcrm.Items(&snap.Doc.Config, cibcrm.PrintOptions{}) {
		if touching[it.ID] {
			s.printf("%s\n", it.Text)
		}
	}
	return nil
}

func (s *Shell) cmdOperations(c *call) error {
	if err := c.want(0, 2); err != nil {
		return err
	}
	doc, _, _, err := s.statusDocument(c.ctx)
	if err != nil {
		return err
	}
	if len(c.args) > 0 {
		if _, err := mustFind(doc, c.args[0]); err != nil {
			return err
		}
	}
	rows := [][]string{{"NODE", "RESOURCE", "OPERATION", "INTERVAL", "RESULT", "WHEN", "TOOK", "REASON"}}
	for i := range doc.Status.Nodes {
		n := &doc.Status.Nodes[i]
		if len(c.args) == 2 && !strings.EqualFold(n.Name, c.args[1]) {
			continue
		}
		for j := range n.History {
			h := &n.History[j]
			if base, _, _ := strings.Cut(h.ID, ":"); len(c.args) > 0 && h.ID != c.args[0] && base != c.args[0] {
				continue
			}
			for k := range h.Operations {
				o := &h.Operations[k]
				when := ""
				if o.LastRCChange > 0 {
					when = time.Unix(o.LastRCChange, 0).Format(time.DateTime)
				}
				result := fmt.Sprintf("rc=%d", o.RC)
				if o.Status == -1 {
					result = "under way"
				}
				rows = append(rows, []string{n.Name, h.ID, o.Operation, (time.Duration(o.Interval) * time.Millisecond).String(), result, when,
					(time.Duration(max(o.ExecTime, 0)) * time.Millisecond).String(), o.ExitReason})
			}
		}
	}
	s.table(rows)
	return nil
}

func (s *Shell) cmdLocate(c *call) error {
	if err := c.want(1, -1); err != nil {
		return err
	}
	doc, _, leader, err := s.statusDocument(c.ctx)
	if err != nil {
		return err
	}
	cluster, err := state(doc, leader != "")
	if err != nil {
		return err
	}
	for _, id := range c.args {
		if _, err := mustFind(doc, id); err != nil {
			return err
		}
		nodes := activeNodes(cluster, id)
		if len(nodes) == 0 {
			s.printf("resource %s is NOT running\n", id)
		}
		promoted := make(map[string]bool)
		eachActive(cluster, id, func(r *model.Resource, node string) { promoted[node] = promoted[node] || r.Role == model.RolePromoted })
		for _, n := range nodes {
			role := ""
			if promoted[n] {
				role = " Promoted"
			}
			s.printf("resource %s is running on: %s%s\n", id, n, role)
		}
	}
	return nil
}

func (s *Shell) cmdResourceStatus(c *call) error {
	doc, _, leader, err := s.statusDocument(c.ctx)
	if err != nil {
		return err
	}
	for _, id := range c.args {
		if _, err := mustFind(doc, id); err != nil {
			return err
		}
	}
	cluster, err := state(doc, leader != "")
	if err != nil {
		return err
	}
	if len(c.args) > 0 {
		cluster.Resources = slices.DeleteFunc(slices.Clone(cluster.Resources), func(r *model.Resource) bool {
			return !slices.ContainsFunc(c.args, func(id string) bool {
				found := false
				if r.Config != nil {
					cib.EachResource(&cib.Configuration{Resources: []*cib.Resource{r.Config}}, func(x, _ *cib.Resource) { found = found || x.ID == id })
				}
				return found || r.ConfigID == id
			})
		})
	}
	text := status.Text(cluster, status.Options{Pending: true})
	if _, rest, ok := strings.Cut(text, "Full List of Resources:\n"); ok {
		text = "Full List of Resources:\n" + rest
	}
	s.printf("%s", text)
	return nil
}

func (s *Shell) cmdScores(c *call) error {
	if err := c.want(0, 0); err != nil {
		return err
	}
	snap, err := s.load(c.ctx)
	if err != nil {
		return err
	}
	d, err := decideTraced(snap, snap.Doc, model.Trace{Scores: true})
	if err != nil {
		return err
	}
	for _, l := range d.Cluster.Scores {
		s.printf("%s\n", l.Text())
	}
	return nil
}
