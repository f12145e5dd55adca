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
	"strconv"
	"strings"

	"github.com/peterh/liner"

	"github.com/quorate/quorate/crm/cib"
)

// lineEditor reads lines from a terminal.
type lineEditor struct {
	state   *liner.State
	cooked  liner.ModeApplier // the terminal as it was before; nil = there is none
	history string
}

// compgen answers the shell's completion: COMP_LINE is the line so far, COMP_POINT where the cursor is.
func (s *Shell) compgen(ctx context.Context) {
	line := s.cfg.Getenv("COMP_LINE")
	if n, err := strconv.Atoi(s.cfg.Getenv("COMP_POINT")); err == nil && n >= 0 && n < len(line) {
		line = line[:n]
	}
	_, line, _ = strings.Cut(line, " ")
	line = strings.TrimLeft(line, " ")
	for strings.HasPrefix(line, "-") {
		flag, rest, _ := strings.Cut(line, " ")
		if slices.Contains([]string{"-f", "-m", "-c", "-D"}, flag) {
			_, rest, _ = strings.Cut(strings.TrimLeft(rest, " "), " ")
		}
		line = strings.TrimLeft(rest, " ")
	}
	_, list, _ := s.complete(ctx, line, len(line))
	for _, c := range list {
		s.printf("%s\n", strings.TrimSuffix(c, " "))
	}
}

