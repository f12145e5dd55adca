package daemon

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/quorate/quorate/agents/sealed"
	"github.com/quorate/quorate/crm/api"
	"github.com/quorate/quorate/crm/audit"
	"github.com/quorate/quorate/crm/store/command"
)

// canary is a secret that must be found nowhere.
const canary = "CANARY-48151623"

// secretAgent writes the SHA-256 of its secret where the test finds it, and tries to leak the secret.
const secretAgent = `#!/bin/sh
state="${0%/*}/state"
case "$1" in
start) printf %s "$OCF_RESKEY_password" | sha256sum >"$state.new" && mv "$state.new" "$state"
	echo "password is $OCF_RESKEY_password"; echo "ocf-exit-reason:password is $OCF_RESKEY_password" >&2;;
stop) rm -f "$state";;
monitor) [ -e "$state" ] || exit 7;;
*) exit 3;;
esac
`

// TestLive_StoredSecret runs a resource whose parameter refers to a stored secret. Goal: the agent gets it, and the clear
// text is in no file of the node: log, snapshot, audit log, messages. Method: one real node; a client seals the value as crm
// does; then all files are searched.
func TestLive_StoredSecret(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	m := newMachine(t)
	dir := filepath.Join(m.paths.Root, "agents")
	must(t, os.MkdirAll(filepath.Join(dir, "test"), 0o755))
	must(t, os.WriteFile(filepath.Join(dir, "test", "db"), []byte(secretAgent), 0o755))
	m.configure(fmt.Sprintf("agent-dirs = [%q]\n", dir))
	d := m.runs()
	must(t, m.client().Init(ctx, api.InitRequest{Cluster: "test", Node: "alpha", Links: m.links(), Config: []byte(`<cib validate-with="pacemaker-3.9"><configuration>
<crm_config><cluster_property_set id="o"><nvpair id="o-f" name="stonith-enabled" value="false"/></cluster_property_set></crm_config><nodes/>
<resources><primitive id="db" class="ocf" provider="test" type="db">
<meta_attributes id="db-m"><nvpair id="db-m-r" name="target-role" value="Started"/></meta_attributes>
<instance_attributes id="db-p"><nvpair id="db-p-p" name="password" value="ref:store:db-password"/></instance_attributes></primitive></resources>
<constraints/></configuration><status/></cib>`)}))
	state := func(ready func(*command.State) bool) *command.State {
		t.Helper()
		var after uint64
		for {
			s, err := m.client().Wait(ctx, after, patience)
			if err != nil {
				t.Fatalf("Wait() = %v\n%s", err, d.out)
			}
			if ready(s) {
				return s
			}
			after = s.Index
		}
	}
	// Without the secret nothing is run: the probe says so, and the stop that follows it, whose result must not come after what is
	// to be forgotten.
	s := state(func(s *command.State) bool {
		told := fmt.Sprint(s.Document.Status.Nodes)
		return len(s.Member("alpha").Seal) > 0 && len(s.Pending) == 0 && strings.Contains(told, "crm secret set db-password") && strings.Contains(told, "db_stop_0")
	})
	data, err := sealed.Seal(s.Member("alpha").Seal, "db-password", []byte(canary))
	must(t, err)
	_, err = m.client().Propose(ctx, &command.Entry{Kind: command.KindSecretSet, SecretSet: &command.Secret{Name: "db-password", Sealed: []command.Sealed{{Node: "alpha", Data: data}}}})
	must(t, err)
	_, err = m.client().Propose(ctx, &command.Entry{Kind: command.KindForget, Forget: &command.Forget{Resource: "db"}})
	must(t, err)
	sum := sha256.Sum256([]byte(canary))
	state(func(*command.State) bool {
		text, err := os.ReadFile(filepath.Join(dir, "test", "state"))
		return err == nil && strings.HasPrefix(string(text), hex.EncodeToString(sum[:]))
	})
	// Everything on disk: the daemon ends, and then its files are searched.
	m.stop(d)
	must(t, filepath.WalkDir(m.paths.Root, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		text, err := os.ReadFile(path)
		if bytes.Contains(text, []byte(canary)) {
			t.Errorf("%s has the secret in it", path)
		}
		return err
	}))
	if strings.Contains(d.out.String(), canary) {
		t.Errorf("the daemon's messages have the secret in them:\n%s", d.out)
	}
	// The audit log says who did what, and which secret the agent had, by name.
	events := map[string]int{}
	reference := false
	_, err = audit.Read(filepath.Join(m.paths.runnerDir(), "audit"), func(r audit.Record) error {
		events[r.Event]++
		reference = reference || r.Event == "agent-run" && strings.Contains(r.Text("secrets"), "ref:store:db-password")
		return nil
	})
	must(t, err)
	for _, want := range []string{"daemon-start", "cluster-made", "change", "agent-run"} {
		if events[want] == 0 {
			t.Errorf("the audit log has no record of %s: %v", want, events)
		}
	}
	if !reference {
		t.Error("the audit log does not name the secret that the agent had")
	}
	if _, err := audit.Verify(filepath.Join(m.paths.runnerDir(), "audit"), audit.Expect{}); err != nil {
		var bad *audit.BadRecord
		// The daemon was killed: its last record may be torn.
		if !errors.As(err, &bad) {
			t.Error(err)
		}
	}
}

