package shell

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sort"
	"strings"

	"github.com/quorate/quorate/crm/cib"
)

func scriptLevel() *level {
	completeNames := func(_ *Shell, words []string) []string {
		if len(words) == 1 {
			return recipeNames()
		}
		var out []string
		if list, err := withPulled(words[1:2]); err == nil {
			for _, p := range (&filled{recipes: list}).params() {
				out = append(out, p.name+"=")
			}
		}
		return out
	}
	return &level{name: "script", help: "Common set-ups in one command. They change the configuration only: software and files on the nodes are not theirs.", commands: []*row{
		{name: "list", args: "[all] [names]", example: "script list names", help: "list the scripts by category, or their names", run: (*Shell).cmdScriptList},
		{name: "show", args: "SCRIPT [all]", example: "script show virtual-ip", help: "explain a script and what it asks for", run: (*Shell).cmdScriptShow, complete: completeNames},
		{name: "verify", args: "SCRIPT NAME=VALUE ...", example: "script verify virtual-ip id=vip ip=10.0.0.100", help: "print what running it would add", run: (*Shell).cmdScriptVerify, complete: completeNames},
		{name: "run", args: "SCRIPT NAME=VALUE ... [dry_run=yes]", example: "script run virtual-ip id=vip ip=10.0.0.100", help: "add it to the configuration", run: (*Shell).cmdScriptRun, complete: completeNames},
		{name: "json", args: "ARRAY", example: `script json '["verify", "virtual-ip", {"id": "vip", "ip": "10.0.0.100"}]'`, help: "the same for programs: an array of command, script and values", run: (*Shell).cmdScriptJSON, raw: true},
	}}
}

func (s *Shell) cmdScriptList(c *call) error {
	for _, a := range c.args {
		if a != "all" && a != "names" {
			return c.usage("%q is neither all nor names", a)
		}
	}
	if slices.Contains(c.args, "names") {
		s.printf("%s\n", strings.Join(recipeNames(), "\n"))
		return nil
	}
	groups := make(map[string][]*recipe)
	var order []string
	for i := range recipes {
		if groups[recipes[i].category] == nil {
			order = append(order, recipes[i].category)
		}
		groups[recipes[i].category] = append(groups[recipes[i].category], &recipes[i])
	}
	sort.Strings(order)
	for i, g := range order {
		if i > 0 {
			s.printf("\n")
		}
		s.printf("%s:\n\n", g)
		for _, r := range groups[g] {
			s.printf("%-16s %s\n", r.name, r.help)
		}
	}
	return nil
}

func (s *Shell) cmdScriptShow(c *call) error {
	names, _ := shadowWords(c.args, "all")
	if len(names) != 1 {
		return c.usage("one script is needed")
	}
	list, err := withPulled(names)
	if err != nil {
		return err
	}
	r := findRecipe(names[0])
	s.printf("%s (%s)\n%s\n", r.name, r.category, r.help)
	for _, name := range list {
		if name != r.name {
			s.printf("It comes with %s.\n", name)
		}
	}
	s.printf("\nParameters (*: required):\n\n")
	for _, p := range (&filled{recipes: list}).params() {
		star := ""
		if p.required {
			star = "*"
		}
		s.printf("  %s%s  %s\n", p.name, star, p.help)
		if p.standard != "" {
			s.printf("      default: %s\n", p.standard)
		}
		if p.example != "" {
			s.printf("      example: %s\n", p.example)
		}
	}
	return nil
}

// scriptOf reads the script and the values of a command.
func (s *Shell) scriptOf(c *call) (f *filled, dry bool, err error) {
	if err := c.want(1, -1); err != nil {
		return nil, false, err
	}
	list, err := withPulled(c.args[:1])
	if err != nil {
		return nil, false, err
	}
	f = &filled{name: c.args[0], recipes: list, values: map[string]string{"id": c.args[0]}}
	for _, a := range c.args[1:] {
		switch name, value, _ := strings.Cut(a, "="); name {
		case "dry_run":
			if dry, err = cib.ParseBool(value); err != nil {
				return nil, false, c.usage("dry_run=%s is neither yes nor no", value)
			}
		case "nodes": // the configuration is that of all nodes
		default:
			if err := f.set(a); err != nil {
				return nil, false, hint(err, "script show %s", c.args[0])
			}
		}
	}
	return f, dry, nil
}

func (s *Shell) cmdScriptVerify(c *call) error {
	f, _, err := s.scriptOf(c)
	if err != nil {
		return err
	}
	text, err := f.statements(s.completionDocument())
	if err != nil {
		return hint(err, "script show %s", c.args[0])
	}
	return s.printStatements(text)
}

