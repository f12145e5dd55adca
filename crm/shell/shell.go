package shell

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/quorate/quorate/crm/api/editor"
	"github.com/quorate/quorate/crm/version"
)

// Exit codes of crm.
const (
	exitOK    = 0
	exitError = 1
	exitUsage = 2
)

// Config is what a Shell needs from outside. Zero fields have working defaults but for the streams.
type Config struct {
	In       io.Reader
	Out, Err io.Writer
	// Getenv reads the environment; nil = os.Getenv.
	Getenv func(string) string
	// Terminal says that In and Out are a terminal: prompts, history and completion.
	Terminal bool
}

// Shell is one run of the crm command.
type Shell struct {
	cfg  Config
	in   *bufio.Reader
	out  io.Writer
	err  io.Writer
	opts options

	levels    []*level // from the root to the present one
	backend   editor.Backend
	shadow    string    // the shadow in use; "" = none
	window    window    // of time and events that the level history shows
	word      string    // at the cursor, while it is completed
	filledIn  string    // the filled-in template that the level template means; "" = none
	temporary string    // a shadow that ends with this run; "" = none
	work      *workArea // of the configure level; nil = not opened

	interactive bool // a person types: questions make sense
	line        int  // of the input, in batch mode
	file        string
	failed      bool // a command of the batch failed
	done        bool // quit was typed
	editor      *lineEditor
	agents      map[string]metadataResult
}

// options are the switches before the command.
type options struct {
	force   bool
	wait    bool
	no      bool // answer no to questions
	yes     bool
	file    string
	message string
	socket  string
	display string
	editor  string
	shadow  string
}

// Run carries out the crm command with the given arguments (without the program's name) and returns its exit
// code: 0, 1 when a command failed, 2 when it could not be understood.
func Run(ctx context.Context, cfg Config, args []string) int {
	if cfg.Getenv == nil {
		cfg.Getenv = os.Getenv
	}
	s := &Shell{cfg: cfg, out: cfg.Out, err: cfg.Err, levels: []*level{root()}}
	rest, code, stop := s.flags(args)
	if stop {
		return code
	}
	if err := s.useAtStart(); err != nil {
		s.fail(err)
		return exitError
	}
	defer s.dropTemporary()
	if len(rest) > 0 {
		return s.oneShot(ctx, rest)
	}
	in := cfg.In
	if s.opts.file != "" && s.opts.file != "-" {
		f, err := os.Open(s.opts.file)
		if err != nil {
			s.fail(err)
			return exitError
		}
		defer f.Close()
		in, s.file = f, s.opts.file
		s.cfg.Terminal = false
	}
	return s.session(ctx, in)
}

const usage = `usage: crm [-f FILE] [-F] [-w] [-n] [-y] [-m TEXT] [-c SHADOW] [--socket PATH] [LEVEL ...] [COMMAND [ARGUMENTS]]

  -f, --file FILE   read commands from FILE ("-": standard input)
  -F, --force       go on where a check refuses
  -w, --wait        after a change, wait until the cluster has done what follows from it
  -n, --no          answer "no" to questions        -y, --yes   answer "yes"
  -m TEXT           why: goes into the record of the change
  -c, --cib NAME    work on a shadow copy ("crm cib new NAME" makes one)
  --socket PATH     API socket of the node (default: QUORATE_SOCKET, or run/api.sock below QUORATE_ROOT)
  --version         print the version

Without a command crm reads commands from the terminal or standard input. "crm help" lists levels and commands.
`