// TestLive_ResultOutlivesTheNodeProcess kills the node process while an operation runs. Goal: its failure counts, though
// the process that asked for it is gone. Method: the agent tells that it runs, is held until the process is killed, and
// then fails.
func TestLive_ResultOutlivesTheNodeProcess(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	m := newMachine(t)
	dir := filepath.Join(m.paths.Root, "agents")
	must(t, os.MkdirAll(filepath.Join(dir, "test"), 0o755))
	must(t, os.WriteFile(filepath.Join(dir, "test", "slow"), []byte(`#!/bin/sh
cd "${0%/*}"
case "$1" in
start) [ -e killed ] && exit 0; : >started; while [ ! -e killed ]; do sleep 0.02; done; echo "ocf-exit-reason:no luck" >&2; exit 1;;
stop) exit 0;;
monitor) exit 7;;
*) exit 3;;
esac
`), 0o755))
	m.configure(fmt.Sprintf("agent-dirs = [%q]\n", dir))
	d := m.runs()
	must(t, m.client().Init(ctx, api.InitRequest{Cluster: "test", Node: "alpha", Links: m.links(), Config: []byte(`<cib validate-with="pacemaker-3.9"><configuration>
<crm_config><cluster_property_set id="o"><nvpair id="o-f" name="stonith-enabled" value="false"/></cluster_property_set></crm_config><nodes/>
<resources><primitive id="s" class="ocf" provider="test" type="slow"/></resources><constraints/></configuration><status/></cib>`)}))
	exists := func(name string) bool { _, err := os.Stat(filepath.Join(dir, "test", name)); return err == nil }
	m.wait(d, func(*api.Local) bool { return exists("started") })
	first, err := m.client().Local(ctx)
	must(t, err)
	must(t, killChild(d.cmd.Process.Pid))
	must(t, os.WriteFile(filepath.Join(dir, "test", "killed"), nil, 0o600))
	m.wait(d, func(l *api.Local) bool { return l.Leader != "" && l.Term > first.Term })
	var after uint64
	for {
		s, err := m.client().Wait(ctx, after, patience)
		if err != nil {
			t.Fatalf("Wait() = %v\n%s", err, d.out)
		}
		if text := fmt.Sprint(s.Document.Status.Nodes); strings.Contains(text, "fail-count-s#start_0") && strings.Contains(text, "no luck") {
			if len(s.Orphans) != 0 {
				t.Errorf("orphans = %v, want none left", s.Orphans)
			}
			return
		}
		after = s.Index
	}
}

// killChild kills the one child of the runner that is a node process.
func killChild(runner int) error {
	// Children are listed by the thread that started them.
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", runner))
	if err != nil {
		return err
	}
	var text []byte
	for _, name := range files {
		list, err := os.ReadFile(name)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		text = append(text, list...)
	}
	for _, word := range strings.Fields(string(text)) {
		args, err := os.ReadFile("/proc/" + word + "/cmdline")
		if err == nil && bytes.Contains(args, []byte("\x00node\x00")) {
			var pid int
			if _, err := fmt.Sscan(word, &pid); err != nil {
				return err
			}
			p, err := os.FindProcess(pid)
			if err != nil {
				return err
			}
			return p.Kill()
		}
	}
	return fmt.Errorf("runner %d has no node process among %q", runner, text)
}