func (s *Shell) cmdScriptRun(c *call) error {
	f, dry, err := s.scriptOf(c)
	if err != nil {
		return err
	}
	if dry {
		return s.cmdScriptVerify(c)
	}
	if s.work != nil && s.work.changed() {
		return hint(errors.New("there are uncommitted changes"), "\"configure commit\" stores them, \"configure refresh\" drops them")
	}
	s.work = nil
	if err := s.applyFilled(c, f, false); err != nil {
		s.work = nil
		return hint(err, "script show %s", c.args[0])
	}
	message := s.opts.message
	if message == "" {
		message = "crm script run " + strings.Join(c.args, " ")
	}
	if err := s.commit(c.ctx, message, s.opts.force); err != nil {
		s.work = nil
		return err
	}
	return nil
}

// cmdScriptJSON answers programs line by line, with "end" at the end of lists.
func (s *Shell) cmdScriptJSON(c *call) error {
	text := strings.Join(c.args, " ")
	if c.text != "" {
		_, text, _ = strings.Cut(c.text, " ")
		text = strings.Trim(strings.TrimSpace(text), "'")
	}
	var call3 []json.RawMessage
	var command, name string
	if err := json.Unmarshal([]byte(text), &call3); err != nil || len(call3) == 0 || json.Unmarshal(call3[0], &command) != nil {
		return c.usage("an array of command, script and values is needed")
	}
	args := []string{}
	if len(call3) > 1 {
		if err := json.Unmarshal(call3[1], &name); err != nil {
			return c.usage("the script's name is no text")
		}
		args = append(args, name)
	}
	if len(call3) > 2 {
		var values map[string]any
		if err := json.Unmarshal(call3[2], &values); err != nil {
			return c.usage("the values are no object")
		}
		args = append(args, flatten(values)...)
	}
	type row struct {
		Name     string `json:"name"`
		Short    string `json:"shortdesc"`
		Category string `json:"category,omitempty"`
		Required bool   `json:"required,omitempty"`
		Value    string `json:"value,omitempty"`
		Example  string `json:"example,omitempty"`
	}
	enc := json.NewEncoder(s.out)
	switch command {
	case "list":
		for i := range recipes {
			if err := enc.Encode(row{Name: recipes[i].name, Short: recipes[i].help, Category: recipes[i].category}); err != nil {
				return err
			}
		}
	case "show":
		list, err := withPulled(args)
		if err != nil {
			return err
		}
		for _, p := range (&filled{recipes: list}).params() {
			if err := enc.Encode(row{Name: p.name, Short: p.help, Required: p.required, Value: p.standard, Example: p.example}); err != nil {
				return err
			}
		}
	case "verify", "run":
		var out bytes.Buffer
		saved := s.out
		s.out = &out
		run := s.cmdScriptVerify
		if command == "run" {
			run = s.cmdScriptRun
		}
		sub := *c
		sub.args, sub.text = args, ""
		err := run(&sub)
		s.out = saved
		if err != nil {
			return err
		}
		if err := enc.Encode(map[string]string{"shortdesc": command + " " + name, "text": out.String()}); err != nil {
			return err
		}
	default:
		return c.usage("%q is none of list, show, verify, run", command)
	}
	s.printf("\"end\"\n")
	return nil
}

// flatten turns values, which may stand in objects by recipe, into NAME=VALUE, sorted.
func flatten(values map[string]any) []string {
	var out []string
	for k, v := range values {
		if inner, ok := v.(map[string]any); ok {
			out = append(out, flatten(inner)...)
		} else {
			out = append(out, fmt.Sprintf("%s=%v", k, v))
		}
	}
	sort.Strings(out)
	return out
}

func assistLevel() *level {
	return &level{name: "assist", help: "Make a template of resources, or loosely keep them together.", commands: []*row{
		{name: "template", args: "PRIMITIVE PRIMITIVE ...", example: "assist template vm1 vm2", help: "make a template of what primitives of one agent have in common", run: (*Shell).cmdAssistTemplate, complete: completeResources},
		{name: "weak-bond", aliases: []string{"weak_bond"}, args: "RESOURCE RESOURCE ...", example: "assist weak-bond web mail", help: "keep resources on one node without one depending on another", run: (*Shell).cmdWeakBond, complete: completeResources},
	}}
}

