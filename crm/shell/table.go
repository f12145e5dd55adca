package shell

import (
	"context"
	"fmt"
	"slices"
	"sort"
	"strings"

	"github.com/quorate/quorate/crm/cib"
)

// row is one command of a level's table.
type row struct {
	name    string
	aliases []string // accepted as well; those of old names are not listed in help
	args    string   // of the usage line
	help    string   // one sentence
	example string
	run     func(*Shell, *call) error
	level   func() *level // entering the level that the command names
	// complete returns candidates for the last of words (what follows the command); nil = none.
	complete func(s *Shell, words []string) []string
	raw      bool // takes the line as it was typed
	moves    bool // changes the level itself
	old      bool // an old name: works, is not offered
}

// call is one use of a command.
type call struct {
	ctx  context.Context
	cmd  *row
	args []string
	text string // the line as typed; "" when it came as words
}

func (c *call) usage(format string, args ...any) error {
	return &usageError{c.cmd, fmt.Sprintf(format, args...)}
}

// want refuses a call with less than min or more than max arguments (max < 0: any number).
func (c *call) want(min, max int) error {
	switch {
	case len(c.args) < min:
		return c.usage("an argument is missing")
	case max >= 0 && len(c.args) > max:
		return c.usage("%q is too much", c.args[max])
	}
	return nil
}

// level is a set of commands with a prompt.
type level struct {
	name     string
	help     string
	commands []*row
	leave    func(context.Context, *Shell) error // when it is left
}

func (l *level) has(word string) bool {
	c, err := l.find(word)
	return err == nil && c != nil && !isHelp(word)
}

// isHelp says that a word asks what the command in front of it does.
func isHelp(word string) bool { return word == "--help" || word == "-h" }

// find looks a word up: a name, an alias, or a prefix that fits only one name. Letter case does not matter.
func (l *level) find(word string) (*row, error) {
	w := strings.ToLower(word)
	all := append(slices.Clone(l.commands), navigation...)
	for _, c := range all {
		if c.name == w || slices.Contains(c.aliases, w) {
			return c, nil
		}
	}
	var fits []*row
	for _, c := range all {
		if w != "" && strings.HasPrefix(c.name, w) && !c.old {
			fits = append(fits, c)
		}
	}
	if len(fits) == 1 {
		return fits[0], nil
	}
	names := make([]string, 0, len(all))
	for _, c := range all {
		if !c.old {
			names = append(names, c.name)
		}
	}
	if len(fits) > 1 {
		names = names[:0]
		for _, c := range fits {
			names = append(names, c.name)
		}
		return nil, fmt.Errorf("%q may be %s: type more letters", word, strings.Join(names, " or "))
	}
	text := fmt.Sprintf("%s: no such command", strings.TrimPrefix(l.name+"."+word, "."))
	if near := cib.Nearest(w, names); near != "" {
		text += fmt.Sprintf("; did you mean %q?", near)
	}
	return nil, hint(fmt.Errorf("%s", text), "%s", "\"crm "+strings.TrimSpace(l.name+" help")+"\" lists the commands")
}

// navigation works on every level.
var navigation []*row

func init() {
	navigation = []*row{
		{name: "help", aliases: []string{"?", "--help", "-h"}, args: "[COMMAND]", help: "explain a command, or list those of this level", example: "help primitive", run: (*Shell).cmdHelp},
		{name: "up", aliases: []string{"back", "end", ".."}, help: "go to the level above", run: (*Shell).cmdUp, moves: true},
		{name: "quit", aliases: []string{"bye", "exit"}, help: "leave crm", run: (*Shell).cmdQuit, moves: true},
		{name: "ls", help: "list the commands of this level", run: (*Shell).cmdLs},
		{name: "cd", args: "[LEVEL]", help: "go to another level: cd ../resource", example: "cd configure", run: (*Shell).cmdCd, moves: true},
	}
}

func (s *Shell) current() *level { return s.levels[len(s.levels)-1] }

