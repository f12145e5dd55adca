package compat

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/cib/cibxml"
)

// cibadminOptions are the options of cibadmin.
type cibadminOptions struct {
	what, scope, path, text, file      string
	pipe, force, create, shallow, show bool
	given                              bool // XML was given
}

func (o *cibadminOptions) table() []option {
	do := func(name string) func(string) error { return func(string) error { o.what = name; return nil } }
	ignore := func(string) error { return nil }
	return []option{
		{short: 'Q', long: "query", help: "show the document, or a part of it", set: do("query")},
		{short: 'C', long: "create", help: "add an object; it must not be there", set: do("create")},
		{short: 'M', long: "modify", help: "change an object that is there", set: do("modify")},
		{short: 'R', long: "replace", help: "put an object in place of the one with its id, or a section in place of it", set: do("replace")},
		{short: 'D', long: "delete", help: "delete the first object that matches", set: do("delete")},
		{short: 'd', long: "delete-all", help: "with --xpath and --force: delete all that match", set: do("delete-all")},
		{short: 'E', long: "erase", help: "with --force: delete the whole configuration", set: do("erase")},
		{short: 'B', long: "bump", help: "count the configuration's epoch up (of a file; a cluster counts changes itself)", set: do("bump")},
		{short: 'u', long: "upgrade", help: "accepted; the newest form is always used", set: do("upgrade")},
		{short: 'a', long: "empty", help: "show an empty document", set: do("empty")},
		{short: 'o', long: "scope", value: true, arg: "SECTION", help: "only this section: " + strings.Join(cibSections, ", "), set: text(&o.scope)},
		{long: "obj_type", value: true, arg: "SECTION", help: "the same as --scope", set: text(&o.scope)},
		{short: 'A', long: "xpath", value: true, arg: "XPATH", help: "what this XPath finds, such as //nvpair[@name='x']", set: text(&o.path)},
		{short: 'e', long: "node-path", help: "with --xpath: show where it was found", set: flag(&o.show)},
		{short: 'n', long: "no-children", help: "with --query: without what is in it", set: flag(&o.shallow)},
		{short: 'X', long: "xml-text", value: true, arg: "XML", help: "the XML", set: func(s string) error { o.text, o.given = s, true; return nil }},
		{short: 'x', long: "xml-file", value: true, arg: "FILE", help: "file with the XML", set: func(s string) error { o.file, o.given = s, true; return nil }},
		{short: 'p', long: "xml-pipe", help: "the XML comes from standard input", set: func(string) error { o.pipe, o.given = true, true; return nil }},
		{short: 'c', long: "allow-create", help: "with --modify: add the object when it is not there", set: flag(&o.create)},
		{short: 'f', long: "force", help: "do what destroys much", set: flag(&o.force)},
		{short: 'l', long: "local", help: "accepted", set: ignore},
		{short: 's', long: "sync-call", help: "accepted; every change is waited for", set: ignore},
		{short: 't', long: "timeout", value: true, arg: "SECONDS", help: "accepted", set: ignore},
		{short: 'N', long: "node", value: true, arg: "NODE", help: "accepted", set: ignore},
	}
}

// cibSections are the sections that --scope names.
var cibSections = []string{"configuration", "nodes", "resources", "constraints", "crm_config", "rsc_defaults", "op_defaults", "acls",
	"fencing-topology", "tags", "alerts", "status", "all"}

// cibAdmin is cibadmin: the document as XML.
func cibAdmin(stdio IO, args []string) int {
	f := &frame{"cibadmin", "show and change the configuration as XML", stdio}
	var o cibadminOptions
	rest, code, done := f.parse(args, o.table())
	switch {
	case done:
		return code
	case len(rest) > 0:
		return f.fail(exitUsage, "unexpected argument %q; see cibadmin --help", rest[0])
	case o.what == "":
		return f.fail(exitUsage, "say what to do: --query, --create, --modify, --replace, --delete; see cibadmin --help")
	case o.scope != "" && !slices.Contains(cibSections, o.scope):
		return f.fail(exitUsage, "section %q is none of %s", o.scope, strings.Join(cibSections, ", "))
	case !o.force && (o.what == "erase" || o.what == "delete-all"):
		return f.fail(exitUnsafe, "The supplied command is considered dangerous.  To prevent accidental destruction of the cluster, the --force flag is required in order to proceed.")
	case o.what == "empty":
		fmt.Fprint(stdio.Out, string(cibxml.Write(&cib.Document{}, cibxml.Options{Plain: true, NoDeclaration: true})))
		return exitOK
	}
	if err := o.run(f); err != nil {
		return f.failed(err)
	}
	return exitOK
}

