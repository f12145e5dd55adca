package shell

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/quorate/quorate/crm/api/editor"
	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/cib/cibcrm"
	"github.com/quorate/quorate/crm/cib/cibxml"
)

// A shadow is a copy of the configuration in two files of the user's: NAME.xml, on which every command works while the
// shadow is in use, and NAME.orig.xml, what it was copied from, so that a commit applies only what was changed in it.

// liveName stands for the cluster's configuration where the name of a shadow is asked for.
const liveName = "live"

func cibLevel() *level {
	return &level{name: "cib", help: "Shadows: copies of the configuration on which every command works, until they are committed.", commands: []*row{
		{name: "new", args: "[NAME] [withstatus] [force] [empty]", example: "cib new test", help: "copy the configuration into a shadow, and use it; without a name it lasts as long as this crm", run: (*Shell).cmdShadowNew},
		{name: "use", args: "[NAME] [withstatus]", example: "cib use test", help: "work on a shadow; without a name on the cluster again", run: (*Shell).cmdShadowUse, complete: completeShadows},
		{name: "diff", help: "list what the shadow in use changes", run: (*Shell).cmdShadowDiff},
		{name: "commit", args: "[NAME] [force]", example: "cib commit test", help: "apply to the cluster what was changed in a shadow", run: (*Shell).cmdShadowCommit, complete: completeShadows},
		{name: "reset", args: "NAME", example: "cib reset test", help: "copy the configuration into a shadow again", run: (*Shell).cmdShadowReset, complete: completeShadows},
		{name: "delete", args: "NAME", example: "cib delete test", help: "delete a shadow", run: (*Shell).cmdShadowDelete, complete: completeShadows},
		{name: "list", help: "list the shadows", run: (*Shell).cmdShadowList},
		{name: "import", args: "FILE [NAME]", example: "cib import cib.xml test", help: "make a shadow of a CIB in a file, and use it; \"crm import\" takes one into the cluster", run: (*Shell).cmdShadowImport},
		{name: "cibstatus", help: "level: pretend states of nodes and operations in a shadow", level: cibstatusLevel},
	}}
}

// shadowDir is where this user's shadows are. CIB_shadow_dir names another place, as it does for Pacemaker's tools.
func (s *Shell) shadowDir() (string, error) {
	if dir := s.cfg.Getenv("CIB_shadow_dir"); dir != "" {
		return dir, nil
	}
	dir, err := s.stateDir()
	return filepath.Join(dir, "shadow"), err
}

// stateDir is where this user's shadows and filled-in templates are kept.
func (s *Shell) stateDir() (string, error) {
	if dir := s.cfg.Getenv("XDG_STATE_HOME"); dir != "" {
		return filepath.Join(dir, "quorate"), nil
	}
	if home := s.cfg.Getenv("HOME"); home != "" {
		return filepath.Join(home, ".local", "state", "quorate"), nil
	}
	return "", errors.New("HOME is not set: there is no place for shadows and templates; set XDG_STATE_HOME or CIB_shadow_dir")
}

// shadowFile returns the file of a shadow and that of its origin.
func (s *Shell) shadowFile(name string) (file, origin string, err error) {
	if !cib.ValidName(name) {
		return "", "", fmt.Errorf("%q cannot be the name of a shadow: letters, digits, dot, dash and underscore", name)
	}
	if name == liveName {
		return "", "", hint(fmt.Errorf("%q is the configuration of the cluster, not a shadow", name), "\"cib use live\" goes back to it; name the shadow otherwise")
	}
	dir, err := s.shadowDir()
	return filepath.Join(dir, name+".xml"), filepath.Join(dir, name+".orig.xml"), err
}

func (s *Shell) shadows() ([]string, error) {
	dir, err := s.shadowDir()
	if err != nil {
		return nil, err
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.orig.xml"))
	for i := range files {
		files[i] = strings.TrimSuffix(filepath.Base(files[i]), ".orig.xml")
	}
	return files, err
}

func completeShadows(s *Shell, words []string) []string {
	if len(words) > 1 {
		return nil
	}
	list, err := s.shadows()
	if err != nil {
		return nil
	}
	return list
}

// useAtStart takes the shadow that -c or CIB_shadow names.
func (s *Shell) useAtStart() error {
	name := s.opts.shadow
	if name == "" {
		name = s.cfg.Getenv("CIB_shadow")
	}
	if name == "" {
		return nil
	}
	return s.useShadow(name)
}

// useShadow changes to a shadow; "" = none.
func (s *Shell) useShadow(name string) error {
	if s.work != nil && s.work.changed() {
		return hint(errors.New("there are uncommitted changes"), "\"configure commit\" stores them, \"configure refresh\" drops them")
	}
	s.work = nil
	if name == "" {
		s.backend, s.shadow = nil, ""
		return nil
	}
	file, _, err := s.shadowFile(name)
	if err != nil {
		return err
	}
	if _, err := os.Stat(file); err != nil {
		return s.noShadow(name)
	}
	s.backend, s.shadow = &editor.File{Path: file, Label: name}, name
	return nil
}

func (s *Shell) noShadow(name string) error {
	list, err := s.shadows()
	if err != nil {
		return err
	}
	if len(list) == 0 {
		return hint(fmt.Errorf("there is no shadow %s", name), "\"crm cib new %s\" makes it", name)
	}
	return hint(fmt.Errorf("there is no shadow %s; there are %s", name, strings.Join(list, ", ")), "\"crm cib new %s\" makes it", name)
}

// dropTemporary deletes a shadow without a name at the end.
func (s *Shell) dropTemporary() {
	if s.temporary != "" {
		// What is left behind is in the user's own folder and is found by "cib list".
		_ = s.removeShadow(s.temporary)
		s.temporary = ""
	}
}

func (s *Shell) removeShadow(name string) error {
	file, origin, err := s.shadowFile(name)
	if err != nil {
		return err
	}
	if err := os.Remove(origin); err != nil {
		return err
	}
	return os.Remove(file)
}

// makeShadow writes a document as a shadow and as its origin.
func (s *Shell) makeShadow(name string, doc *cib.Document, withStatus bool) error {
	file, origin, err := s.shadowFile(name)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return err
	}
	data := cibxml.Write(doc, cibxml.Options{NoStatus: !withStatus})
	if err := os.WriteFile(origin, data, 0o600); err != nil {
		return err
	}
	return os.WriteFile(file, data, 0o600)
}

