package device

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/quorate/quorate/agents"
	"github.com/quorate/quorate/agents/subprocess"
	"github.com/quorate/quorate/fencing"
)

// The switch: it keeps the state of each plug in a file, and what it was told in another.
const agent = `#!/bin/sh
dir=$(dirname "$0")
cat >"$dir/input"; printf '%s\0' "$0" "$@" >"$dir/args"; env >"$dir/env"
get() { sed -n "s/^$1=//p" "$dir/input"; }
case $(get action) in
metadata) echo '<?xml version="1.0"?><resource-agent name="fence_test" shortdesc="x"><parameters><parameter name="password"/></parameters><actions><action name="off"/></actions></resource-agent>'; echo m >>"$dir/count";;
on|off|cut) [ "$(get password)" = "pass word=1" ] || { echo "Connecting" >&2; echo "Unable to connect/login: $(get password)" >&2; exit 1; }; get action >"$dir/state-$(get port)";;
status) [ "$(cat "$dir/state-$(get port)")" = off ] && exit 2; exit 0;;
list) i=0; while [ $i -lt 500 ]; do echo "plug$i,machine$i"; i=$((i+1)); done;;
monitor) exit 0;;
reboot) trap '' TERM; sleep 100; sleep 100;;
*) exit 3;;
esac
`