func (o *cibadminOptions) run(f *frame) error {
	var path xpath
	if o.path != "" {
		var err error
		if path, err = parseXPath(o.path); err != nil {
			return &codeError{exitUsage, err}
		}
	}
	if o.what == "query" {
		return o.query(f, path)
	}
	var given *element
	switch o.what {
	case "create", "modify", "replace", "delete":
		if o.what == "delete" && path != nil {
			break
		}
		data, err := o.xml(f)
		if err != nil {
			return err
		}
		if given, err = parseTree(data); err != nil {
			return coded(exitDataErr, "the XML: %w", err)
		}
	case "delete-all":
		if path == nil {
			return coded(exitUsage, "--delete-all needs --xpath")
		}
	case "upgrade":
		return nil
	}
	c, end, err := open()
	if err != nil {
		return err
	}
	defer end()
	return c.changeTree("cibadmin --"+o.what, func(root *element) error { return o.change(root, given, path) })
}

// xml reads the XML that was given.
func (o *cibadminOptions) xml(f *frame) ([]byte, error) {
	switch {
	case !o.given:
		return nil, coded(exitUsage, "Please supply XML to process with -X, -x or -p")
	case o.pipe:
		return io.ReadAll(io.LimitReader(f.io.In, maxTreeSize+1))
	case o.file != "":
		return os.ReadFile(o.file)
	}
	return []byte(o.text), nil
}

func (o *cibadminOptions) query(f *frame, path xpath) error {
	data, err := liveCIB()
	if err != nil {
		return err
	}
	if path == nil && o.scope == "" && !o.shallow {
		_, err := f.io.Out.Write(data)
		return err
	}
	root, err := parseTree(data)
	if err != nil {
		return err
	}
	if o.scope != "" {
		if root = section(root, o.scope); root == nil {
			return coded(exitNoSuch, "Call failed: there is no section %s", o.scope)
		}
	}
	if path == nil {
		var b strings.Builder
		root.write(&b, 0, !o.shallow)
		_, err := io.WriteString(f.io.Out, b.String())
		return err
	}
	found := path.find(root)
	if len(found) == 0 {
		return coded(exitNoSuch, "Call failed: No such device or address: nothing matches %s", o.path)
	}
	var b strings.Builder
	depth := 0
	if len(found) > 1 && !o.show {
		b.WriteString("<xpath-query>\n")
		depth = 1
	}
	for _, e := range found {
		if o.show {
			b.WriteString(e.path() + "\n")
		} else {
			e.write(&b, depth, !o.shallow)
		}
	}
	if depth == 1 {
		b.WriteString("</xpath-query>\n")
	}
	_, err = io.WriteString(f.io.Out, b.String())
	return err
}

// section returns the element of a section; nil = there is none.
func section(root *element, name string) *element {
	switch name {
	case "all":
		return root
	case "configuration", "status":
		return root.child(name)
	}
	if c := root.child("configuration"); c != nil {
		return c.child(name)
	}
	return nil
}

// change carries a changing command out on the tree.
func (o *cibadminOptions) change(root, given *element, path xpath) error {
	place := root
	if o.scope != "" && o.scope != "all" {
		if place = section(root, o.scope); place == nil {
			parent := root.child("configuration")
			if parent == nil {
				return coded(exitConfig, "the document has no configuration")
			}
			place = &element{name: o.scope}
			parent.add(place)
		}
	}
	switch o.what {
	case "create":
		return create(place, given)
	case "modify":
		return o.modify(place, given)
	case "replace":
		return replace(place, given)
	case "delete":
		if path == nil {
			path = xpath{{exactly(given)}}
		}
		if found := path.find(place); len(found) > 0 {
			found[0].remove()
		}
	case "delete-all":
		for _, e := range path.find(place) {
			e.remove()
		}
	case "erase":
		for _, name := range []string{"crm_config", "resources", "constraints", "rsc_defaults", "op_defaults", "acls", "fencing-topology", "tags", "alerts"} {
			if e := section(root, name); e != nil {
				e.children = nil
			}
		}
	case "bump":
		n, _ := strconv.Atoi(attrOf(root, "epoch"))
		root.set("epoch", strconv.Itoa(n+1))
	}
	return nil
}