// shadowWords takes the flags out of the arguments.
func shadowWords(args []string, flags ...string) (names []string, has map[string]bool) {
	has = make(map[string]bool)
	for _, a := range args {
		if slices.Contains(flags, a) {
			has[a] = true
		} else {
			names = append(names, a)
		}
	}
	return names, has
}

func (s *Shell) cmdShadowNew(c *call) error {
	names, has := shadowWords(c.args, "withstatus", "force", "empty")
	if len(names) > 1 {
		return c.usage("%q is too much", names[1])
	}
	name := fmt.Sprintf("tmp-%d", os.Getpid())
	if len(names) == 1 {
		name = names[0]
	} else if !s.interactive && s.line == 0 {
		return c.usage("a shadow without a name lasts as long as this crm, which ends with this command: name it")
	}
	file, _, err := s.shadowFile(name)
	if err != nil {
		return err
	}
	if _, err := os.Stat(file); err == nil && !has["force"] && !s.opts.force {
		return hint(fmt.Errorf("there is a shadow %s already", name), "\"cib new %s force\" overwrites it, \"cib use %s\" takes it as it is", name, name)
	}
	doc := &cib.Document{Head: cib.Head{ValidateWith: "pacemaker-3.9"}}
	if !has["empty"] {
		// The status as a decision sees it: with the operations under way.
		was, shadow := s.backend, s.shadow
		s.backend, s.shadow = nil, ""
		live, _, _, err := s.statusDocument(c.ctx)
		s.backend, s.shadow = was, shadow
		if err != nil {
			return err
		}
		doc = live
	}
	if err := s.makeShadow(name, doc, has["withstatus"] || !has["empty"]); err != nil {
		return err
	}
	if len(names) == 0 {
		s.temporary = name
	}
	// Changes that are not committed yet go on in the shadow.
	work := s.work
	s.work = nil
	if err := s.useShadow(name); err != nil {
		s.work = work
		return err
	}
	s.info("%s shadow CIB created", name)
	if work == nil || !work.changed() {
		return nil
	}
	return s.edit(c.ctx, func(w *workArea) error {
		merged, both := editor.Merge(work.base.Doc, w.doc, cib.Diff(work.base.Doc, work.doc))
		if len(both) > 0 {
			return &editor.ConflictError{Objects: both}
		}
		doc, err := cib.Apply(w.doc, merged)
		if err != nil {
			return err
		}
		w.doc.Config = doc.Config.Clone()
		w.ed = cibcrm.NewEditor(&w.doc.Config)
		return nil
	})
}

func (s *Shell) cmdShadowUse(c *call) error {
	names, _ := shadowWords(c.args, "withstatus")
	switch len(names) {
	case 0:
		return s.useShadow("")
	case 1:
		if names[0] == liveName {
			return s.useShadow("")
		}
		return s.useShadow(names[0])
	}
	return c.usage("%q is too much", names[1])
}

// shadowChanges returns what a shadow changes of what it was copied from.
func (s *Shell) shadowChanges(ctx context.Context, name string) (origin *cib.Document, changes []cib.Change, err error) {
	file, orig, err := s.shadowFile(name)
	if err != nil {
		return nil, nil, err
	}
	if _, err := os.Stat(file); err != nil {
		return nil, nil, s.noShadow(name)
	}
	was, err := (&editor.File{Path: orig}).Load(ctx)
	if err != nil {
		return nil, nil, err
	}
	now, err := (&editor.File{Path: file}).Load(ctx)
	if err != nil {
		return nil, nil, err
	}
	return was.Doc, cib.Diff(was.Doc, now.Doc), nil
}

