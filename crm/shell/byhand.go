package shell

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/quorate/quorate/crm/api"
	"github.com/quorate/quorate/crm/api/client"
	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/cib/cibcrm"
	"github.com/quorate/quorate/crm/cib/cibxml"
	"github.com/quorate/quorate/crm/policy"
	"github.com/quorate/quorate/crm/policy/model"
	"github.com/quorate/quorate/crm/store/command"
)

// everywhere is what stands for all nodes; in the field's shell it also says that other nodes are reached by ssh.
const everywhere = "ssh"

func maintenanceAction() *row {
	return &row{name: "action", args: "RESOURCE " + strings.Join(policy.HandOperations, "|") + " [NODE|ssh]", example: "maintenance action web monitor beta",
		help: "run the agent of a resource by hand, with the parameters of the resource, while the cluster leaves it alone. Without NODE it is run where the resource is active, or here; with \"ssh\" on all these nodes, without ssh. What comes of it is shown and not recorded: the cluster probes the resource anew",
		run:  (*Shell).cmdMaintenanceAction, complete: completeAction}
}

func completeAction(s *Shell, words []string) []string {
	switch len(words) {
	case 1:
		return completeResources(s, words)
	case 2:
		return policy.HandOperations
	}
	return append(completeNodes(s, words), everywhere)
}

func (s *Shell) cmdMaintenanceAction(c *call) error {
	if err := c.want(2, 3); err != nil {
		return err
	}
	resource, op := c.args[0], c.args[1]
	cl, err := s.live()
	if err != nil {
		return err
	}
	st, err := s.liveState(c.ctx)
	if err != nil {
		return err
	}
	if _, err := mustFind(st.Document, base(resource)); err != nil {
		return err
	}
	where := ""
	if len(c.args) == 3 {
		where = c.args[2]
	}
	nodes, err := handNodes(st, resource, op, where)
	if err != nil {
		return err
	}
	var failed errorList
	for _, node := range nodes {
		reply, err := cl.Run(c.ctx, api.RunRequest{Resource: resource, Operation: op, Node: node})
		if err != nil {
			failed.errs = append(failed.errs, explain(err))
			continue
		}
		s.showRun(resource, op, reply)
		if !succeeded(op, reply) {
			failed.errs = append(failed.errs, fmt.Errorf("%s %s failed on %s: %s", resource, op, reply.Node, outcome(reply)))
		}
	}
	switch len(failed.errs) {
	case 0:
		return nil
	case 1:
		return failed.errs[0]
	}
	return &failed
}

// base is the id of the primitive that an instance ("web:0") is one of.
func base(instance string) string {
	id, _, _ := strings.Cut(instance, ":")
	return id
}

// handNodes chooses where an operation by hand is run; "" is this node.
func handNodes(st *command.State, resource, op, where string) ([]string, error) {
	if where != "" && where != everywhere {
		return []string{where}, nil
	}
	view, err := policy.State(policy.Input{Document: command.PolicyDocument(st, ""), Now: time.Now(), Quorate: true})
	if err != nil {
		return nil, err
	}
	var active []string
	for _, r := range view.All {
		if r.Kind == cib.Primitive && (r.ID == resource || r.ConfigID == resource) {
			for _, n := range r.Active {
				if !slices.Contains(active, n.Name) {
					active = append(active, n.Name)
				}
			}
		}
	}
	switch {
	case op == "start" && where == "":
		return []string{""}, nil
	case op == "start":
		return nil, hint(fmt.Errorf("%s would be started on several nodes", resource), "name one node")
	case where == everywhere && op == "monitor":
		return online(view), nil
	case len(active) == 0:
		return []string{""}, nil
	case len(active) == 1 || where == everywhere:
		return active, nil
	}
	return nil, hint(fmt.Errorf("%s is active on %s", resource, strings.Join(active, ", ")), "name one of these nodes, or say \"ssh\" for all of them")
}

// online lists the members that can run resources.
func online(view *model.Cluster) (names []string) {
	for _, n := range view.Nodes {
		if n.Online && !n.Unclean && !n.IsRemoteKind() && !n.ProbesDisabled {
			names = append(names, n.Name)
		}
	}
	return names
}

