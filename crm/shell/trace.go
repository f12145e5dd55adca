package shell

import (
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/quorate/quorate/crm/cib"
)

// Parameters by which OCF agents of the package resource-agents are told to write a trace of what they do.
const (
	traceParam = "trace_ra"
	traceDir   = "trace_dir"
)

// traced returns the OCF primitives in a resource.
func traced(r *cib.Resource) ([]*cib.Resource, error) {
	out := slices.DeleteFunc(within(r), func(x *cib.Resource) bool { return x.Class != "ocf" && x.Template == "" })
	if len(out) == 0 {
		return nil, fmt.Errorf("%s has no OCF agent: only those can be traced", r.ID)
	}
	return out, nil
}

// within returns the primitives that a resource is or holds.
func within(r *cib.Resource) []*cib.Resource {
	var out []*cib.Resource
	cib.EachResource(&cib.Configuration{Resources: []*cib.Resource{r}}, func(x, _ *cib.Resource) {
		if x.Kind == cib.Primitive {
			out = append(out, x)
		}
	})
	return out
}

// findOperation returns the operation of a primitive; interval "" is any.
func findOperation(r *cib.Resource, name, interval string) *cib.Operation {
	for i := range r.Operations.List {
		if o := &r.Operations.List[i]; o.Name == name && (interval == "" || sameTime(o.Interval, interval) || o.Interval == "" && sameTime("0", interval)) {
			return o
		}
	}
	return nil
}

func (s *Shell) cmdTrace(c *call) error {
	if err := c.want(1, 4); err != nil {
		return err
	}
	args, dir := c.args[1:], ""
	if n := len(args); n > 0 && strings.HasPrefix(args[n-1], "/") {
		dir, args = filepath.Clean(args[n-1]), args[:n-1]
	}
	op, interval := "", ""
	if len(args) > 0 {
		op = args[0]
	}
	if len(args) > 1 {
		if _, err := cib.ParseInterval(args[1]); err != nil {
			return c.usage("interval %q: %v", args[1], err)
		}
		interval = args[1]
	}
	if len(args) > 2 {
		return c.usage("%q is no folder: its path begins with /", args[2])
	}
	if op == "probe" {
		op, interval = "monitor", "0"
	}
	traces := 0
	err := s.change(c.ctx, "crm resource trace "+strings.Join(c.args, " "), func(doc *cib.Document) error {
		r, err := mustFind(doc, c.args[0])
		if err != nil {
			return err
		}
		list, err := traced(r)
		if err != nil {
			return err
		}
		traces = 0
		for _, p := range list {
			for _, w := range s.toTrace(doc, p, op, interval) {
				o := findOperation(p, w[0], w[1])
				if o == nil {
					every := w[1]
					if every == "" {
						every = "0"
					}
					p.Operations.List = append(p.Operations.List, cib.Operation{ID: operationID(p, w[0], every), Name: w[0], Interval: every})
					o = &p.Operations.List[len(p.Operations.List)-1]
				}
				cib.SetValue(&doc.Config, &o.Params, o.ID+"-instance_attributes", traceParam, "1")
				if dir != "" {
					cib.SetValue(&doc.Config, &o.Params, o.ID+"-instance_attributes", traceDir, dir)
				}
				traces++
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if dir == "" {
		dir = "trace_ra below the agents' state folder (/var/lib/heartbeat)"
	}
	s.info("%d operations are traced, on the node that runs them, to %s; \"crm resource untrace %s\" ends it", traces, dir, c.args[0])
	return nil
}

// toTrace returns the operations to trace as name and interval: the one named, or all that run.
func (s *Shell) toTrace(doc *cib.Document, p *cib.Resource, op, interval string) [][2]string {
	if op != "" {
		return [][2]string{{op, interval}}
	}
	out := [][2]string{{"start", ""}, {"stop", ""}}
	for i := range p.Operations.List {
		o := &p.Operations.List[i]
		if o.Name != "start" && o.Name != "stop" {
			out = append(out, [2]string{o.Name, o.Interval})
		}
	}
	if promotable, _ := cib.Value(carrier(doc, p).Meta, "promotable"); cib.IsTrue(promotable) {
		for _, name := range []string{"promote", "demote"} {
			if findOperation(p, name, "") == nil {
				out = append(out, [2]string{name, ""})
			}
		}
	}
	return out
}

// operationID makes an id that no operation of the primitive has.
func operationID(p *cib.Resource, name, interval string) string {
	id := p.ID + "-" + name + "-" + interval
	for n := 0; slices.ContainsFunc(p.Operations.List, func(o cib.Operation) bool { return o.ID == id }); n++ {
		id = p.ID + "-" + name + "-" + interval + "-" + strconv.Itoa(n)
	}
	return id
}

func (s *Shell) cmdUntrace(c *call) error {
	if err := c.want(1, 3); err != nil {
		return err
	}
	op, interval := "", ""
	if len(c.args) > 1 {
		op = c.args[1]
	}
	if len(c.args) > 2 {
		interval = c.args[2]
	}
	if op == "probe" {
		op, interval = "monitor", "0"
	}
	return s.change(c.ctx, "crm resource untrace "+strings.Join(c.args, " "), func(doc *cib.Document) error {
		r, err := mustFind(doc, c.args[0])
		if err != nil {
			return err
		}
		list, err := traced(r)
		if err != nil {
			return err
		}
		for _, p := range list {
			for i := range p.Operations.List {
				o := &p.Operations.List[i]
				if op != "" && (o.Name != op || interval != "" && !sameTime(o.Interval, interval)) {
					continue
				}
				cib.DeleteValue(o.Params, traceParam)
				cib.DeleteValue(o.Params, traceDir)
				o.Params = slices.DeleteFunc(o.Params, func(x cib.AttributeSet) bool { return len(x.Pairs)+len(x.Rules) == 0 && x.IDRef == "" })
			}
			// Operations that trace made say nothing now.
			p.Operations.List = slices.DeleteFunc(p.Operations.List, func(o cib.Operation) bool {
				return o.IDRef == "" && len(o.Extra)+len(o.Params)+len(o.Meta) == 0 && sameTime(o.Interval, "0")
			})
		}
		return nil
	})
}
