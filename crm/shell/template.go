package shell

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/template"

	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/cib/cibcrm"
)

// A filled-in template is a text file in the user's folder: lines "%% NAME VALUE" give the parameters, a line
// "# templates: NAME ..." says of what it is, all others explain.

func templateLevel() *level {
	l := &level{name: "template", help: "Common set-ups: fill in a few values, look at the statements, take them into the configuration.", commands: []*row{
		{name: "list", args: "[templates|configs]", example: "template list templates", help: "list the templates, and what you have filled in", run: (*Shell).cmdTemplateList},
		{name: "new", args: "[NAME] TEMPLATE ... [params NAME=VALUE ...]", example: "new web apache params ip=10.0.0.100 configfile=/etc/apache2/apache2.conf",
			help: "begin to fill in templates; what is required and not given is asked for", run: (*Shell).cmdTemplateNew, complete: func(_ *Shell, words []string) []string {
				return append(recipeNames(), "params")
			}},
		{name: "edit", args: "[NAME]", example: "template edit web", help: "give the values in $EDITOR", run: (*Shell).cmdTemplateEdit, complete: completeConfigs},
		{name: "show", args: "[NAME]", example: "template show web", help: "print the statements, or what is missing", run: (*Shell).cmdTemplateShow, complete: completeConfigs},
		{name: "apply", args: "[update|replace] [NAME]", example: "apply web", help: "take the statements into the configuration (\"commit\" stores it); replace drops everything else", run: (*Shell).cmdTemplateApply, complete: completeConfigs},
		{name: "load", args: "NAME", example: "template load web", help: "make a filled-in template the one that the other commands mean", run: (*Shell).cmdTemplateLoad, complete: completeConfigs},
		{name: "delete", args: "NAME [force]", example: "template delete web", help: "delete a filled-in template", run: (*Shell).cmdTemplateDelete, complete: completeConfigs},
	}}
	return l
}

// filled is a filled-in template.
type filled struct {
	name    string
	recipes []string // pulled ones included, in order
	values  map[string]string
	lines   map[string]int // of the file, for messages
}

func (s *Shell) templateDir() (string, error) {
	dir, err := s.stateDir()
	return filepath.Join(dir, "templates"), err
}

func (s *Shell) configFiles() []string {
	dir, err := s.templateDir()
	if err != nil {
		return nil
	}
	entries, _ := os.ReadDir(dir)
	var out []string
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}

func completeConfigs(s *Shell, _ []string) []string { return s.configFiles() }

// withPulled returns the recipes of the names, each after those that it pulls in.
func withPulled(names []string) ([]string, error) {
	var out []string
	for _, name := range names {
		r := findRecipe(name)
		if r == nil {
			text := fmt.Sprintf("there is no template %s", name)
			if near := cib.Nearest(name, recipeNames()); near != "" {
				text += fmt.Sprintf("; did you mean %q?", near)
			}
			return nil, hint(errors.New(text), "\"template list templates\" lists them")
		}
		for _, n := range append(slices.Clone(r.pulls), name) {
			if !slices.Contains(out, n) {
				out = append(out, n)
			}
		}
	}
	return out, nil
}

// params returns the parameters of all recipes of f, each name once.
func (f *filled) params() []recipeParam {
	var out []recipeParam
	for _, name := range f.recipes {
		for _, p := range findRecipe(name).params {
			if !slices.ContainsFunc(out, func(x recipeParam) bool { return x.name == p.name }) {
				out = append(out, p)
			}
		}
	}
	return out
}

// set takes a value; a name may have the recipe's in front, as scripts have it.
func (f *filled) set(pair string) error {
	name, value, ok := strings.Cut(pair, "=")
	if at := strings.LastIndexByte(name, ':'); at >= 0 {
		name = name[at+1:]
	}
	if !ok || name == "" {
		return fmt.Errorf("%q: the form is NAME=VALUE", pair)
	}
	var known []string
	for _, p := range f.params() {
		known = append(known, p.name)
	}
	if !slices.Contains(known, name) && name != "id" {
		return fmt.Errorf("%s has no parameter %q; it has %s", f.recipes[len(f.recipes)-1], name, strings.Join(known, ", "))
	}
	f.values[name] = value
	return nil
}