// succeeded reports whether an operation by hand came to what it is for. A monitor is to tell, whatever that is.
func succeeded(op string, r *api.RunReply) bool {
	return r.Complete && (r.RC == 0 || op == "monitor" && (r.RC == 7 || r.RC == 8))
}

func outcome(r *api.RunReply) string {
	text := r.Status
	if r.Complete {
		text = fmt.Sprintf("%s (exit code %d)", r.Code, r.RC)
	}
	if r.Reason != "" {
		text += ": " + r.Reason
	}
	return text
}

func (s *Shell) showRun(resource, op string, r *api.RunReply) {
	s.printf("%s %s on %s: %s, %.2f s\n", resource, op, r.Node, outcome(r), r.Took.Seconds())
	if r.Truncated {
		s.printf("  (the beginning of the output is left out)\n")
	}
	if text := strings.TrimRight(r.Output, "\n"); text != "" {
		s.printf("%s", indented(text+"\n"))
	}
}

func rsctestRow() *row {
	return &row{name: "rsctest", args: "RESOURCE ... [NODE ...]", example: "rsctest my_ip websvc",
		help: "try resources out with the configuration as it is here, committed or not: on one node after the other start them in order, look at them and stop them. It is done only if none of the nodes (all that are online, if none is named) runs any of them. Resources that are committed must be unmanaged or in maintenance",
		run:  (*Shell).cmdRsctest, complete: completeResources}
}

// probation is one resource of a test.
type probation struct {
	id         string
	promotable bool // what comes after it counts on it being promoted
	fence      bool // a fence device, which is only asked whether it answers
}

func (s *Shell) cmdRsctest(c *call) error {
	if err := c.want(1, -1); err != nil {
		return err
	}
	cl, err := s.live()
	if err != nil {
		return err
	}
	w, err := s.open(c.ctx)
	if err != nil {
		return err
	}
	st, err := s.liveState(c.ctx)
	if err != nil {
		return err
	}
	view, err := policy.State(policy.Input{Document: command.PolicyDocument(st, ""), Now: time.Now(), Quorate: true})
	if err != nil {
		return err
	}
	list, nodes, err := splitTest(w.doc, online(view), c.args)
	if err != nil {
		return err
	}
	t := tester{s: s, cl: cl, ctx: c.ctx}
	if w.changed() {
		t.edited = cibxml.Write(w.doc, cibxml.Options{NoStatus: true})
	}
	return t.run(list, nodes)
}

// splitTest tells the resources of a test from its nodes.
func splitTest(doc *cib.Document, all, args []string) (list []probation, nodes []string, err error) {
	for _, id := range args {
		if slices.Contains(all, id) {
			nodes = append(nodes, id)
			continue
		}
		r, err := mustFind(doc, id)
		if err != nil {
			return nil, nil, hint(err, "the nodes that are online are %s", strings.Join(all, ", "))
		}
		if len(nodes) > 0 {
			return nil, nil, fmt.Errorf("the resource %s comes after the node %s: name the resources first", id, nodes[len(nodes)-1])
		}
		promotable := isPromotable(doc, r)
		for _, p := range within(r) {
			class := p.Class
			if p.Template != "" && class == "" {
				if t, err := findTemplate(doc, p.Template); err == nil {
					class = t.Class
				}
			}
			list = append(list, probation{id: p.ID, promotable: promotable, fence: class == "stonith"})
		}
	}
	if len(list) == 0 {
		return nil, nil, errors.New("no resource is named, or those named are empty")
	}
	if nodes == nil {
		nodes = all
	}
	if len(nodes) == 0 {
		return nil, nil, hint(errors.New("no node is online"), "look at \"crm status\"")
	}
	return list, nodes, nil
}

// isPromotable reports whether a resource is a promotable clone, or in one.
func isPromotable(doc *cib.Document, r *cib.Resource) bool {
	for ok := true; ok && r != nil; {
		if v, _ := cib.Value(r.Meta, "promotable"); cib.IsTrue(v) {
			return true
		}
		_, r, ok = cibcrm.Find(&doc.Config, r.ID)
	}
	return false
}