func (s *Shell) cmdAssistTemplate(c *call) error {
	if err := c.want(2, -1); err != nil {
		return err
	}
	return s.edit(c.ctx, func(w *workArea) error {
		var list []*cib.Resource
		for _, id := range c.args {
			r, err := mustFind(w.doc, id)
			if err != nil {
				return err
			}
			switch {
			case r.Kind != cib.Primitive:
				return fmt.Errorf("%s is a %s: only primitives have templates", id, r.Kind)
			case r.Template != "":
				return fmt.Errorf("%s has the template %s already", id, r.Template)
			case len(list) > 0 && (r.Class != list[0].Class || r.Provider != list[0].Provider || r.Type != list[0].Type):
				return fmt.Errorf("%s and %s are of different agents: a template is of one", list[0].ID, id)
			}
			list = append(list, r)
		}
		name := freeName(w.doc, "template-"+list[0].Type)
		t := &cib.Resource{Kind: cib.Template, ID: name, Class: list[0].Class, Provider: list[0].Provider, Type: list[0].Type}
		t.Params = common(list, name+"-instance_attributes", func(r *cib.Resource) *[]cib.AttributeSet { return &r.Params })
		t.Meta = common(list, name+"-meta_attributes", func(r *cib.Resource) *[]cib.AttributeSet { return &r.Meta })
		for _, o := range list[0].Operations.List {
			if !slices.ContainsFunc(list[1:], func(r *cib.Resource) bool {
				return !slices.ContainsFunc(r.Operations.List, func(x cib.Operation) bool { return sameOperation(&x, &o) })
			}) {
				o.ID = name + "-" + o.Name + "-" + o.Interval
				t.Operations.List = append(t.Operations.List, o)
			}
		}
		for _, r := range list {
			r.Operations.List = slices.DeleteFunc(r.Operations.List, func(x cib.Operation) bool {
				return slices.ContainsFunc(t.Operations.List, func(o cib.Operation) bool { return sameOperation(&x, &o) })
			})
			r.Template, r.Class, r.Provider, r.Type = name, "", "", ""
		}
		w.doc.Config.Resources = append([]*cib.Resource{t}, w.doc.Config.Resources...)
		s.info("%s is their template now; \"show %s\" shows it", name, name)
		return nil
	})
}

// sameOperation compares what two operations say.
func sameOperation(a, b *cib.Operation) bool {
	return a.Name == b.Name && sameTime(a.Interval, b.Interval) && len(a.Params)+len(b.Params)+len(a.Meta)+len(b.Meta) == 0 && a.IDRef+b.IDRef == "" &&
		slices.Equal(a.Extra, b.Extra)
}

// common takes the values that all resources have alike out of them, as a set.
func common(list []*cib.Resource, id string, get func(*cib.Resource) *[]cib.AttributeSet) []cib.AttributeSet {
	first := *get(list[0])
	if len(first) != 1 || first[0].IDRef != "" || len(first[0].Rules) > 0 {
		return nil
	}
	out := cib.AttributeSet{ID: id}
	for _, p := range first[0].Pairs {
		alike := p.Name != "" && p.IDRef == ""
		for _, r := range list[1:] {
			v, ok := cib.Value(*get(r), p.Name)
			alike = alike && ok && v == p.Value && len(*get(r)) == 1
		}
		if alike {
			out.Pairs = append(out.Pairs, cib.NVPair{ID: id + "-" + p.Name, Name: p.Name, Value: p.Value})
		}
	}
	for _, p := range out.Pairs {
		for _, r := range list {
			sets := get(r)
			cib.DeleteValue(*sets, p.Name)
			*sets = slices.DeleteFunc(*sets, func(x cib.AttributeSet) bool { return len(x.Pairs)+len(x.Rules) == 0 && x.IDRef == "" })
		}
	}
	if len(out.Pairs) == 0 {
		return nil
	}
	return []cib.AttributeSet{out}
}

// freeName returns base, or base with a number, that no object has.
func freeName(doc *cib.Document, base string) string {
	taken := make(map[string]bool)
	cib.Objects(&doc.Config, func(_, id string, _ cib.Object) { taken[id] = true })
	cib.EachResource(&doc.Config, func(r, _ *cib.Resource) { taken[r.ID] = true })
	name := base
	for n := 2; taken[name]; n++ {
		name = fmt.Sprintf("%s-%d", base, n)
	}
	return name
}

func (s *Shell) cmdWeakBond(c *call) error {
	if err := c.want(2, -1); err != nil {
		return err
	}
	return s.edit(c.ctx, func(w *workArea) error {
		for _, id := range c.args {
			if _, err := mustFind(w.doc, id); err != nil {
				return err
			}
		}
		bond := freeName(w.doc, "place-"+strings.Join(c.args, "-"))
		dummy := freeName(w.doc, bond+"-dummy")
		text := fmt.Sprintf("primitive %s ocf:heartbeat:Dummy op start timeout=20s interval=0s\ncolocation %s inf: ( %s ) %s\n", dummy, bond, strings.Join(c.args, " "), dummy)
		if err := w.load([]byte(text), false); err != nil {
			return err
		}
		s.info("colocation %s and resource %s keep them together", bond, dummy)
		return nil
	})
}
