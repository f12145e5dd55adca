package shell

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A shell whose terminal has gone ends although it has changes that nobody can be asked about. It reads from the standard input,
// which is empty here.
func TestConverse_EndOfTheTerminal(t *testing.T) {
	o := newOffline(t)
	o.env["HOME"] = t.TempDir()
	t.Setenv("XDG_CACHE_HOME", o.env["HOME"])
	empty, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer empty.Close()
	stdin := os.Stdin
	os.Stdin = empty
	defer func() { os.Stdin = stdin }()

	before, err := os.ReadFile(o.file)
	if err != nil {
		t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	s := &Shell{cfg: Config{Out: &stdout, Err: &stderr, Terminal: true, Getenv: func(name string) string { return o.env[name] }},
		out: &stdout, err: &stderr, levels: []*level{root()}}
	if err := s.useAtStart(); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"configure", "primitive new ocf:heartbeat:Dummy"} {
		if err := s.execute(context.Background(), line); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
	}
	if code := s.converse(context.Background()); code != exitError {
		t.Errorf("exit %d, want %d", code, exitError)
	}
	if !strings.Contains(stderr.String(), "what was not committed is dropped") {
		t.Errorf("it said %q", stderr.String())
	}
	if after, _ := os.ReadFile(o.file); !bytes.Equal(after, before) {
		t.Errorf("%s was changed", filepath.Base(o.file))
	}
}
