package lsb

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/quorate/quorate/agents"
	"github.com/quorate/quorate/agents/subprocess"
)

const script = `#!/bin/sh
### BEGIN INIT INFO
# Provides:          web
# Short-Description: The <web> server
# Description:       It serves
#                    pages.
### END INIT INFO
state="${0%/*}/../state"
case "$1" in
start) : >"$state";;
stop) rm -f "$state";;
status) [ -e "$state" ] || exit 3;;
*) echo "what is $1" >&2; exit 3;;
esac
`

func setup(t *testing.T) (*Agent, string) {
	t.Helper()
	l, err := subprocess.New(subprocess.Config{CgroupName: "quorate-lsb-test-" + strconv.Itoa(os.Getpid())})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	path := filepath.Join(t.TempDir(), "init.d")
	if err := os.Mkdir(path, 0o755); err != nil {
		t.Fatal(err)
	}
	dir, err := subprocess.NewDirectory(path, subprocess.CurrentOwner(), nil)
	if err != nil {
		t.Fatal(err)
	}
	a, err := New(Config{Launcher: l, Directory: dir})
	if err != nil {
		t.Fatal(err)
	}
	return a, path
}

func write(t *testing.T, dir, name, text string, mode os.FileMode) {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

func request(name string, op agents.Operation) agents.Request {
	return agents.Request{ID: "1", Resource: "web", Agent: agents.Ref{Class: agents.ClassLSB, Type: name}, Operation: op, Timeout: 20 * time.Second}
}

func TestRun(t *testing.T) {
	t.Parallel()
	a, dir := setup(t)
	write(t, dir, "web", script, 0o755)
	for _, step := range []struct {
		op   agents.Operation
		want agents.ExitCode
	}{
		{agents.OpMonitor, agents.RCNotRunning}, {agents.OpStart, agents.RCOK}, {agents.OpMonitor, agents.RCOK},
		{agents.OpStop, agents.RCOK}, {agents.OpMonitor, agents.RCNotRunning}, {agents.OpReload, agents.RCUnimplemented},
	} {
		if res, _ := a.Run(t.Context(), request("web", step.op), nil); res.Status != agents.StatusDone || res.RC != step.want {
			t.Errorf("%s = %+v, want code %v", step.op, res, step.want)
		}
	}
	if res, _ := a.Run(t.Context(), request("web", agents.OpPromote), nil); res.RC != agents.RCUnimplemented {
		t.Errorf("promote = %+v, want unimplemented", res)
	}
}

func TestRun_StatusCodes(t *testing.T) {
	t.Parallel()
	a, dir := setup(t)
	for code, want := range map[int]agents.ExitCode{0: agents.RCOK, 1: agents.RCNotRunning, 2: agents.RCNotRunning, 3: agents.RCNotRunning,
		4: agents.RCGeneric, 5: agents.RCGeneric, 150: agents.RCGeneric} {
		name := fmt.Sprintf("s%d", code)
		write(t, dir, name, fmt.Sprintf("#!/bin/sh\nexit %d\n", code), 0o755)
		if res, _ := a.Run(t.Context(), request(name, agents.OpMonitor), nil); res.RC != want {
			t.Errorf("status %d = %+v, want code %v", code, res, want)
		}
	}
}

func TestRun_Refused(t *testing.T) {
	t.Parallel()
	a, dir := setup(t)
	write(t, dir, "open", script, 0o777)
	write(t, dir, "plain", script, 0o644)
	for _, c := range []struct {
		name   string
		status agents.Status
		reason string
	}{
		{"none", agents.StatusNotInstalled, "not installed"},
		{"open", agents.StatusError, "chmod o-w"},
		{"plain", agents.StatusError, "chmod +x"},
	} {
		res, _ := a.Run(t.Context(), request(c.name, agents.OpStart), nil)
		if res.Status != c.status || !strings.Contains(res.Reason, c.reason) {
			t.Errorf("%s: Run() = %+v, want %v with %q", c.name, res, c.status, c.reason)
		}
	}
	// Class service allows names of units, which are no file names here.
	req := request("web@1", agents.OpStart)
	req.Agent.Class = agents.ClassService
	if res, _ := a.Run(t.Context(), req, nil); res.Status != agents.StatusError {
		t.Errorf("a unit name: Run() = %+v, want it refused", res)
	}
}

func TestListAndMetadata(t *testing.T) {
	t.Parallel()
	a, dir := setup(t)
	write(t, dir, "web", script, 0o755)
	write(t, dir, "README", "text", 0o644)
	list, err := a.List(t.Context())
	if err != nil || len(list) != 1 || list[0].String() != "lsb:web" {
		t.Fatalf("List() = %v, %v, want lsb:web", list, err)
	}
	text, err := a.Metadata(t.Context(), list[0])
	if err != nil {
		t.Fatal(err)
	}
	meta, err := agents.ParseMetadata(text)
	if err != nil || meta.ShortDesc != "The <web> server" || meta.LongDesc != "It serves pages." {
		t.Errorf("metadata = %+v, %v", meta, err)
	}
}

func FuzzHeader(f *testing.F) {
	f.Add([]byte(script))
	f.Add([]byte("### BEGIN INIT INFO\n# Description:\n#  "))
	f.Fuzz(func(t *testing.T, text []byte) {
		short, long := header(text)
		if _, err := agents.ParseMetadata(Describe("x", "y", short, long)); err != nil {
			t.Errorf("header %q, %q gives metadata that does not parse: %v", short, long, err)
		}
	})
}
