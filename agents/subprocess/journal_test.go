package subprocess

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Files of the journal are used again, and show a run only while it goes on.
func TestJournal(t *testing.T) {
	t.Parallel()
	j := journal{dir: t.TempDir()}
	read := func() (marks []string) {
		files, err := filepath.Glob(filepath.Join(j.dir, "*"))
		must(t, err)
		for _, name := range files {
			text, err := os.ReadFile(name)
			must(t, err)
			if mark, run, ok := parseEntry(text); ok {
				marks = append(marks, mark[:1]+" "+run.Path+" "+run.Label)
			}
		}
		return marks
	}
	mark := func(c string) string { return strings.Repeat(c, 2*markBytes) }
	a, err := j.enter(mark("a"), "/bin/long-name", "db monitor\nx.1")
	must(t, err)
	b, err := j.enter(mark("b"), "/b", "")
	must(t, err)
	if got := strings.Join(read(), ", "); got != "a /bin/long-name db monitor x.1, b /b " {
		t.Errorf("two runs: %s", got)
	}
	j.leave(a)
	if got := strings.Join(read(), ", "); got != "b /b " {
		t.Errorf("one ended: %s", got)
	}
	again, err := j.enter(mark("c"), "/c", "s")
	must(t, err)
	if got := strings.Join(read(), ", "); got != "c /c s, b /b " || again != a {
		t.Errorf("another in the same file: %s", got)
	}
	j.leave(b)
	j.leave(again)
	if got := read(); len(got) != 0 || j.made != 2 {
		t.Errorf("all ended: %v, %d files", got, j.made)
	}
	j.close()
	if files, _ := os.ReadDir(j.dir); len(files) != 0 {
		t.Errorf("%d files are left", len(files))
	}
	for _, text := range []string{"", "\n\n\n", mark("a"), mark("a") + "\n/bin/x\nla", mark("z") + "\n/a\nb\n", mark("\x00") + "\n/a\nb\n"} {
		if _, run, ok := parseEntry([]byte(text)); ok {
			t.Errorf("parseEntry(%q) = %+v, want none", text, run)
		}
	}
}
