package compat

import (
	"fmt"
	"strings"
	"time"

	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/policy/model"
)

// resourceOptions are the options of crm_resource.
type resourceOptions struct {
	output
	what                                string // the command; "" = list
	argument                            string // of the command
	id, node, kind, value, set, nvpair  string
	operation, interval, lifetime       string
	meta, util, force, quiet, recursive bool
	promoted, expired                   bool
	timeout                             time.Duration
	hasValue                            bool
}

// resourceWait is how long --wait and --restart wait unless --timeout says otherwise.
const resourceWait = time.Hour

func (o *resourceOptions) commands() []option {
	do := func(name string) func(string) error {
		return func(s string) error { o.what, o.argument = name, s; return nil }
	}
	return []option{
		{short: 'L', long: "list", help: "all resources with their state", set: do("list")},
		{short: 'l', long: "list-raw", help: "ids of all primitives and instances", set: do("list-raw")},
		{short: 'O', long: "list-operations", help: "recorded operations that are active", set: do("operations")},
		{short: 'o', long: "list-all-operations", help: "all recorded operations", set: do("all-operations")},
		{long: "list-standards", help: "classes of agents", set: do("standards")},
		{long: "list-ocf-providers", help: "providers of OCF agents", set: do("providers")},
		{long: "list-agents", value: true, arg: "CLASS[:PROVIDER]", help: "agents of a class", set: do("agents")},
		{long: "list-ocf-alternatives", value: true, arg: "TYPE", help: "providers that have an OCF agent of this type", set: do("alternatives")},
		{long: "show-metadata", value: true, arg: "CLASS:PROVIDER:TYPE", help: "metadata of an agent", set: do("metadata")},
		{short: 'q', long: "query-xml", help: "the resource as XML, with its template", set: do("query")},
		{short: 'w', long: "query-xml-raw", help: "the resource as XML, as configured", set: do("query-raw")},
		{short: 'g', long: "get-parameter", value: true, arg: "NAME", help: "one parameter; with -m a meta-attribute, with -z utilization", set: do("get")},
		{short: 'W', long: "locate", help: "where the resource runs", set: do("locate")},
		{short: 'a', long: "constraints", help: "the constraints that touch the resource", set: do("constraints")},
		{short: 'A', long: "stack", help: "the same as --constraints --recursive", set: func(string) error { o.what, o.recursive = "constraints", true; return nil }},
		{short: 'Y', long: "why", help: "whether resources run, and what keeps them from it; \"crm explain\" says more", set: do("why")},
		{short: 'C', long: "cleanup", help: "forget failures and look again", set: do("cleanup")},
		{short: 'R', long: "refresh", help: "forget the whole history and look again", set: do("refresh")},
		{short: 'p', long: "set-parameter", value: true, arg: "NAME", help: "set a parameter to the value of -v", set: do("set")},
		{short: 'd', long: "delete-parameter", value: true, arg: "NAME", help: "delete a parameter", set: do("delete-parameter")},
		{short: 'M', long: "move", help: "move the resource, with -N to that node, else away", set: do("move")},
		{short: 'B', long: "ban", help: "keep the resource off a node", set: do("ban")},
		{short: 'U', long: "clear", help: "take back what --move and --ban did", set: do("clear")},
		{short: 'D', long: "delete", help: "delete the resource, whose kind is given with -t", set: do("delete")},
		{long: "restart", help: "stop the resource, wait, and start it", set: do("restart")},
		{long: "wait", help: "wait until the cluster has nothing more to do", set: do("wait")},
		{short: 'F', long: "fail", help: "not served: an agent's monitor reports failures", set: do("fail")},
	}
}

