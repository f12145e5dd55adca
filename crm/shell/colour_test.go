package shell

import (
	"regexp"
	"strings"
	"testing"
)

// TestColoured takes the colours away again: the text is the same, and there were some.
func TestColoured(t *testing.T) {
	t.Parallel()
	o := newOffline(t)
	o.must("configure", "primitive", "x", "ocf:test:Dummy", "params", "a=1", "op", "monitor", "interval=10s", "meta", "priority=2")
	plain := o.must("configure", "show")
	bright := o.must("-D", "color-always", "configure", "show")
	if !strings.Contains(bright, colourKeyword+"primitive"+colourEnd+" "+colourID+"x"+colourEnd) {
		t.Errorf("no colours in\n%q", bright)
	}
	if got := regexp.MustCompile("\x1b\\[[0-9]*m").ReplaceAllString(bright, ""); got != plain {
		t.Errorf("without colours:\n%s\nwant\n%s", got, plain)
	}
	for _, test := range []struct {
		terminal bool
		display  string
		env      string
		want     bool
	}{{true, "", "", true}, {false, "", "", false}, {true, "plain", "", false}, {true, "", "NO_COLOR", false}} {
		s := &Shell{cfg: Config{Terminal: test.terminal, Getenv: func(name string) string {
			if name == test.env {
				return "1"
			}
			return ""
		}}, opts: options{display: test.display}}
		if got := s.colours(); got != test.want {
			t.Errorf("%+v: colours = %v", test, got)
		}
	}
}

// TestHelp_Complete checks that every command says what it does, and every command with arguments has an example; and that
// "help" of each works.
func TestHelp_Complete(t *testing.T) {
	t.Parallel()
	o := newOffline(t)
	seen := make(map[string]bool)
	var walk func(path []string, l *level)
	walk = func(path []string, l *level) {
		if seen[l.name] {
			return
		}
		seen[l.name] = true
		for _, c := range l.commands {
			words := append(append([]string(nil), path...), c.name)
			if c.help == "" || c.args != "" && c.example == "" && c.run != nil && !c.old {
				t.Errorf("%s: no help or no example", strings.Join(words, " "))
			}
			if got := o.must(append(append([]string(nil), path...), "help", c.name)...); !strings.Contains(got, c.help) && c.level == nil {
				t.Errorf("help %s:\n%s", strings.Join(words, " "), got)
			}
			if c.level != nil {
				walk(words, c.level())
			}
		}
	}
	walk(nil, root())
	for topic := range topics {
		if got := o.must("help", topic); !strings.Contains(got, topics[topic]) {
			t.Errorf("help %s:\n%s", topic, got)
		}
	}
}

func TestOptions(t *testing.T) {
	t.Parallel()
	o := newOffline(t)
	code, out, err := o.crm("options\nwait yes\nset editor nano\noutput plain\nshow\n")
	if code != 0 || out != "editor \"nano\"\nforce \"no\"\noutput \"plain\"\nwait \"yes\"\n" {
		t.Errorf("exit %d, %q, %s", code, out, err)
	}
	for _, test := range []struct{ args, want string }{{"set nosuch 1", "no setting"}, {"wait maybe", "neither yes nor no"}, {"output green", "neither plain nor color"}, {"show nosuch", "no setting"}, {"pager less", "no such preference"}} {
		o.refusedOffline(test.want, append([]string{"options"}, strings.Fields(test.args)...)...)
	}
}