func attrOf(e *element, name string) string {
	value, _ := e.attr(name)
	return value
}

// exactly is a step that finds what has the name and all attributes of e.
func exactly(e *element) step {
	s := step{deep: true, name: e.name}
	for _, a := range e.attrs {
		s.tests = append(s.tests, []test{{attr: a.name, value: a.value, compare: true}})
	}
	return s
}

// same finds the object in place that given means: the element of its name and id.
func same(place, given *element) *element {
	id, hasID := given.attr("id")
	var found *element
	place.each(func(e *element) bool {
		x, has := e.attr("id")
		if e.name == given.name && has == hasID && x == id {
			found = e
			return false
		}
		return true
	})
	return found
}

// create adds an object, or what is in a section, to a section.
func create(place, given *element) error {
	if given.name == place.name && given.name != "cib" {
		for _, child := range slices.Clone(given.children) {
			if err := create(place, child); err != nil {
				return err
			}
		}
		return nil
	}
	if _, ok := given.attr("id"); ok && same(place, given) != nil {
		return coded(exitExists, "Call failed: File exists: <%s id=%q> is there already", given.name, attrOf(given, "id"))
	}
	if place.name == "cib" {
		return coded(exitUsage, "name the section that <%s> belongs to with --scope", given.name)
	}
	place.add(given)
	return nil
}

func (o *cibadminOptions) modify(place, given *element) error {
	target := same(place, given)
	switch {
	case target != nil:
		return merge(target, given)
	case !o.create:
		return coded(exitNoSuch, "Call failed: No such device or address: there is no <%s id=%q>", given.name, attrOf(given, "id"))
	}
	return create(place, given)
}

// merge updates target with the attributes and, by id, with the children of given.
func merge(target, given *element) error {
	for _, a := range given.attrs {
		old := attrOf(target, a.name)
		value := a.value
		// "epoch++" and "epoch+=2" count up.
		if rest, ok := strings.CutPrefix(a.value, a.name); ok && strings.HasPrefix(rest, "+") {
			n, _ := strconv.Atoi(old)
			by := 1
			if text, plus := strings.CutPrefix(rest, "+="); plus {
				var err error
				if by, err = strconv.Atoi(text); err != nil {
					return coded(exitUsage, "%s=%q: %q is no number", a.name, a.value, text)
				}
			}
			value = strconv.Itoa(n + by)
		}
		target.set(a.name, value)
	}
	for _, child := range given.children {
		id, hasID := child.attr("id")
		i := slices.IndexFunc(target.children, func(e *element) bool {
			x, has := e.attr("id")
			return e.name == child.name && has == hasID && x == id
		})
		if i < 0 {
			target.add(child)
		} else if err := merge(target.children[i], child); err != nil {
			return err
		}
	}
	return nil
}

// replace puts given in the place of the object with its name and id, or of the section of its name.
func replace(place, given *element) error {
	target := same(place, given)
	if target == nil {
		return coded(exitNoSuch, "Call failed: No such device or address: there is no <%s id=%q>", given.name, attrOf(given, "id"))
	}
	target.attrs, target.children, target.text = given.attrs, nil, given.text
	for _, child := range given.children {
		target.add(child)
	}
	return nil
}

// changeTree changes the document as XML. Of a running cluster only the configuration is changed.
func (c *cluster) changeTree(message string, edit func(root *element) error) error {
	again := func(doc *cib.Document) (*cib.Document, error) {
		root, err := parseTree(cibxml.Write(doc, cibxml.Options{NoDeclaration: true}))
		if err != nil {
			return nil, err
		}
		if err := edit(root); err != nil {
			return nil, err
		}
		out, _, err := cibxml.Read([]byte(root.String()))
		if err != nil {
			return nil, &codeError{exitConfig, fmt.Errorf("the result: %w", err)}
		}
		return out, nil
	}
	if c.client == nil {
		return c.replaceFile(again)
	}
	return c.change(message, func(doc *cib.Document) error {
		out, err := again(doc)
		if err == nil {
			doc.Config = out.Config
		}
		return err
	})
}
