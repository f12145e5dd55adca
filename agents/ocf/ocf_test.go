package ocf

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/quorate/quorate/agents"
	"github.com/quorate/quorate/agents/subprocess"
)

const good = `#!/bin/sh
: "${OCF_RESKEY_state:=none}"
case "$1" in
meta-data) cat <<END
<?xml version="1.0"?>
<resource-agent name="Good"><version>1.1</version><parameters><parameter name="state"><content type="string"/></parameter></parameters>
<actions><action name="start" timeout="20s"/><action name="stop" timeout="20s"/></actions></resource-agent>
END
echo run >>"$(dirname "$0")/../../count";;
start) echo "$OCF_RESKEY_secret" >/dev/null; : >"$OCF_RESKEY_state";;
stop) rm -f "$OCF_RESKEY_state";;
monitor) [ -e "$OCF_RESKEY_state" ] || { echo "ocf-exit-reason:$OCF_RESOURCE_INSTANCE is down" >&2; exit 7; };;
*) exit 3;;
esac
`

func setup(t *testing.T, dirs ...string) *Agent {
	t.Helper()
	l, err := subprocess.New(subprocess.Config{CgroupName: "quorate-ocf-test-" + strconv.Itoa(os.Getpid())})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	var list []*subprocess.Directory
	for _, d := range dirs {
		dir, err := subprocess.NewDirectory(d, subprocess.CurrentOwner(), nil)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, dir)
	}
	a, err := New(Config{Launcher: l, Directories: list})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func write(t *testing.T, path, text string, mode os.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

func request(provider, kind string, op agents.Operation, params map[string]string) agents.Request {
	return agents.Request{ID: "1", Resource: "r1", Agent: agents.Ref{Class: "ocf", Provider: provider, Type: kind}, Operation: op, Timeout: 20 * time.Second, Params: params}
}

func TestRun_LifeOfAResource(t *testing.T) {
	root := t.TempDir()
	write(t, filepath.Join(root, "agents/test/Good"), good, 0o755)
	a := setup(t, filepath.Join(root, "missing"), filepath.Join(root, "agents"))
	params := map[string]string{"state": filepath.Join(root, "state with space; $(touch canary)")}
	for _, step := range []struct {
		op     agents.Operation
		rc     agents.ExitCode
		reason string
	}{
		{agents.OpMonitor, 7, "r1 is down"}, {agents.OpStop, 0, ""}, {agents.OpStart, 0, ""}, {agents.OpStart, 0, ""},
		{agents.OpMonitor, 0, ""}, {agents.OpStop, 0, ""}, {agents.OpMonitor, 7, "r1 is down"}, {agents.OpPromote, 3, ""},
	} {
		res, exe := a.Run(context.Background(), request("test", "Good", step.op, params), map[string]agents.Secret{"secret": agents.NewSecret("hunter2")})
		if res.Status != agents.StatusDone || res.RC != step.rc || res.Reason != step.reason {
			t.Errorf("%s: Run() = %+v, want code %d, reason %q", step.op, res, step.rc, step.reason)
		}
		if exe.File == "" || exe.PID == 0 || !slices.Equal(exe.Args, []string{string(step.op)}) || !slices.Contains(exe.EnvNames, "OCF_RESKEY_secret") {
			t.Errorf("%s: execution = %+v", step.op, exe)
		}
	}
}

func TestRun_Refused(t *testing.T) {
	root := t.TempDir()
	write(t, filepath.Join(root, "a/test/Open"), good, 0o757)
	write(t, filepath.Join(root, "a/test/Plain"), good, 0o644)
	write(t, filepath.Join(root, "b/test/Open"), good, 0o755)
	if err := os.Symlink("/bin/sh", filepath.Join(root, "a/test/Shell")); err != nil {
		t.Fatal(err)
	}
	a := setup(t, filepath.Join(root, "a"), filepath.Join(root, "b"))
	tests := []struct {
		name   string
		req    agents.Request
		status agents.Status
		rc     agents.ExitCode
		text   string
	}{
		{"missing", request("test", "No", "start", nil), agents.StatusNotInstalled, 5, "looked in"},
		{"writable by others, though another directory has a good one", request("test", "Open", "start", nil), agents.StatusError, 4, "chmod o-w"},
		{"not executable", request("test", "Plain", "start", nil), agents.StatusError, 4, "chmod +x"},
		{"link out", request("test", "Shell", "start", nil), agents.StatusError, 4, "leads out"},
		{"path", request("..", "Open", "start", nil), agents.StatusInvalid, 2, "provider"},
		{"shell text", request("test", "$(id)", "start", nil), agents.StatusInvalid, 2, "type"},
		{"parameter", request("test", "Open", "start", map[string]string{"a b": ""}), agents.StatusInvalid, 2, "parameter"},
		{"other class", agents.Request{ID: "1", Resource: "r", Agent: agents.Ref{Class: "lsb", Type: "x"}, Operation: "start", Timeout: 1}, agents.StatusError, 4, "class"},
	}
	for _, tt := range tests {
		res, exe := a.Run(context.Background(), tt.req, nil)
		if res.Status != tt.status || res.RC != tt.rc || !strings.Contains(res.Reason, tt.text) || exe.PID != 0 {
			t.Errorf("%s: Run() = %+v, want %v, code %d, %q", tt.name, res, tt.status, tt.rc, tt.text)
		}
	}
}

func TestMetadata(t *testing.T) {
	root := t.TempDir()
	path := filepath.Join(root, "agents/test/Good")
	write(t, path, good, 0o755)
	write(t, filepath.Join(root, "agents/test/Fails"), "#!/bin/sh\necho no >&2; exit 1\n", 0o755)
	write(t, filepath.Join(root, "agents/test/Endless"), "#!/bin/sh\nhead -c 3000000 /dev/zero\n", 0o755)
	a := setup(t, filepath.Join(root, "agents"))
	ref := agents.Ref{Class: "ocf", Provider: "test", Type: "Good"}
	for range 3 {
		text, err := a.Metadata(context.Background(), ref)
		if err != nil {
			t.Fatal(err)
		}
		if m, err := agents.ParseMetadata(text); err != nil || m.Name != "Good" {
			t.Errorf("ParseMetadata() = %v, %v", m, err)
		}
	}
	if count, _ := os.ReadFile(filepath.Join(root, "count")); string(count) != "run\n" {
		t.Errorf("the agent ran %q, want once", count)
	}
	write(t, path, strings.Replace(good, `name="Good"`, `name="Better"`, 1), 0o755)
	if text, err := a.Metadata(context.Background(), ref); err != nil || !strings.Contains(string(text), "Better") {
		t.Errorf("Metadata() of the changed agent = %q, %v", text, err)
	}
	for _, name := range []string{"Fails", "Endless"} {
		if _, err := a.Metadata(context.Background(), agents.Ref{Class: "ocf", Provider: "test", Type: name}); !errors.Is(err, agents.ErrMetadata) {
			t.Errorf("Metadata(%s) = %v, want ErrMetadata", name, err)
		}
	}
	if _, err := a.Metadata(context.Background(), agents.Ref{Class: "ocf", Provider: "test", Type: "No"}); !errors.Is(err, subprocess.ErrNotFound) {
		t.Errorf("Metadata() of a missing agent = %v", err)
	}
}

func TestList(t *testing.T) {
	root := t.TempDir()
	for _, name := range []string{"a/p/One", "a/q/Two", "b/p/One", "b/p/Three"} {
		write(t, filepath.Join(root, name), good, 0o755)
	}
	write(t, filepath.Join(root, "a/p/.hidden"), "", 0o755)
	write(t, filepath.Join(root, "a/p/readme.txt"), "", 0o644)
	write(t, filepath.Join(root, "a/file"), "", 0o755)
	a := setup(t, filepath.Join(root, "a"), filepath.Join(root, "b"), filepath.Join(root, "none"))
	got, err := a.List(context.Background())
	var names []string
	for _, r := range got {
		names = append(names, r.String())
	}
	if want := "ocf:p:One ocf:p:Three ocf:q:Two"; err != nil || strings.Join(names, " ") != want {
		t.Errorf("List() = %v, %v, want %s", names, err, want)
	}
}

// Real agents of the distribution, unmodified.
func TestRealAgents(t *testing.T) {
	resourceD := filepath.Join(DefaultRoot, "resource.d")
	for _, provider := range []string{"heartbeat", "pacemaker"} {
		t.Run(provider, func(t *testing.T) {
			if _, err := os.Stat(filepath.Join(resourceD, provider, "Dummy")); err != nil {
				t.Skipf("ocf:%s:Dummy is not installed: %v", provider, err)
			}
			a := setup(t, resourceD)
			state := t.TempDir()
			params := map[string]string{"state": filepath.Join(state, "state")}
			for _, step := range []struct {
				op agents.Operation
				rc agents.ExitCode
			}{{"monitor", 7}, {"start", 0}, {"monitor", 0}, {"validate-all", 0}, {"stop", 0}, {"monitor", 7}} {
				req := request(provider, "Dummy", step.op, params)
				res, _ := a.Run(context.Background(), req, nil)
				if res.Status != agents.StatusDone || res.RC != step.rc {
					t.Errorf("%s: Run() = %+v, want code %d", step.op, res, step.rc)
				}
			}
			text, err := a.Metadata(context.Background(), agents.Ref{Class: "ocf", Provider: provider, Type: "Dummy"})
			if err != nil {
				t.Fatal(err)
			}
			if m, err := agents.ParseMetadata(text); err != nil || m.Name != "Dummy" || !m.SupportsRun {
				t.Errorf("ParseMetadata() = %+v, %v", m, err)
			}
			list, err := a.List(context.Background())
			if err != nil || !slices.Contains(list, agents.Ref{Class: "ocf", Provider: provider, Type: "Dummy"}) {
				t.Errorf("List() has no Dummy: %v", err)
			}
		})
	}
}