// text is the file.
func (f *filled) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# templates: %s\n# Write the values at the ends of the lines that begin with %%%%, and change nothing else.\n", strings.Join(f.recipes, " "))
	done := make(map[string]bool)
	for _, name := range f.recipes {
		r := findRecipe(name)
		fmt.Fprintf(&b, "\n# %s: %s\n", r.name, r.help)
		for _, p := range r.params {
			if done[p.name] {
				continue
			}
			done[p.name] = true
			need := "may stay empty"
			switch {
			case p.required:
				need = "required"
			case p.standard != "":
				need = p.standard + " when empty"
			}
			fmt.Fprintf(&b, "\n# %s (%s)", p.help, need)
			if p.example != "" {
				fmt.Fprintf(&b, ", such as %s", p.example)
			}
			fmt.Fprintf(&b, "\n%s\n", strings.TrimRight("%% "+p.name+" "+f.values[p.name], " "))
		}
	}
	return b.String()
}

// readFilled reads the file of a filled-in template.
func readFilled(name, text string) (*filled, error) {
	f := &filled{name: name, values: make(map[string]string), lines: make(map[string]int)}
	for i, line := range strings.Split(text, "\n") {
		if list, ok := strings.CutPrefix(line, "# templates:"); ok && f.recipes == nil {
			var err error
			if f.recipes, err = withPulled(strings.Fields(list)); err != nil {
				return nil, fmt.Errorf("%s:%d: %w", name, i+1, err)
			}
		}
		rest, ok := strings.CutPrefix(line, "%%")
		if !ok {
			continue
		}
		key, value, _ := strings.Cut(strings.TrimSpace(rest), " ")
		if f.recipes == nil {
			return nil, fmt.Errorf("%s:%d: the line \"# templates: NAME ...\" is missing above", name, i+1)
		}
		if err := f.set(key + "=" + strings.TrimSpace(value)); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", name, i+1, err)
		}
		f.lines[key] = i + 1
	}
	if f.recipes == nil {
		return nil, fmt.Errorf("%s: the line \"# templates: NAME ...\" is missing", name)
	}
	if f.values["id"] == "" {
		f.values["id"] = name
	}
	return f, nil
}

// statements gives the statements of a filled-in template. doc is the configuration that they go into.
func (f *filled) statements(doc *cib.Document) (string, error) {
	var missing []error
	data := map[string]string{"id": f.values["id"]}
	for _, p := range f.params() {
		v := f.values[p.name]
		if v == "" {
			v = p.standard
		}
		if v == "" && p.required {
			where := ""
			if n := f.lines[p.name]; n > 0 {
				where = fmt.Sprintf("%d: ", n)
			}
			missing = append(missing, fmt.Errorf("%srequired parameter %s not set (%s)", where, p.name, p.help))
		}
		if strings.ContainsAny(v, "\"\\\n") {
			missing = append(missing, fmt.Errorf("%s=%s: a value must not hold quotes or backslashes", p.name, v))
		}
		data[p.name] = v
	}
	if !cib.ValidName(data["id"]) {
		missing = append(missing, fmt.Errorf("id %q: a name has letters, digits, dot, dash and underscore", data["id"]))
	}
	if len(missing) > 0 {
		return "", &errorList{missing}
	}
	funcs := template.FuncMap{"q": quoteValue, "name": func(base string) string { return f.resourceName(doc, data["id"], base) }}
	var b strings.Builder
	for _, name := range f.recipes {
		t, err := template.New(name).Funcs(funcs).Parse(findRecipe(name).body)
		if err == nil {
			err = t.Execute(&b, data)
		}
		if err != nil {
			return "", fmt.Errorf("template %s: %w", name, err)
		}
	}
	return b.String(), nil
}