func (s *Shell) cmdShadowDiff(c *call) error {
	if err := c.want(0, 1); err != nil {
		return err
	}
	name := s.shadow
	if len(c.args) == 1 {
		name = c.args[0]
	}
	if name == "" {
		return s.cmdDiff(&call{ctx: c.ctx, cmd: c.cmd})
	}
	origin, changes, err := s.shadowChanges(c.ctx, name)
	if err != nil {
		return err
	}
	for _, l := range cib.Describe(origin, changes) {
		s.printf("%s\n", l)
	}
	return nil
}

func (s *Shell) cmdShadowCommit(c *call) error {
	names, has := shadowWords(c.args, "force")
	if len(names) > 1 {
		return c.usage("%q is too much", names[1])
	}
	name := s.shadow
	if len(names) == 1 {
		name = names[0]
	}
	if name == "" {
		return hint(errors.New("no shadow is in use"), "\"cib commit NAME\"; \"cib list\" lists them")
	}
	force := has["force"] || s.opts.force
	origin, changes, err := s.shadowChanges(c.ctx, name)
	if err != nil {
		return err
	}
	target := s.source()
	base, err := target.Load(c.ctx)
	if err != nil {
		return explain(err)
	}
	if len(changes) == 0 {
		s.printf("Nothing to change.\n")
		return s.committed(name)
	}
	if !force {
		var both []string
		if changes, both = editor.Merge(origin, base.Doc, changes); len(both) > 0 {
			return hint(&editor.ConflictError{Objects: both}, "\"cib commit %s force\" overrides the others' changes of these objects, \"cib reset %s\" drops the shadow's", name, name)
		}
	}
	doc, err := cib.Apply(base.Doc, changes)
	if err != nil {
		return err
	}
	if err := checkChange(base.Doc, doc); err != nil && !force {
		return err
	}
	changes = cib.Diff(base.Doc, doc)
	message := s.opts.message
	if message == "" {
		message = "crm cib commit " + name
	}
	if len(changes) > 0 {
		if err := explain(target.Commit(c.ctx, base, changes, editor.Options{Message: message, Force: force})); err != nil {
			return err
		}
	}
	s.info("committed '%s' shadow CIB to the cluster", name)
	return s.committed(name)
}

// committed makes what the cluster has now the origin of the shadow; a temporary one is done with.
func (s *Shell) committed(name string) error {
	if name == s.temporary {
		s.dropTemporary()
		return s.useShadow("")
	}
	file, origin, err := s.shadowFile(name)
	if err != nil {
		return err
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	return os.WriteFile(origin, data, 0o600)
}

func (s *Shell) cmdShadowReset(c *call) error {
	if err := c.want(1, 1); err != nil {
		return err
	}
	file, _, err := s.shadowFile(c.args[0])
	if err != nil {
		return err
	}
	if _, err := os.Stat(file); err != nil {
		return s.noShadow(c.args[0])
	}
	base, err := s.source().Load(c.ctx)
	if err != nil {
		return explain(err)
	}
	if err := s.makeShadow(c.args[0], base.Doc, true); err != nil {
		return err
	}
	if s.shadow == c.args[0] {
		s.work = nil
	}
	s.info("copied live CIB to '%s'", c.args[0])
	return nil
}

func (s *Shell) cmdShadowDelete(c *call) error {
	if err := c.want(1, 1); err != nil {
		return err
	}
	name := c.args[0]
	if name == s.shadow {
		return hint(fmt.Errorf("the shadow %s is in use", name), "\"cib use\" goes back to the cluster")
	}
	file, _, err := s.shadowFile(name)
	if err != nil {
		return err
	}
	if _, err := os.Stat(file); err != nil {
		return s.noShadow(name)
	}
	if err := s.removeShadow(name); err != nil {
		return err
	}
	s.info("%s shadow CIB deleted", name)
	return nil
}

func (s *Shell) cmdShadowList(c *call) error {
	if err := c.want(0, 0); err != nil {
		return err
	}
	list, err := s.shadows()
	if err != nil {
		return err
	}
	for _, name := range list {
		s.printf("%s\n", name)
	}
	return nil
}

func (s *Shell) cmdShadowImport(c *call) error {
	if err := c.want(1, 2); err != nil {
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
	for _, p := range problems {
		s.warn("%s: %s", c.args[0], p.String())
	}
	name := strings.TrimSuffix(filepath.Base(c.args[0]), filepath.Ext(c.args[0]))
	if len(c.args) == 2 {
		name = c.args[1]
	}
	file, _, err := s.shadowFile(name)
	if err != nil {
		return err
	}
	if _, err := os.Stat(file); err == nil && !s.opts.force {
		return hint(fmt.Errorf("there is a shadow %s already", name), "name another: cib import %s NAME", c.args[0])
	}
	// Nothing of it is in the cluster yet: the origin is what the cluster has.
	base, err := s.source().Load(c.ctx)
	if err != nil {
		base = &editor.Snapshot{Doc: &cib.Document{}}
	}
	if err := s.makeShadow(name, base.Doc, true); err != nil {
		return err
	}
	whole := wanted(base, doc)
	whole.Status, whole.Head = doc.Status, doc.Head
	if err := os.WriteFile(file, cibxml.Write(whole, cibxml.Options{}), 0o600); err != nil {
		return err
	}
	return s.useShadow(name)
}
