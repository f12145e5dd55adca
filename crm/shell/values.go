package shell

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/quorate/quorate/crm/cib"
)

// valueHelp explains the word NAME= at the cursor and lists values that it can take. words stand in front of it; ok is
// false where it is none of the known names.
func (s *Shell) valueHelp(ctx context.Context, words []string, word string) (help string, values []string, ok bool) {
	name, _, isPair := strings.Cut(word, "=")
	if !isPair || name == "" {
		return "", nil, false
	}
	at := slices.IndexFunc(words, func(w string) bool {
		return slices.Contains([]string{"property", "rsc_defaults", "op_defaults", "primitive", "rsc_template", "group", "clone", "ms", "bundle"}, strings.ToLower(w))
	})
	if at < 0 {
		return "", nil, false
	}
	statement := words[at:]
	switch strings.ToLower(statement[0]) {
	case "property":
		return optionHelp(cib.PropertyOption(name))
	case "rsc_defaults":
		return optionHelp(cib.MetaOption(name))
	case "op_defaults":
		return optionHelp(cib.OperationOption(name))
	}
	block, op := blockOf(statement)
	switch block {
	case "meta":
		return optionHelp(cib.MetaOption(name))
	case "op":
		return s.operationHelp(ctx, statement, op, name)
	}
	if len(statement) < 3 || !slices.Contains([]string{"primitive", "rsc_template"}, strings.ToLower(statement[0])) {
		return "", nil, false
	}
	return s.parameterHelp(ctx, statement[2], name)
}

// blockOf returns the block of a statement that its end is in, and of an op block the operation.
func blockOf(words []string) (block, op string) {
	for i, w := range words {
		switch w {
		case "params", "meta", "utilization", "operations":
			block, op = w, ""
		case "op":
			block, op = "op", ""
			if i+1 < len(words) {
				op = words[i+1]
			}
		}
	}
	return block, op
}

func optionHelp(o *cib.Option) (string, []string, bool) {
	if o == nil {
		return "", nil, false
	}
	values := slices.Clone(o.Choices)
	if o.Type == cib.TypeBoolean {
		values = []string{"true", "false"}
	}
	if o.Default != "" && !slices.Contains(values, o.Default) {
		values = append(values, o.Default)
	}
	return titled(o.Name, fmt.Sprint(o.Type), o.Default, o.Help), values, true
}

func titled(name, kind, standard, help string) string {
	text := name
	if kind != "" {
		text += " (" + kind + ")"
	}
	if standard != "" {
		text += ", default " + standard
	}
	return text + "\n" + indent(help, "    ")
}

func (s *Shell) parameterHelp(ctx context.Context, agent, name string) (string, []string, bool) {
	full, err := fullAgent(s.templateAgent(agent))
	if err != nil {
		return "", nil, false
	}
	meta, err := s.metadata(ctx, full)
	if err != nil {
		return "", nil, false
	}
	for i := range meta.Parameters {
		p := &meta.Parameters[i]
		if p.Name != name {
			continue
		}
		values := slices.Clone(p.Options)
		if p.Type == "boolean" {
			values = []string{"true", "false"}
		}
		if p.Default != "" && !slices.Contains(values, p.Default) {
			values = append(values, p.Default)
		}
		shown := p.Name
		if p.Required {
			shown += "*"
		}
		help := p.LongDesc
		if help == "" {
			help = p.ShortDesc
		}
		return titled(shown, p.Type, p.Default, help), values, true
	}
	return "", nil, false
}

// templateAgent returns the agent of a template that is named as @TEMPLATE; of anything else, itself.
func (s *Shell) templateAgent(agent string) string {
	name, ok := strings.CutPrefix(agent, "@")
	if !ok {
		return agent
	}
	for _, r := range s.completionDocument().Config.Resources {
		if r.ID == name && r.Kind == cib.Template {
			return strings.Trim(r.Class+":"+r.Provider+":"+r.Type, ":")
		}
	}
	return agent
}

func (s *Shell) operationHelp(ctx context.Context, statement []string, op, name string) (string, []string, bool) {
	advised := ""
	if full, err := fullAgent(s.templateAgent(statement[2])); err == nil {
		if meta, err := s.metadata(ctx, full); err == nil {
			for i := range meta.Actions {
				a := &meta.Actions[i]
				switch {
				case a.Name != op || advised != "":
				case name == "timeout" && a.Timeout > 0:
					advised = a.Timeout.String()
				case name == "interval" && a.Interval > 0:
					advised = a.Interval.String()
				}
			}
		}
	}
	help, values, ok := optionHelp(cib.OperationOption(name))
	if ok && advised != "" && !slices.Contains(values, advised) {
		values = append(values, advised)
		help += " The agent advises " + advised + "."
	}
	return help, values, ok
}

// completeStatusWords are the arguments of status.
func completeStatusWords(*Shell, []string) []string {
	return []string{"full", "bynode", "inactive", "ops", "timing", "failcounts", "simple", "brief", "detail", "verbose", "xml", "html", "--output", "--watch"}
}

// completeAttributeCommand completes "OWNER set|show|delete NAME VALUE".
func completeAttributeCommand(owners func(*Shell, []string) []string, names func(s *Shell, owner string) []string) func(*Shell, []string) []string {
	return func(s *Shell, words []string) []string {
		switch len(words) {
		case 1:
			return owners(s, words[:1])
		case 2:
			return []string{"set", "show", "delete"}
		case 3:
			return names(s, words[1])
		}
		return nil
	}
}