func setup(t *testing.T, dirs ...string) *Agent {
	t.Helper()
	l, err := subprocess.New(subprocess.Config{CgroupName: "quorate-device-test-" + strconv.Itoa(os.Getpid())})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	cfg := Config{Launcher: l, Grace: 200 * time.Millisecond}
	for _, d := range dirs {
		dir, err := subprocess.NewDirectory(d, subprocess.CurrentOwner(), nil)
		if err != nil {
			t.Fatal(err)
		}
		cfg.Directories = append(cfg.Directories, dir)
	}
	a, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func install(t *testing.T, mode os.FileMode) string {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "fence_test")
	if err := os.WriteFile(path, []byte(agent), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
	return dir
}

func request(kind string, op agents.Operation, params map[string]string) agents.Request {
	return agents.Request{ID: "1", Resource: "power", Agent: agents.Ref{Class: "stonith", Type: kind}, Operation: op, Timeout: 20 * time.Second, Params: params}
}

var password = map[string]agents.Secret{"password": agents.NewSecret("pass word=1")}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestRun_Switch(t *testing.T) {
	dir := install(t, 0o755)
	a := setup(t, filepath.Join(dir, "none"), dir)
	params := map[string]string{"port": "3", "pcmk_host_list": "n1 n2", "action": "on", "option": "on", "empty": ""}
	for _, step := range []struct {
		op agents.Operation
		rc agents.ExitCode
	}{{"start", 0}, {"monitor", 0}, {"off", 0}, {"status", StatusOff}, {"on", 0}, {"status", 0}, {"stop", 0}} {
		res, _ := a.Run(context.Background(), request("fence_test", step.op, params), password)
		if res.Status != agents.StatusDone || res.RC != step.rc || res.Reason != "" || res.ID != "1" {
			t.Errorf("%s: Run() = %+v, want code %d", step.op, res, step.rc)
		}
	}
	if res, _ := a.Run(context.Background(), request("fence_test", "off", params), password); res.RC != 0 {
		t.Errorf("off: Run() = %+v", res)
	}
	if got, want := read(t, filepath.Join(dir, "input")), "action=off\nempty=\npassword=pass word=1\nport=3\n"; got != want {
		t.Errorf("input = %q, want %q", got, want)
	}
	// Nothing on the command line or in the environment.
	if args := read(t, filepath.Join(dir, "args")); strings.Trim(args, "\x00") != filepath.Join(dir, "fence_test") {
		t.Errorf("arguments = %q, want the name alone", args)
	}
	if env := read(t, filepath.Join(dir, "env")); strings.Contains(env, "pass word") || strings.Contains(env, "port") {
		t.Errorf("environment = %q has parameters", env)
	}
	params["pcmk_off_action"] = "cut"
	if res, _ := a.Run(context.Background(), request("fence_test", "off", params), password); res.RC != 0 || read(t, filepath.Join(dir, "state-3")) != "cut\n" {
		t.Errorf("off by another name: Run() = %+v", res)
	}
}

func TestRun_Failures(t *testing.T) {
	dir := install(t, 0o755)
	a := setup(t, dir)
	wrong := map[string]agents.Secret{"password": agents.NewSecret("wrong-password")}
	res, exe := a.Run(context.Background(), request("fence_test", "off", map[string]string{"port": "1"}), wrong)
	if res.Status != agents.StatusDone || res.RC != 1 || res.Reason != "Unable to connect/login: (secret)" || strings.Contains(res.Output, "wrong-password") {
		t.Errorf("wrong password: Run() = %+v", res)
	}
	if exe.SHA256 == "" || exe.PID == 0 || len(exe.Args) != 0 {
		t.Errorf("execution = %+v", exe)
	}
	if _, err := os.Stat(filepath.Join(dir, "state-1")); err == nil {
		t.Error("the switch acted on a wrong password")
	}
	hang := request("fence_test", "reboot", nil)
	hang.Timeout = 300 * time.Millisecond
	if res, exe := a.Run(context.Background(), hang, nil); res.Status != agents.StatusTimeout || !exe.Killed || exe.Leftover != 0 || res.ExecTime > 3*time.Second {
		t.Errorf("hanging: Run() = %+v, %+v", res, exe)
	}
	res, _ = a.Run(context.Background(), request("fence_test", "list", nil), nil)
	if plugs := fencing.ParseList(res.Output); len(plugs) != 1000 || plugs[999] != "machine499" {
		t.Errorf("list: %d plugs, want 500 (%+v)", len(plugs), res)
	}
}

func TestRun_Refused(t *testing.T) {
	good, open := install(t, 0o755), install(t, 0o757)
	if err := errors.Join(os.WriteFile(filepath.Join(good, "other"), []byte("#!/bin/sh\n"), 0o755), os.Chmod(filepath.Join(good, "other"), 0o755)); err != nil {
		t.Fatal(err)
	}
	a := setup(t, good)
	tests := []struct {
		name    string
		a       *Agent
		req     agents.Request
		secrets map[string]agents.Secret
		status  agents.Status
		text    string
	}{
		{"missing", a, request("fence_none", "off", nil), nil, agents.StatusNotInstalled, "looked in"},
		{"no fence agent", a, request("other", "off", nil), nil, agents.StatusError, "begins with fence_"},
		{"writable by others", setup(t, open), request("fence_test", "off", nil), nil, agents.StatusError, "chmod o-w"},
		{"path", a, request("fence_../../bin/sh", "off", nil), nil, agents.StatusInvalid, "not allowed"},
		{"operation", a, request("fence_test", "promote", nil), nil, agents.StatusNotSupported, "promote"},
		{"newline in value", a, request("fence_test", "off", map[string]string{"port": "1\naction=on"}), nil, agents.StatusInvalid, "line break"},
		{"return in value", a, request("fence_test", "off", map[string]string{"port": "1\raction=on"}), nil, agents.StatusInvalid, "line break"},
		{"NUL in value", a, request("fence_test", "off", map[string]string{"port": "1\x00"}), nil, agents.StatusInvalid, "NUL"},
		{"newline in secret", a, request("fence_test", "off", nil), map[string]agents.Secret{"password": agents.NewSecret("x\ny")}, agents.StatusInvalid, "line break"},
		{"action name", a, request("fence_test", "off", map[string]string{"pcmk_off_action": "on\nport=2"}), nil, agents.StatusInvalid, "fence action"},
		{"other class", a, agents.Request{ID: "1", Resource: "r", Agent: agents.Ref{Class: "lsb", Type: "fence_test"}, Operation: "off", Timeout: 1}, nil, agents.StatusError, "class"},
	}
	for _, tt := range tests {
		res, exe := tt.a.Run(context.Background(), tt.req, tt.secrets)
		if res.Status != tt.status || res.RC == 0 || !strings.Contains(res.Reason, tt.text) || exe.PID != 0 {
			t.Errorf("%s: Run() = %+v, want %v with %q", tt.name, res, tt.status, tt.text)
		}
	}
	if _, err := os.Stat(filepath.Join(good, "input")); err == nil {
		t.Error("the agent ran")
	}
}

func TestMetadataAndList(t *testing.T) {
	dir := install(t, 0o755)
	if err := os.WriteFile(filepath.Join(dir, "fence_bad"), []byte("#!/bin/sh\necho broken >&2; exit 1\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "fence_notes"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	a := setup(t, dir)
	for range 2 {
		text, err := a.Metadata(context.Background(), agents.Ref{Class: "stonith", Type: "fence_test"})
		if err != nil {
			t.Fatal(err)
		}
		m, err := agents.ParseMetadata(text)
		if err != nil || m.Name != "fence_test" || !m.Parameters[0].Private {
			t.Errorf("ParseMetadata() = %+v, %v", m, err)
		}
	}
	if count := read(t, filepath.Join(dir, "count")); count != "m\n" {
		t.Errorf("the agent ran %q, want once", count)
	}
	if _, err := a.Metadata(context.Background(), agents.Ref{Class: "stonith", Type: "fence_bad"}); !errors.Is(err, agents.ErrMetadata) || !strings.Contains(err.Error(), "broken") {
		t.Errorf("Metadata() of a broken agent = %v", err)
	}
	list, err := a.List(context.Background())
	want := []agents.Ref{{Class: "stonith", Type: "fence_bad"}, {Class: "stonith", Type: "fence_test"}}
	if err != nil || !reflect.DeepEqual(list, want) {
		t.Errorf("List() = %v, %v, want %v", list, err, want)
	}
}

func FuzzInput(f *testing.F) {
	f.Add("off", "port", "1", "secret")
	f.Add("off", "a=b", "1\naction=on", "x\x00")
	f.Fuzz(func(t *testing.T, action, name, value, secret string) {
		text, err := input(action, map[string]string{name: value}, map[string]agents.Secret{"password": agents.NewSecret(secret)})
		if err != nil {
			return
		}
		if !bytes.HasPrefix(text, []byte("action="+action+"\n")) || bytes.Count(text, []byte("\n")) > 3 || bytes.Count(text, []byte("action=")) > 1+strings.Count(name+value+secret, "action=") {
			t.Fatalf("input(%q, %q, %q, %q) = %q", action, name, value, secret, text)
		}
	})
}