// flags takes the switches in front of the command. stop says that nothing else is to be done.
func (s *Shell) flags(args []string) (rest []string, code int, stop bool) {
	value := func(i *int) (string, bool) {
		if *i+1 >= len(args) {
			fmt.Fprintf(s.err, "ERROR: %s needs a value\n%s", args[*i], usage)
			return "", false
		}
		*i++
		return args[*i], true
	}
	for i := 0; i < len(args); i++ {
		a := args[i]
		name, inline, hasInline := strings.Cut(a, "=")
		get := func() (string, bool) {
			if hasInline && strings.HasPrefix(a, "--") {
				return inline, true
			}
			return value(&i)
		}
		var ok = true
		switch {
		case a == "--":
			return args[i+1:], 0, false
		case !strings.HasPrefix(a, "-") || a == "-":
			return args[i:], 0, false
		case a == "-F" || a == "--force":
			s.opts.force = true
		case a == "-w" || a == "--wait":
			s.opts.wait = true
		case a == "-n" || a == "--no":
			s.opts.no = true
		case a == "-y" || a == "--yes":
			s.opts.yes = true
		case a == "-d" || a == "--debug" || a == "-R" || a == "--regression-tests":
		case a == "-h" || a == "--help":
			fmt.Fprint(s.out, usage)
			return nil, exitOK, true
		case a == "--compgen":
			s.compgen(context.Background())
			return nil, exitOK, true
		case a == "--version":
			fmt.Fprintf(s.out, "crm %s\n", version.Version)
			return nil, exitOK, true
		case a == "-f" || name == "--file":
			s.opts.file, ok = get()
		case a == "-m" || name == "--message":
			s.opts.message, ok = get()
		case name == "--socket":
			s.opts.socket, ok = get()
		case a == "-D" || name == "--display":
			s.opts.display, ok = get()
		case a == "-c" || name == "--cib":
			s.opts.shadow, ok = get()
		default:
			fmt.Fprintf(s.err, "ERROR: %q is no switch of crm\n%s", a, usage)
			return nil, exitUsage, true
		}
		if !ok {
			return nil, exitUsage, true
		}
	}
	return nil, 0, false
}

// fail reports an error that was not reported yet.
func (s *Shell) fail(err error) {
	var many *errorList
	if errors.As(err, &many) {
		for _, e := range many.errs {
			s.fail(e)
		}
		var h *hinted
		if errors.As(err, &h) && h.err == error(many) {
			fmt.Fprintf(s.err, "Hint: %s\n", h.hint)
		}
		return
	}
	where := ""
	if s.line > 0 && s.file != "" {
		where = fmt.Sprintf("%s:%d: ", s.file, s.line)
	}
	text, hint := err.Error(), ""
	var h *hinted
	if errors.As(err, &h) {
		hint = h.hint
	}
	fmt.Fprintf(s.err, "ERROR: %s%s\n", where, text)
	if hint != "" {
		fmt.Fprintf(s.err, "Hint: %s\n", hint)
	}
}

func (s *Shell) warn(format string, args ...any) {
	fmt.Fprintf(s.err, "WARNING: "+format+"\n", args...)
}

func (s *Shell) info(format string, args ...any) {
	fmt.Fprintf(s.out, "INFO: "+format+"\n", args...)
}

func (s *Shell) printf(format string, args ...any) { fmt.Fprintf(s.out, format, args...) }

// errorList is several errors, each worth a line.
type errorList struct{ errs []error }

func (e *errorList) Error() string {
	list := make([]string, len(e.errs))
	for i, x := range e.errs {
		list[i] = x.Error()
	}
	return strings.Join(list, "; ")
}

// hinted is an error with what to do next.
type hinted struct {
	err  error
	hint string
}

func (h *hinted) Error() string { return h.err.Error() }
func (h *hinted) Unwrap() error { return h.err }

func hint(err error, format string, args ...any) error {
	return &hinted{err, fmt.Sprintf(format, args...)}
}

// usageError says that a command was called wrongly.
type usageError struct {
	cmd  *row
	text string
}

func (e *usageError) Error() string {
	return fmt.Sprintf("%s: %s; usage: %s", e.cmd.name, e.text, strings.TrimSpace(e.cmd.name+" "+e.cmd.args))
}

// session reads commands until the end of the input.
func (s *Shell) session(ctx context.Context, in io.Reader) int {
	s.in = bufio.NewReaderSize(in, 1<<16)
	if s.cfg.Terminal {
		return s.converse(ctx)
	}
	for !s.done {
		text, more, err := s.readStatement()
		if err != nil {
			s.fail(err)
			return exitError
		}
		if strings.TrimSpace(text) != "" {
			if err := s.execute(ctx, text); err != nil {
				s.fail(err)
				s.failed = true
				if !s.opts.force {
					if s.work != nil && s.work.changed() {
						fmt.Fprintln(s.err, "Nothing of the uncommitted changes was stored.")
					}
					return exitError
				}
			}
		}
		if !more {
			break
		}
	}
	if err := s.leave(ctx); err != nil {
		s.fail(err)
		s.failed = true
	}
	if s.failed {
		return exitError
	}
	return exitOK
}