func (s *Shell) cmdHelp(c *call) error {
	l := s.current()
	if len(c.args) == 0 {
		s.printLevelHelp(l)
		return nil
	}
	for i, w := range c.args {
		own := slices.ContainsFunc(l.commands, func(c *row) bool { return c.name == strings.ToLower(w) })
		if topic, ok := topics[strings.ToLower(w)]; ok && i == len(c.args)-1 && !own {
			s.printf("%s", topic)
			return nil
		}
		if w == "topics" && len(c.args) == 1 {
			names := make([]string, 0, len(topics))
			for name := range topics {
				names = append(names, name)
			}
			sort.Strings(names)
			s.printf("%s\n", strings.Join(names, "\n"))
			return nil
		}
		found, err := l.find(w)
		if err != nil {
			// A command of the root level may be asked for everywhere.
			if found, err = s.levels[0].find(w); err != nil {
				return err
			}
		}
		if found.level != nil && (found.run == nil || i+1 < len(c.args)) {
			l = found.level()
			if i == len(c.args)-1 {
				s.printLevelHelp(l)
			}
			continue
		}
		s.printHelp(l, found)
		return nil
	}
	return nil
}

func (s *Shell) printLevelHelp(l *level) {
	if l.help != "" {
		s.printf("%s\n\n", l.help)
	}
	width := 0
	for _, c := range l.commands {
		if !c.old {
			width = max(width, len(c.name))
		}
	}
	for _, c := range l.commands {
		if !c.old {
			s.printf("  %-*s  %s\n", width, c.name, c.help)
		}
	}
	s.printf("\nhelp COMMAND explains one, help topics lists other subjects; on every level: help, up, ls, cd LEVEL, quit\n")
}

func (s *Shell) printHelp(l *level, c *row) {
	s.printf("%s\n\nUsage: %s\n", c.help, strings.TrimSpace(strings.TrimSpace(l.name+" "+c.name)+" "+c.args))
	if c.example != "" {
		s.printf("Example: %s\n", strings.ReplaceAll(c.example, "\n", "\n         "))
	}
	if len(c.aliases) > 0 {
		s.printf("Also: %s\n", strings.Join(c.aliases, ", "))
	}
}

func (s *Shell) cmdLs(*call) error {
	var names []string
	for _, c := range s.current().commands {
		if !c.old {
			names = append(names, c.name)
		}
	}
	sort.Strings(names)
	s.printf("%s\n", strings.Join(names, "\n"))
	return nil
}

// pop leaves the present level.
func (s *Shell) pop(ctx context.Context) error {
	if len(s.levels) < 2 {
		return nil
	}
	l := s.current()
	if l.leave != nil {
		if err := l.leave(ctx, s); err != nil {
			return err
		}
	}
	s.levels = s.levels[:len(s.levels)-1]
	return nil
}

func (s *Shell) cmdUp(c *call) error {
	if err := c.want(0, 0); err != nil {
		return err
	}
	return s.pop(c.ctx)
}

func (s *Shell) cmdQuit(c *call) error {
	for len(s.levels) > 1 {
		if err := s.pop(c.ctx); err != nil {
			return err
		}
	}
	s.done = true
	return nil
}

func (s *Shell) cmdCd(c *call) error {
	if err := c.want(0, 1); err != nil {
		return err
	}
	path := "/"
	if len(c.args) == 1 {
		path = c.args[0]
	}
	if strings.HasPrefix(path, "/") {
		for len(s.levels) > 1 {
			if err := s.pop(c.ctx); err != nil {
				return err
			}
		}
	}
	for _, part := range strings.Split(path, "/") {
		switch part {
		case "", ".":
		case "..":
			if err := s.pop(c.ctx); err != nil {
				return err
			}
		default:
			found, err := s.current().find(part)
			if err != nil {
				return err
			}
			if found.level == nil {
				return c.usage("%q is no level", part)
			}
			s.levels = append(s.levels, found.level())
		}
	}
	return nil
}
