package shell

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"

	"github.com/quorate/quorate/crm/api/editor"
	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/cib/cibcrm"
	"github.com/quorate/quorate/crm/cib/cibtoml"
	"github.com/quorate/quorate/crm/cib/cibxml"
	"github.com/quorate/quorate/crm/verify"
)

// readConfig reads a configuration in any of its forms: XML when it begins with "<", crm statements in files
// called .crm, else TOML. Of a folder all TOML files are read as one, by name.
func (s *Shell) readConfig(ctx context.Context, name string) (*cib.Document, error) {
	if st, err := os.Stat(name); err == nil && st.IsDir() {
		files, err := filepath.Glob(filepath.Join(name, "*.toml"))
		if err != nil {
			return nil, err
		}
		if len(files) == 0 {
			return nil, fmt.Errorf("%s holds no .toml file", name)
		}
		sort.Strings(files)
		out := &cib.Document{}
		from := make(map[string]string)
		for _, f := range files {
			doc, err := s.readConfig(ctx, f)
			if err != nil {
				return nil, err
			}
			for _, c := range cib.Diff(&cib.Document{}, doc) {
				if other := from[c.Key()]; other != "" {
					return nil, fmt.Errorf("%s: %s stands in %s already; an object belongs into one file of the folder", f, strings.TrimSpace(c.Key()), other)
				}
				from[c.Key()] = f
			}
			merged, err := cib.Apply(out, cib.Diff(&cib.Document{}, doc))
			if err != nil {
				return nil, fmt.Errorf("%s: %w", f, err)
			}
			out = merged
		}
		return out, nil
	}
	data, err := s.readInput(name)
	if err != nil {
		return nil, err
	}
	switch {
	case strings.HasPrefix(strings.TrimSpace(string(data)), "<"):
		doc, problems, err := cibxml.Read(data)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		for _, p := range problems {
			s.warn("%s: %s", name, p.String())
		}
		return doc, nil
	case strings.HasSuffix(name, ".crm"):
		w := newWorkArea(&editor.Snapshot{Doc: &cib.Document{}})
		if err := w.apply(string(data), cibcrm.Update); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		return w.doc, nil
	}
	doc, err := cibtoml.Read(data, s.tomlOptions(ctx))
	if err != nil {
		var list cibtoml.Errors
		if errors.As(err, &list) {
			out := &errorList{}
			for i := range list {
				out.errs = append(out.errs, errors.New(placed(name, list[i])))
			}
			return nil, out
		}
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return doc, nil
}

// asWritten is wanted for a file with people's text: an object that says what the present one says in that form is no
// change. Forms differ in what they carry: ids that nobody chose, empty sets, the order of properties.
func (s *Shell) asWritten(now *editor.Snapshot, file *cib.Document, name string) *cib.Document {
	want := wanted(now, file)
	changes := cib.Diff(now.Doc, want)
	var present []cib.Change
	for _, c := range changes {
		if o, had := cib.FindObject(&now.Doc.Config, c.Kind, c.ID); had && c.Object != nil {
			present = append(present, cib.Change{Kind: c.Kind, ID: c.ID, Object: &o})
		}
	}
	part, err := cib.Apply(&cib.Document{Head: now.Doc.Head}, present)
	if err != nil || len(present) == 0 {
		return want
	}
	again := reread(part, name)
	if again == nil {
		return want
	}
	again = wanted(now, again)
	changes = slices.DeleteFunc(changes, func(c cib.Change) bool {
		if c.Object == nil || c.Place != cib.PlaceKeep || !slices.ContainsFunc(present, func(p cib.Change) bool { return p.Key() == c.Key() }) {
			return false
		}
		o, ok := cib.FindObject(&again.Config, c.Kind, c.ID)
		return ok && o.Equal(c.Object)
	})
	out, err := cib.Apply(cib.WithoutPositions(now.Doc), changes) // places are those of the file
	if err != nil {
		return want
	}
	return out
}

// reread writes a document in the form of a file and reads it again; nil where that cannot be done.
func reread(doc *cib.Document, name string) *cib.Document {
	if strings.HasSuffix(name, ".crm") {
		w := newWorkArea(&editor.Snapshot{Doc: &cib.Document{}})
		if w.apply(cibcrm.Print(&doc.Config, cibcrm.PrintOptions{}), cibcrm.Update) != nil {
			return nil
		}
		return w.doc
	}
	data, err := cibtoml.Write(doc, cibtoml.Options{})
	if err != nil {
		return nil
	}
	again, err := cibtoml.Read(data, cibtoml.Options{AllowPlain: true})
	if err != nil {
		return nil
	}
	return again
}

// wanted returns the document that a file asks for: its configuration, with what only the cluster knows, the
// members with their ids and links, taken from the present one where the file says nothing of it.
func wanted(now *editor.Snapshot, file *cib.Document) *cib.Document {
	out := cib.WithoutPositions(now.Doc)
	config := file.Config.Clone()
	if len(config.Cluster.Links) == 0 {
		config.Cluster.Links = out.Config.Cluster.Links
	}
	for i := range out.Config.Nodes {
		old := &out.Config.Nodes[i]
		at := slices.IndexFunc(config.Nodes, func(n cib.Node) bool { return n.Name == old.Name })
		if at < 0 {
			member := now.State != nil && now.State.Member(old.Name) != nil
			if member || len(file.Config.Nodes) == 0 {
				config.Nodes = append(config.Nodes, old.Clone())
			}
			continue
		}
		n := &config.Nodes[at]
		n.ID = old.ID
		if len(n.Links) == 0 {
			n.Links = old.Links
		}
		if n.Voter == "" {
			n.Voter = old.Voter
		}
		n.Witness = n.Witness || old.Witness
		if len(n.Attributes) == 0 {
			n.Attributes = cib.CloneSets(old.Attributes)
		}
	}
	// The order of nodes says nothing: it stays as it is.
	place := func(n cib.Node) int {
		at := slices.IndexFunc(out.Config.Nodes, func(o cib.Node) bool { return o.Name == n.Name })
		if at < 0 {
			return len(out.Config.Nodes)
		}
		return at
	}
	slices.SortStableFunc(config.Nodes, func(a, b cib.Node) int { return place(a) - place(b) })
	out.Config = config
	return out
}

func (s *Shell) cmdExport(c *call) error {
	form, name := "toml", "-"
	var release cibxml.Release
	var args []string
	for i := 0; i < len(c.args); i++ {
		switch value, has := strings.CutPrefix(c.args[i], "--for="); {
		case has:
			release = cibxml.Release(value)
		case c.args[i] == "--for":
			if i++; i >= len(c.args) {
				return c.usage("--for needs a release of Pacemaker: %s or %s", cibxml.Release2, cibxml.Release3)
			}
			release = cibxml.Release(c.args[i])
		case strings.HasPrefix(c.args[i], "-") && c.args[i] != "-":
			return c.usage("%q is not known", c.args[i])
		default:
			args = append(args, c.args[i])
		}
	}
	if len(args) > 0 && slices.Contains([]string{"toml", "xml", "crm"}, args[0]) {
		form, args = args[0], args[1:]
	}
	if release != "" && form != "xml" {
		return c.usage("--for is for the XML of Pacemaker: export xml --for %s", cibxml.Release2)
	}
	switch len(args) {
	case 0:
	case 1:
		name = args[0]
	default:
		return c.usage("%q is too much", args[1])
	}
	snap, err := s.load(c.ctx)
	if err != nil {
		return err
	}
	var text string
	switch form {
	case "xml":
		doc := snap.Doc
		if release != "" {
			out, problems, err := cibxml.Export(doc, release)
			if err != nil {
				return err
			}
			for _, p := range problems {
				s.warn("%s", placed("", p))
			}
			doc = out
		}
		text = string(cibxml.Write(doc, cibxml.Options{NoStatus: true, Plain: true}))
	case "crm":
		text = cibcrm.Print(&snap.Doc.Config, cibcrm.PrintOptions{})
	default:
		data, err := cibtoml.Write(snap.Doc, s.tomlOptions(c.ctx))
		if err != nil {
			return err
		}
		text = string(data)
	}
	if name == "-" {
		_, err := io.WriteString(s.out, text)
		return err
	}
	return writeNew(name, text)
}

func (s *Shell) cmdImport(c *call) error {
	if err := c.want(1, 1); err != nil {
		return err
	}
	data, err := s.readInput(c.args[0])
	if err != nil {
		return err
	}
	doc, problems, err := cibxml.Read(data)
	if err != nil {
		return fmt.Errorf("%s: %w", c.args[0], err)
	}
	up, translated := cib.Import(doc)
	refused := &errorList{}
	for _, p := range append(problems, translated...) {
		if text := placed(c.args[0], p); p.Severity == cib.Error && !s.opts.force {
			refused.errs = append(refused.errs, errors.New(text))
		} else {
			s.printf("* %s\n", text)
		}
	}
	if len(refused.errs) > 0 {
		return refused
	}
	base, err := s.load(c.ctx)
	if err != nil {
		return err
	}
	want := wanted(base, up)
	changes := cib.Diff(base.Doc, want)
	if len(changes) == 0 {
		s.printf("Nothing to change.\n")
		return nil
	}
	bad := append(editor.Errors(base.Doc, want), verify.References(want)...)
	for _, p := range verify.Problems(verify.Input{Before: base.Doc, After: want, Metadata: s.metadataOf(c.ctx)}) {
		if text := placed(c.args[0], p); slices.Contains(bad, p) && !s.opts.force {
			refused.errs = append(refused.errs, errors.New(text))
		} else {
			s.warn("%s", text)
		}
	}
	if len(refused.errs) > 0 {
		return refused
	}
	message := s.opts.message
	if message == "" {
		message = "crm import " + filepath.Base(c.args[0])
	}
	if s.interactive && !s.confirm(fmt.Sprintf("Change %d objects?", len(changes))) {
		return nil
	}
	if err := s.store(c.ctx, base, changes, message, s.opts.force); err != nil {
		return err
	}
	s.printf("Imported: %s.\n", counted(len(changes)))
	return nil
}