// maxStatement bounds one statement of the input.
const maxStatement = 8 << 20

// readStatement reads one line with its continuation lines. more is false at the end of the input.
func (s *Shell) readStatement() (text string, more bool, err error) {
	var b strings.Builder
	for {
		l, err := s.in.ReadString('\n')
		if err != nil && err != io.EOF {
			return "", false, fmt.Errorf("read commands: %w", err)
		}
		end := err == io.EOF
		if l != "" {
			s.line++
		}
		l = strings.TrimRight(l, "\r\n")
		if b.Len()+len(l) > maxStatement {
			return "", false, fmt.Errorf("line %d: one statement has more than %d bytes", s.line, maxStatement)
		}
		t := strings.TrimRight(l, " \t")
		if strings.HasSuffix(t, `\`) && !strings.HasSuffix(t, `\\`) && !end && !strings.HasPrefix(strings.TrimSpace(l), "#") {
			b.WriteString(t[:len(t)-1] + " ")
			continue
		}
		b.WriteString(l)
		return b.String(), !end, nil
	}
}

// execute carries out one line.
func (s *Shell) execute(ctx context.Context, text string) error {
	text = strings.TrimSpace(text)
	if strings.HasPrefix(text, "#") || text == "" {
		return nil
	}
	words, err := splitWords(text)
	if err != nil {
		return err
	}
	return s.dispatch(ctx, words, text)
}

// dispatch runs words at the present level; levels in front of a command are entered for that command alone,
// levels without a command for good.
func (s *Shell) dispatch(ctx context.Context, words []string, text string) error {
	before := slices.Clone(s.levels)
	for i := 0; i < len(words); i++ {
		l := s.levels[len(s.levels)-1]
		c, err := l.find(words[i])
		if err != nil {
			s.levels = before
			return err
		}
		if c.level != nil {
			// A level may be a command too: "status" shows, "status help" is the topic.
			if c.run == nil || i+1 < len(words) && c.level().has(words[i+1]) {
				s.levels = append(slices.Clone(s.levels), c.level())
				continue
			}
		}
		rest := words[i+1:]
		if len(rest) == 1 && isHelp(rest[0]) && !c.raw {
			s.printHelp(l, c)
			s.levels = before
			return nil
		}
		if i > 0 {
			text = "" // words of levels stand in front
		}
		err = c.run(s, &call{ctx: ctx, cmd: c, args: rest, text: text})
		if len(s.levels) > 0 && !c.moves {
			// The work area of a level that was visited for one command is closed with it.
			visited := s.levels[len(s.levels)-1]
			if err == nil && visited.leave != nil && visited != before[len(before)-1] {
				err = visited.leave(ctx, s)
			}
			s.levels = before
		}
		return err
	}
	return nil
}

// oneShot carries out the command of the command line.
func (s *Shell) oneShot(ctx context.Context, words []string) int {
	for i := 0; i < len(words); i++ {
		l := s.levels[len(s.levels)-1]
		c, err := l.find(words[i])
		if err != nil {
			s.fail(err)
			return exitError
		}
		if c.level != nil && (c.run == nil || i+1 < len(words) && c.level().has(words[i+1])) {
			s.levels = append(s.levels, c.level())
			if i == len(words)-1 {
				return s.session(ctx, s.cfg.In)
			}
			continue
		}
		if err := s.dispatch(ctx, words[i:], ""); err != nil {
			s.fail(err)
			return exitError
		}
		if err := s.leave(ctx); err != nil {
			s.fail(err)
			return exitError
		}
		break
	}
	return exitOK
}

// leave closes the levels at the end of a run that is not interactive: what was changed is committed.
func (s *Shell) leave(ctx context.Context) error {
	if s.work == nil || !s.work.changed() {
		return nil
	}
	if s.failed {
		return errors.New("a command failed before: nothing of the changes was stored")
	}
	return s.commit(ctx, s.opts.message, s.opts.force)
}