// quoteValue writes a value of a statement; quotes and backslashes are not in it.
func quoteValue(v string) string {
	if v != "" && !strings.ContainsFunc(v, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("._/:-+@%,", r))
	}) {
		return v
	}
	return `"` + v + `"`
}

// resourceName is base, or ID-base where a resource that is not of this template has that name already.
func (f *filled) resourceName(doc *cib.Document, id, base string) string {
	if len(f.recipes) == 1 {
		return id // the template is this resource alone
	}
	_, parent, taken := cibcrm.Find(&doc.Config, base)
	if !taken || parent != nil && parent.ID == id {
		return base
	}
	return id + "-" + base
}

// config reads a filled-in template: the named one, or the one in use.
func (s *Shell) config(name string) (*filled, error) {
	if name == "" {
		if name = s.filledIn; name == "" {
			return nil, hint(errors.New("no filled-in template is in use"), "\"template new NAME TEMPLATE\" begins one, \"template load NAME\" takes one")
		}
	}
	file, err := s.configFile(name)
	if err != nil {
		return nil, err
	}
	data, err := os.ReadFile(file)
	if err != nil {
		list := s.configFiles()
		return nil, fmt.Errorf("there is no filled-in template %s; there are %s", name, orNone(strings.Join(list, ", ")))
	}
	return readFilled(name, string(data))
}

func (s *Shell) configFile(name string) (string, error) {
	if !cib.ValidName(name) {
		return "", fmt.Errorf("%q cannot be a name: letters, digits, dot, dash and underscore", name)
	}
	dir, err := s.templateDir()
	return filepath.Join(dir, name), err
}

func (s *Shell) writeConfig(f *filled) error {
	file, err := s.configFile(f.name)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return err
	}
	return os.WriteFile(file, []byte(f.text()), 0o600)
}

func (s *Shell) cmdTemplateList(c *call) error {
	if err := c.want(0, 1); err != nil {
		return err
	}
	what := ""
	if len(c.args) == 1 {
		what = c.args[0]
	}
	switch what {
	case "templates", "":
		if what == "" {
			s.printf("Templates:\n")
		}
		rows := [][]string{}
		for i := range recipes {
			rows = append(rows, []string{recipes[i].name, recipes[i].help})
		}
		s.table(rows)
		if what != "" {
			return nil
		}
		s.printf("\nConfigurations:\n")
	case "configs":
	default:
		return c.usage("%q is neither templates nor configs", what)
	}
	for _, name := range s.configFiles() {
		s.printf("%s\n", name)
	}
	return nil
}

func (s *Shell) cmdTemplateNew(c *call) error {
	if err := c.want(1, -1); err != nil {
		return err
	}
	names, pairs := c.args, []string(nil)
	if at := slices.Index(names, "params"); at >= 0 {
		names, pairs = names[:at], names[at+1:]
	}
	if len(names) == 0 {
		return c.usage("the template is missing")
	}
	id := names[0]
	if len(names) > 1 {
		names = names[1:]
	} else {
		for n := 1; slices.Contains(s.configFiles(), id); n++ {
			id = fmt.Sprintf("%s-%d", names[0], n)
		}
	}
	list, err := withPulled(names)
	if err != nil {
		return err
	}
	if slices.Contains(s.configFiles(), id) && !s.opts.force {
		return hint(fmt.Errorf("there is a filled-in template %s already", id), "choose another name, or \"template delete %s\"", id)
	}
	for _, r := range list {
		s.info("pulling in template %s", r)
	}
	f := &filled{name: id, recipes: list, values: map[string]string{"id": id}}
	for _, p := range pairs {
		if err := f.set(p); err != nil {
			return err
		}
	}
	if err := s.askFor(f); err != nil {
		return err
	}
	if err := s.writeConfig(f); err != nil {
		return err
	}
	s.filledIn = id
	return nil
}