func findTemplate(doc *cib.Document, id string) (*cib.Resource, error) {
	for _, r := range doc.Config.Resources {
		if r.Kind == cib.Template && r.ID == id {
			return r, nil
		}
	}
	return nil, fmt.Errorf("template not found: %s", id)
}

// tester tries resources out.
type tester struct {
	s      *Shell
	cl     *client.Client
	ctx    context.Context
	edited []byte
	errs   errorList // what went wrong
}

// failed notes what went wrong; nil is nothing.
func (t *tester) failed(err error) {
	if err != nil {
		t.errs.errs = append(t.errs.errs, err)
	}
}

func (t *tester) run(list []probation, nodes []string) error {
	if err := t.idle(list, nodes); err != nil {
		return err
	}
	for _, node := range nodes {
		if stuck := t.node(list, node); stuck {
			return hint(&t.errs, "a resource may still be active on %s: the test ends here, so that nothing runs twice", node)
		}
		if t.ctx.Err() != nil {
			return &t.errs
		}
	}
	if len(t.errs.errs) > 0 {
		return &t.errs
	}
	t.s.info("all is well on %s", strings.Join(nodes, ", "))
	return nil
}

// idle makes sure that nothing is active on any of the nodes.
func (t *tester) idle(list []probation, nodes []string) error {
	var found errorList
	for _, node := range nodes {
		for _, p := range list {
			if p.fence {
				continue
			}
			r, err := t.ask(p.id, "monitor", node)
			switch {
			case err != nil:
				return err // it has its own advice
			case !r.Complete || r.RC != 7:
				t.s.showRun(p.id, "monitor", r)
				found.errs = append(found.errs, fmt.Errorf("%s is not stopped on %s: %s", p.id, node, outcome(r)))
			}
		}
	}
	if len(found.errs) > 0 {
		return hint(&found, "nothing was started; stop what runs with \"crm maintenance action RESOURCE stop NODE\"")
	}
	return nil
}

func (t *tester) ask(id, op, node string) (*api.RunReply, error) {
	r, err := t.cl.Run(t.ctx, api.RunRequest{Resource: id, Operation: op, Node: node, Edited: t.edited})
	if err != nil {
		return nil, fmt.Errorf("%s %s on %s: %w", id, op, node, explain(err))
	}
	return r, nil
}

// step runs one operation and expects it to end with a code.
func (t *tester) step(id, op, node string, want int) error {
	r, err := t.ask(id, op, node)
	if err != nil {
		return err
	}
	t.s.showRun(id, op, r)
	if !r.Complete || r.RC != want {
		return fmt.Errorf("%s %s on %s: %s", id, op, node, outcome(r))
	}
	return nil
}

// node starts all resources on a node, as far as that goes, and stops them again in reverse. stuck says that one may still be active.
func (t *tester) node(list []probation, node string) (stuck bool) {
	begun := 0
	for _, p := range list {
		begun++
		if err := t.up(p, node); err != nil {
			t.failed(err)
			break
		}
	}
	// What was started is stopped also when the command was interrupted.
	asked := t.ctx
	t.ctx = context.WithoutCancel(asked)
	defer func() { t.ctx = asked }()
	for _, p := range slices.Backward(list[:begun]) {
		if p.fence {
			continue
		}
		if err := t.down(p, node); err != nil {
			t.failed(err)
			return true // what it depends on must stay
		}
	}
	return false
}

// up starts one resource and looks at it.
func (t *tester) up(p probation, node string) error {
	if p.fence {
		return t.step(p.id, "monitor", node, 0)
	}
	if err := t.step(p.id, "start", node, 0); err != nil {
		return err
	}
	if err := t.step(p.id, "monitor", node, 0); err != nil || !p.promotable {
		return err
	}
	if err := t.step(p.id, "promote", node, 0); err != nil {
		return err
	}
	return t.step(p.id, "monitor", node, 8)
}

// down stops one resource. One that cannot be demoted can perhaps be stopped.
func (t *tester) down(p probation, node string) error {
	var err error
	if p.promotable {
		err = t.step(p.id, "demote", node, 0)
	}
	if stopped := t.step(p.id, "stop", node, 0); stopped != nil {
		return errors.Join(err, stopped)
	}
	t.failed(err)
	return nil
}