// converse reads commands from a person.
func (s *Shell) converse(ctx context.Context) int {
	s.interactive = true
	cooked, err := liner.TerminalMode()
	if err != nil {
		cooked = nil // no terminal: nothing is changed about it
	}
	s.editor = &lineEditor{state: liner.NewLiner(), cooked: cooked}
	defer s.editor.state.Close()
	s.editor.state.SetCtrlCAborts(true)
	s.editor.state.SetTabCompletionStyle(liner.TabPrints)
	s.editor.state.SetWordCompleter(func(line string, pos int) (string, []string, string) { return s.complete(ctx, line, pos) })
	if dir, err := os.UserCacheDir(); err == nil {
		s.editor.history = filepath.Join(dir, "quorate", "crm-history")
		if f, err := os.Open(s.editor.history); err == nil {
			s.editor.state.ReadHistory(f)
			f.Close()
		}
	}
	defer s.saveHistory()
	ended := false // the input has ended already, and the shell could not be left
	for !s.done && ctx.Err() == nil {
		text, err := s.editor.state.Prompt(s.prompt(ctx))
		for err == nil && strings.HasSuffix(text, `\`) {
			var more string
			more, err = s.editor.state.Prompt("> ")
			text = strings.TrimSuffix(text, `\`) + " " + more
		}
		switch {
		case errors.Is(err, liner.ErrPromptAborted):
			continue
		case errors.Is(err, io.EOF):
			s.printf("\n")
			if err = s.cmdQuit(&call{ctx: ctx}); err == nil {
				return exitOK
			}
			s.fail(err)
			// A person may stay after a slip. A terminal that is gone answers every question like this.
			if ended {
				s.fail(errors.New("the input has ended: what was not committed is dropped"))
				return exitError
			}
			ended = true
			continue
		case err != nil:
			s.fail(err)
			return exitError
		}
		ended = false
		if strings.TrimSpace(text) == "" {
			continue
		}
		s.editor.state.AppendHistory(text)
		if err := s.execute(ctx, text); err != nil {
			s.fail(err)
		}
	}
	return exitOK
}

// aside runs f with the terminal as it was before the line editor took it: the programs that f starts expect lines, and
// to see what is typed.
func (s *Shell) aside(f func() error) error {
	if s.editor == nil || s.editor.cooked == nil {
		return f()
	}
	now, err := liner.TerminalMode()
	if err != nil {
		return err
	}
	if err := s.editor.cooked.ApplyMode(); err != nil {
		return err
	}
	return errors.Join(f(), now.ApplyMode())
}

func (s *Shell) saveHistory() {
	if s.editor.history == "" {
		return
	}
	// The history is a help, not a duty: a file that cannot be written is no error.
	if os.MkdirAll(filepath.Dir(s.editor.history), 0o700) != nil {
		return
	}
	if f, err := os.OpenFile(s.editor.history, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600); err == nil {
		s.editor.state.WriteHistory(f)
		f.Close()
	}
}

// prompt names the configuration in use and the level: crm(live/alpha)configure#.
func (s *Shell) prompt(ctx context.Context) string {
	mark := ""
	if s.work != nil && s.work.dirty {
		mark = "*"
	}
	var path []string
	for _, l := range s.levels[1:] {
		path = append(path, l.name)
	}
	return fmt.Sprintf("crm(%s)%s%s# ", s.connect().Name(ctx), strings.Join(path, " "), mark)
}

// ask asks until one of the answers is given. The first is the default.
func (s *Shell) ask(question string, answers ...string) string {
	for {
		text, err := s.editor.state.Prompt(question + " ")
		if err != nil {
			return answers[len(answers)-1]
		}
		text = strings.ToLower(strings.TrimSpace(text))
		if text == "" {
			return answers[0]
		}
		for _, a := range answers {
			if strings.HasPrefix(text, a) {
				return a
			}
		}
	}
}

// confirm asks a question whose answer is yes or no. Without a person only -y is a yes.
func (s *Shell) confirm(question string) bool {
	switch {
	case s.opts.yes || s.opts.force:
		return true
	case s.opts.no:
		return false
	case s.editor != nil:
		return s.ask(question+" (y/n)", "y", "n") == "y"
	case s.cfg.Terminal:
		s.editor = &lineEditor{state: liner.NewLiner()}
		defer func() { s.editor.state.Close(); s.editor = nil }()
		return s.ask(question+" (y/n)", "y", "n") == "y"
	}
	return false
}

// complete returns what the word at the cursor can become.
func (s *Shell) complete(ctx context.Context, line string, pos int) (head string, list []string, tail string) {
	before, after := line[:min(pos, len(line))], line[min(pos, len(line)):]
	start := strings.LastIndexAny(before, " \t") + 1
	head, word := before[:start], before[start:]
	words := strings.Fields(head)
	s.word = word
	if help, values, ok := s.valueHelp(ctx, words, word); ok {
		name, typed, _ := strings.Cut(word, "=")
		for _, v := range values {
			if strings.HasPrefix(v, typed) {
				list = append(list, name+"="+v+" ")
			}
		}
		if s.editor != nil && typed == "" {
			s.printf("\r\n%s\r\n", strings.ReplaceAll(help, "\n", "\r\n"))
			list = append(list, word) // the line is drawn again, with nothing added
		}
		sort.Strings(list)
		return head, list, after
	}
	for _, c := range continuing(s.candidates(ctx, words), word) {
		if !strings.HasSuffix(c, "=") && !strings.HasSuffix(c, ":") {
			c += " "
		}
		list = append(list, c)
	}
	sort.Strings(list)
	return head, slices.Compact(list), after
}

// continuing returns the candidates that begin with word as it is typed; if there are none, those that begin so in another
// letter case. They all spell the typed part alike: the editor replaces the word by what they have in common, which must
// not be less than what was typed.
func continuing(candidates []string, word string) []string {
	begins := func(start string) (out []string) {
		for _, c := range candidates {
			if strings.HasPrefix(c, start) {
				out = append(out, c)
			}
		}
		return out
	}
	if out := begins(word); len(out) > 0 {
		return out
	}
	for _, c := range candidates {
		if len(c) >= len(word) && strings.EqualFold(c[:len(word)], word) {
			return begins(c[:len(word)])
		}
	}
	return nil
}

// candidates returns what may follow the words.
func (s *Shell) candidates(ctx context.Context, words []string) []string {
	l := s.current()
	for i, w := range words {
		c, err := l.find(w)
		if err != nil {
			return nil
		}
		if c.level != nil && (c.run == nil || i+1 < len(words)) {
			l = c.level()
			continue
		}
		if c.complete == nil {
			return nil
		}
		return c.complete(s, words[i:])
	}
	var out []string
	for _, c := range append(slices.Clone(l.commands), navigation...) {
		if !c.old {
			out = append(out, c.name)
		}
	}
	return out
}

// completionDocument is the document that names are taken from: the work area, else what is loaded now.
func (s *Shell) completionDocument() *cib.Document {
	if s.work != nil {
		return s.work.doc
	}
	ctx, cancel := context.WithTimeout(context.Background(), promptTime)
	defer cancel()
	snap, err := s.load(ctx)
	if err != nil {
		return &cib.Document{}
	}
	return snap.Doc
}

func completeResources(s *Shell, words []string) []string {
	doc := s.completionDocument()
	var out []string
	cib.EachResource(&doc.Config, func(r, _ *cib.Resource) {
		if r.Kind != cib.Template {
			out = append(out, r.ID)
		}
	})
	if len(words) > 1 {
		out = append(out, completeNodes(s, words)...)
	}
	return out
}

func completeNodes(s *Shell, _ []string) []string {
	var out []string
	for _, n := range s.completionDocument().Config.Nodes {
		out = append(out, n.Name)
	}
	return out
}

func completeIDs(s *Shell, _ []string) []string {
	doc := s.completionDocument()
	var out []string
	cib.Objects(&doc.Config, func(kind, id string, _ cib.Object) {
		if kind != cib.KindUnknown && kind != cib.KindCluster {
			out = append(out, id)
		}
	})
	cib.EachResource(&doc.Config, func(r, _ *cib.Resource) { out = append(out, r.ID) })
	return out
}

func completeProperties(*Shell, []string) []string {
	var out []string
	for _, o := range cib.Properties() {
		out = append(out, o.Name)
	}
	return out
}

// scoreWords are what a score is usually.
var scoreWords = []string{"inf:", "-inf:", "100:"}

// completeStatement completes statements of the configure language.
func completeStatement(s *Shell, words []string) []string {
	switch strings.ToLower(words[0]) {
	case "primitive", "rsc_template":
		return s.completePrimitive(words)
	case "property":
		var out []string
		for _, name := range completeProperties(s, words) {
			out = append(out, name+"=")
		}
		return out
	case "rsc_defaults":
		return metaNames()
	case "op_defaults":
		return []string{"timeout=", "on-fail=", "record-pending=", "enabled="}
	case "location":
		switch len(words) {
		case 1:
			return nil
		case 2:
			return completeResources(s, nil)
		case 3:
			return append([]string{"rule", "role=", "resource-discovery="}, scoreWords...)
		}
		return completeNodes(s, words)
	case "colocation":
		if len(words) == 2 {
			return scoreWords
		}
	case "order":
		if len(words) == 2 {
			return append([]string{"Mandatory:", "Optional:", "Serialize:"}, completeResources(s, nil)...)
		}
	case "node":
		if len(words) == 1 {
			return completeNodes(s, nil)
		}
		return []string{"attributes", "utilization"}
	case "group", "clone", "ms":
		if len(words) > 1 {
			return append(append(completeResources(s, nil), "meta", "params"), metaNames()...)
		}
		return nil
	}
	if len(words) == 1 && !strings.EqualFold(words[0], "monitor") && !strings.EqualFold(words[0], "fencing_topology") {
		return nil // a new name
	}
	return completeResources(s, nil)
}

func metaNames() []string {
	var out []string
	for _, o := range cib.MetaOptions() {
		out = append(out, o.Name+"=")
	}
	return out
}

// completePrimitive completes agents, the names of blocks, parameters with "=" and operations.
func (s *Shell) completePrimitive(words []string) []string {
	ctx, cancel := context.WithTimeout(context.Background(), metadataTime)
	defer cancel()
	if len(words) < 2 {
		return nil
	}
	if len(words) == 2 {
		out := s.completeAgents(ctx)
		for _, r := range s.completionDocument().Config.Resources {
			if r.Kind == cib.Template {
				out = append(out, "@"+r.ID)
			}
		}
		return out
	}
	block, op := blockOf(words[3:])
	blocks := []string{"params", "meta", "utilization", "op"}
	switch block {
	case "meta":
		return append(metaNames(), blocks...)
	case "op":
		if op == "" {
			return []string{"monitor", "start", "stop", "promote", "demote", "notify", "migrate_to", "migrate_from"}
		}
		return append([]string{"interval=", "timeout=", "on-fail=", "role=", "start-delay=", "enabled="}, blocks...)
	case "utilization", "operations":
		return blocks
	}
	name, err := fullAgent(s.templateAgent(words[2]))
	if err != nil {
		return blocks
	}
	out := slices.Clone(blocks)
	if m, err := s.metadata(ctx, name); err == nil {
		for _, p := range m.Parameters {
			if !slices.ContainsFunc(words, func(w string) bool { return strings.HasPrefix(w, p.Name+"=") }) {
				out = append(out, p.Name+"=")
			}
		}
	}
	return out
}
