package shell

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var rewrite = flag.Bool("rewrite", false, "write docs/reference-commands.md anew")

// TestReferenceCommands compares docs/reference-commands.md with the tables of commands, from which it is made.
func TestReferenceCommands(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	b.WriteString("# Commands of crm\n\nMade from the tables in `crm/shell` by its tests; `go test ./crm/shell -rewrite` renews it. " +
		"`crm help LEVEL COMMAND` says the same with an example.\n\n`help`, `ls`, `cd LEVEL`, `up` and `quit` are on every level.\n")
	seen := map[string]bool{}
	referLevel(&b, root(), seen)
	path := filepath.Join("..", "..", "docs", "reference-commands.md")
	if *rewrite {
		if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(want) != b.String() {
		t.Errorf("%s is not what the tables say; run go test ./crm/shell -rewrite", path)
	}
}

// referLevel writes a level, and then the levels below it that were not written yet.
func referLevel(b *strings.Builder, l *level, seen map[string]bool) {
	cell := strings.NewReplacer("|", "\\|", "\n", " ", "<", "\\<")
	name := l.name
	if name == "" {
		name = "crm"
	}
	seen[l.name] = true
	fmt.Fprintf(b, "\n## %s\n\n%s\n\n| command | what it does |\n|---|---|\n", name, strings.ReplaceAll(l.help, "\n", " "))
	var old []*row
	var below []*level
	for _, c := range l.commands {
		if c.level != nil {
			below = append(below, c.level())
		}
		if c.old {
			old = append(old, c)
			continue
		}
		words := make([]string, 0, 1+len(c.aliases))
		for _, w := range append([]string{c.name}, c.aliases...) {
			words = append(words, "`"+w+"`")
		}
		usage := ""
		if c.args != "" {
			usage = " `" + strings.ReplaceAll(c.args, "|", "\\|") + "`"
		}
		fmt.Fprintf(b, "| %s%s | %s |\n", strings.Join(words, ", "), usage, cell.Replace(c.help))
	}
	slices.SortFunc(old, func(a, b *row) int { return strings.Compare(a.name, b.name) }) // some come from maps
	if len(old) > 0 {
		b.WriteString("\nWords of other shells that are understood here:\n\n| word | |\n|---|---|\n")
		for _, c := range old {
			fmt.Fprintf(b, "| `%s` | %s |\n", c.name, cell.Replace(c.help))
		}
	}
	for _, sub := range below {
		if !seen[sub.name] {
			referLevel(b, sub, seen)
		}
	}
}