// setNames returns the names in attribute sets.
func setNames(lists ...[]cib.AttributeSet) []string {
	var out []string
	for _, list := range lists {
		for i := range list {
			for _, p := range list[i].Pairs {
				out = append(out, p.Name)
			}
		}
	}
	return out
}

func (s *Shell) nodeNames(pick func(n *cib.Node) []cib.AttributeSet) []string {
	doc := s.completionDocument()
	var out []string
	for i := range doc.Config.Nodes {
		out = append(out, setNames(pick(&doc.Config.Nodes[i]))...)
	}
	return out
}

// parameterNames returns the parameters of a resource's agent.
func (s *Shell) parameterNames(id string) []string {
	doc := s.completionDocument()
	r, err := mustFind(doc, id)
	if err != nil {
		return nil
	}
	agent := strings.Trim(strings.ReplaceAll(r.Class+":"+r.Provider+":"+r.Type, "::", ":"), ":")
	if r.Template != "" {
		agent = s.templateAgent("@" + r.Template)
	}
	out := setNames(r.Params)
	ctx, cancel := context.WithTimeout(context.Background(), metadataTime)
	defer cancel()
	if meta, err := s.metadata(ctx, agent); err == nil {
		for _, p := range meta.Parameters {
			out = append(out, p.Name)
		}
	}
	return out
}

// completeMove completes a resource, a node, a lifetime.
func completeMove(s *Shell, words []string) []string {
	switch len(words) {
	case 1:
		return completeResources(s, words)
	case 2:
		return append(completeNodes(s, words), "force")
	}
	return []string{"PT1H", "P1D", "force"}
}

// completeOperations completes a resource and its operations.
func completeOperations(s *Shell, words []string) []string {
	if len(words) == 1 {
		return completeResources(s, words)
	}
	r, err := mustFind(s.completionDocument(), words[1])
	if err != nil || len(words) > 2 {
		return nil
	}
	out := []string{"start", "stop", "monitor", "probe", "promote", "demote"}
	for _, o := range r.Operations.List {
		out = append(out, o.Name)
	}
	return out
}

// completeShow completes filters of show.
func completeShow(s *Shell, words []string) []string {
	out := append(completeIDs(s, words), "xml", "toml", "changed", "and", "or", "obscure:", "related:")
	for _, k := range []string{"node", "primitive", "group", "clone", "ms", "bundle", "rsc_template", "location", "colocation", "order", "rsc_ticket", "property", "rsc_defaults", "op_defaults", "fencing_topology", "role", "acl_target", "tag", "alert"} {
		out = append(out, "type:"+k)
	}
	for _, t := range s.completionDocument().Config.Tags {
		out = append(out, "tag:"+t.ID)
	}
	return out
}

// completeSet completes ID.NAME of the statement set.
func completeSet(s *Shell, words []string) []string {
	if len(words) > 1 {
		return nil
	}
	doc := s.completionDocument()
	var out []string
	cib.EachResource(&doc.Config, func(r, _ *cib.Resource) {
		for _, n := range setNames(r.Params, r.Meta, r.Utilization) {
			out = append(out, r.ID+"."+n)
		}
	})
	for i := range doc.Config.Properties {
		for _, p := range doc.Config.Properties[i].Pairs {
			out = append(out, doc.Config.Properties[i].ID+"."+p.Name)
		}
	}
	return out
}

// completeModgroup completes a group, add or remove, a resource, a place.
func completeModgroup(s *Shell, words []string) []string {
	doc := s.completionDocument()
	var out []string
	switch {
	case len(words) == 1:
		for _, r := range doc.Config.Resources {
			cib.EachResource(&cib.Configuration{Resources: []*cib.Resource{r}}, func(x, _ *cib.Resource) {
				if x.Kind == cib.Group {
					out = append(out, x.ID)
				}
			})
		}
		return out
	case len(words) == 2:
		return []string{"add", "remove"}
	case len(words) == 4 && words[2] == "add":
		return []string{"after", "before"}
	}
	group, err := mustFind(doc, words[1])
	if err != nil {
		return nil
	}
	inside := words[2] == "remove" || len(words) == 5
	cib.EachResource(&doc.Config, func(r, parent *cib.Resource) {
		if r.Kind == cib.Primitive && (parent != nil && parent.ID == group.ID) == inside {
			out = append(out, r.ID)
		}
	})
	return out
}

// completeAgents lists agents; classes are offered until one is typed.
func (s *Shell) completeAgents(ctx context.Context) []string {
	classes := []string{"lsb", "ocf", "service", "stonith", "systemd"}
	if class, _, typed := strings.Cut(s.word, ":"); typed && slices.Contains(classes, class) {
		list, err := s.listAgents(ctx, class)
		if err != nil {
			return nil
		}
		return list
	}
	var out []string
	for _, class := range classes {
		out = append(out, class+":")
	}
	if list, err := s.listAgents(ctx, "ocf"); err == nil {
		for _, a := range list {
			out = append(out, strings.TrimPrefix(a, "ocf:heartbeat:"))
		}
	}
	return out
}