func (o *resourceOptions) modifiers() []option {
	return []option{
		{short: 'r', long: "resource", value: true, arg: "ID", help: "the resource", set: text(&o.id)},
		{short: 'N', long: "node", value: true, arg: "NODE", help: "the node", set: text(&o.node)},
		{short: 'H', long: "host-uname", value: true, arg: "NODE", help: "the same as --node", set: text(&o.node)},
		{short: 't', long: "resource-type", value: true, arg: "KIND", help: "primitive, group, clone, bundle or template (with -D)", set: text(&o.kind)},
		{short: 'v', long: "parameter-value", value: true, arg: "VALUE", help: "value for -p", set: func(s string) error { o.value, o.hasValue = s, true; return nil }},
		{short: 'm', long: "meta", help: "a meta-attribute", set: flag(&o.meta)},
		{short: 'z', long: "utilization", help: "a utilization attribute", set: flag(&o.util)},
		{short: 's', long: "set-name", value: true, arg: "ID", help: "in the set with this id", set: text(&o.set)},
		{short: 'i', long: "nvpair", value: true, arg: "ID", help: "the value with this id", set: text(&o.nvpair)},
		{short: 'n', long: "operation", value: true, arg: "NAME", help: "only this operation (with -C)", set: text(&o.operation)},
		{short: 'I', long: "interval", value: true, arg: "TIME", help: "of the operation", set: text(&o.interval)},
		{short: 'u', long: "lifetime", value: true, arg: "DURATION", help: "of the constraint that --move and --ban make, such as PT1H", set: text(&o.lifetime)},
		{short: 'e', long: "expired", help: "with --clear: only what has expired", set: flag(&o.expired)},
		{long: "promoted", help: "only the promoted role (with -B, -M, -U)", set: flag(&o.promoted)},
		{long: "master", help: "the same as --promoted", set: flag(&o.promoted)},
		{long: "recursive", help: "follow colocations (with -a)", set: flag(&o.recursive)},
		{short: 'T', long: "timeout", value: true, arg: "TIME", help: "how long --wait and --restart wait", set: func(s string) error {
			ms, err := cib.ParseTimeout(s)
			o.timeout = time.Duration(ms) * time.Millisecond
			return err
		}},
		{short: 'f', long: "force", help: "leave checks out", set: flag(&o.force)},
		{short: 'Q', long: "quiet", help: "values only", set: flag(&o.quiet)},
	}
}

// needsResource are the commands that work on one resource.
var needsResource = map[string]bool{"query": true, "query-raw": true, "get": true, "locate": true, "constraints": true, "set": true,
	"delete-parameter": true, "move": true, "ban": true, "clear": true, "delete": true, "restart": true}

// crmResource is crm_resource.
func crmResource(io IO, args []string) int {
	f := &frame{"crm_resource", "show, change, move and clean up resources", io}
	o := &resourceOptions{timeout: resourceWait}
	rest, code, done := f.parse(args, append(append(o.commands(), o.modifiers()...), o.table()...))
	switch {
	case done:
		return code
	case len(rest) > 0:
		return f.fail(exitUsage, "unexpected argument %q; see crm_resource --help", rest[0])
	case o.id == "" && needsResource[o.what]:
		return f.fail(exitUsage, "name the resource with -r RESOURCE")
	case o.what == "fail":
		return f.fail(exitUnimplemented, "a failure is reported by the agent's monitor: \"crm resource restart\" restarts a resource in order")
	case o.what == "set" && !o.hasValue:
		return f.fail(exitUsage, "give the value with -v VALUE")
	case o.meta && o.util:
		return f.fail(exitUsage, "only one of --meta and --utilization")
	}
	if err := o.begin(f, args); err != nil {
		return f.failed(err)
	}
	return o.end(o.run())
}

// run carries the command out.
func (o *resourceOptions) run() error {
	c, end, err := openView()
	if err != nil {
		return err
	}
	defer end()
	switch o.what {
	case "standards", "providers", "agents", "alternatives", "metadata":
		return o.agents(c)
	case "wait":
		return c.waitIdle(o.timeout)
	}
	v, err := c.view()
	if err != nil {
		return err
	}
	var r *model.Resource
	if o.id != "" && o.what != "delete" && (o.what != "" && o.what != "list") {
		if r, err = mustResource(v, o.id); err != nil {
			return coded(exitNoSuch, "Resource '%s' not found", o.id)
		}
	}
	if o.node != "" {
		n := v.NodeByName(o.node)
		if n == nil {
			n = v.NodeByID(o.node)
		}
		if n == nil {
			return coded(exitNoSuch, "Node '%s' not found", o.node)
		}
		o.node = n.Name
	}
	switch o.what {
	case "set", "delete-parameter":
		return o.setParameter(c)
	case "move", "ban":
		return o.place(c, r)
	case "clear":
		return o.clear(c)
	case "delete":
		return o.delete(c)
	case "cleanup", "refresh":
		return o.cleanup(c, v, r)
	case "restart":
		return o.restart(c, v, r)
	}
	return o.show(c, v, r)
}

// top is the resource that a command on a member means: the group, clone or bundle that it is in.
func (o *resourceOptions) top(r *model.Resource) *model.Resource {
	if o.force {
		return r
	}
	return r.Top(true)
}

// findResource returns the configured resource, its parent and an error that says that there is none.
func findResource(doc *cib.Document, id string) (r, parent *cib.Resource, err error) {
	base, _, _ := strings.Cut(id, ":")
	cib.EachResource(&doc.Config, func(x, p *cib.Resource) {
		if x.ID == id || r == nil && x.ID == base {
			r, parent = x, p
		}
	})
	if r == nil {
		return nil, nil, coded(exitNoSuch, "Resource '%s' not found", id)
	}
	return r, parent, nil
}

func (o *resourceOptions) message() string {
	return strings.TrimSpace(fmt.Sprintf("crm_resource --%s %s", o.what, o.id))
}