// askFor asks a person for what is required and not given. An empty answer leaves it for "edit".
func (s *Shell) askFor(f *filled) error {
	if !s.interactive || s.editor == nil {
		return nil
	}
	for _, p := range f.params() {
		if !p.required || f.values[p.name] != "" {
			continue
		}
		question := fmt.Sprintf("%s: %s", p.name, p.help)
		if p.example != "" {
			question += ", such as " + p.example
		}
		answer, err := s.editor.state.Prompt(question + "? ")
		if err != nil {
			return errors.New("not made")
		}
		f.values[p.name] = strings.TrimSpace(answer)
	}
	return nil
}

func (s *Shell) cmdTemplateEdit(c *call) error {
	f, err := s.configArg(c)
	if err != nil {
		return err
	}
	text, err := s.runEditor(c.ctx, f.text())
	if err != nil {
		return err
	}
	if f, err = readFilled(f.name, text); err != nil {
		return err
	}
	return s.writeConfig(f)
}

// configArg reads the filled-in template that the only argument names, or the one in use.
func (s *Shell) configArg(c *call) (*filled, error) {
	if err := c.want(0, 1); err != nil {
		return nil, err
	}
	name := ""
	if len(c.args) == 1 {
		name = c.args[0]
	}
	return s.config(name)
}

func (s *Shell) cmdTemplateShow(c *call) error {
	f, err := s.configArg(c)
	if err != nil {
		return err
	}
	text, err := f.statements(&cib.Document{})
	if err != nil {
		return hint(err, "\"template edit %s\"", f.name)
	}
	return s.printStatements(text)
}

// printStatements prints statements as "show" does.
func (s *Shell) printStatements(text string) error {
	c := &cib.Configuration{}
	ed := cibcrm.NewEditor(c)
	list, errs := cibcrm.Parse(text)
	if len(errs) > 0 {
		return &errorList{errs}
	}
	for _, st := range list {
		if err := ed.Apply(st, cibcrm.Create); err != nil {
			// What they refer to may be in the cluster.
			s.printf("%s", text)
			return nil
		}
	}
	s.printItems(cibcrm.Items(c, cibcrm.PrintOptions{Obscure: obscured}))
	return nil
}

func (s *Shell) cmdTemplateApply(c *call) error {
	replace, args := false, c.args
	if len(args) > 0 && (args[0] == "update" || args[0] == "replace") {
		replace, args = args[0] == "replace", args[1:]
	}
	f, err := s.configArg(&call{ctx: c.ctx, cmd: c.cmd, args: args})
	if err != nil {
		return err
	}
	return s.applyFilled(c, f, replace)
}

// applyFilled takes the statements into the work area.
func (s *Shell) applyFilled(c *call, f *filled, replace bool) error {
	return s.edit(c.ctx, func(w *workArea) error {
		text, err := f.statements(w.doc)
		if err != nil {
			return err
		}
		if replace {
			eraseConfig(w)
		}
		err = w.load([]byte(text), false)
		if err == nil && replace {
			w.keepMembers()
		}
		return err
	})
}

func (s *Shell) cmdTemplateLoad(c *call) error {
	if err := c.want(1, 1); err != nil {
		return err
	}
	f, err := s.configArg(c)
	if err != nil {
		return err
	}
	s.filledIn = f.name
	return nil
}

func (s *Shell) cmdTemplateDelete(c *call) error {
	names, has := shadowWords(c.args, "force")
	if len(names) != 1 {
		return c.usage("the name is missing")
	}
	if _, err := s.config(names[0]); err != nil && !has["force"] {
		return err
	}
	if names[0] == s.filledIn && !has["force"] && !s.opts.force {
		return hint(fmt.Errorf("%s is in use", names[0]), "template delete %s force", names[0])
	}
	file, err := s.configFile(names[0])
	if err != nil {
		return err
	}
	if s.filledIn == names[0] {
		s.filledIn = ""
	}
	return os.Remove(file)
}
