package shell

import (
	"bytes"
	"crypto/ed25519"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/quorate/quorate/crm/audit"
)

// auditLog writes a log with the records of a short day and returns its folder.
func auditLog(t *testing.T, root string) string {
	t.Helper()
	dir := filepath.Join(root, "var", "runner", "audit")
	log, err := audit.Open(audit.Config{Dir: dir, Node: "n1", Boot: "b", Key: ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)),
		Now: func() time.Time { return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC) }})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range []struct {
		event string
		data  map[string]any
	}{
		{"daemon-start", map[string]any{"pid": 7}},
		{"change", map[string]any{"actor": "uid:0", "objects": []string{"resource web"}, "message": "more web"}},
		{"change", map[string]any{"actor": "uid:1000", "refused": "it conflicts"}},
		{"denied", map[string]any{"uid": 1000, "verb": "config:write"}},
		{"agent-run", map[string]any{"resource": "web", "operation": "start", "rc": 1, "status": 0, "reason": "no disk"}},
		{"agent-run", map[string]any{"resource": "web", "operation": "monitor", "rc": 7, "status": 0}},
	} {
		if _, err := log.Append(r.event, r.data, false); err != nil {
			t.Fatal(err)
		}
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestAudit(t *testing.T) {
	t.Parallel()
	o := newOffline(t)
	o.env["QUORATE_ROOT"] = t.TempDir()
	dir := auditLog(t, o.env["QUORATE_ROOT"])
	for _, c := range []struct {
		name string
		args []string
		want []string
		not  string
	}{
		{"verify", []string{"audit", "verify"}, []string{"7 records in 1 files, 1 to 7", "signs the records up to 7", "Not compared with the cluster"}, ""},
		{"show", []string{"audit", "show"}, []string{"change", "actor=uid:0", `objects="resource web"`, "denied", "checkpoint"}, "signature"},
		{"last", []string{"audit", "show", "--last", "2"}, []string{"rc=7", "checkpoint"}, "daemon-start"},
		{"event", []string{"audit", "show", "--event=change"}, []string{"more web", "it conflicts"}, "agent-run"},
		{"resource", []string{"audit", "show", "--resource", "web"}, []string{"no disk"}, "change"},
		{"since", []string{"audit", "show", "--since", "2027-01-01"}, nil, "change"},
		{"json", []string{"audit", "show", "--output", "json", "--event", "denied"}, []string{`"verb":"config:write"`}, ""},
		{"report", []string{"audit", "report"}, []string{"uid:0: changes", "uid:1000: changes that were refused", "uid 1000: config:write", "web start: no disk", "daemon-start"}, "web monitor"},
	} {
		out := o.must(c.args...)
		for _, w := range c.want {
			if !strings.Contains(out, w) {
				t.Errorf("%s: %q is missing in:\n%s", c.name, w, out)
			}
		}
		if c.not != "" && strings.Contains(out, c.not) {
			t.Errorf("%s: %q is in:\n%s", c.name, c.not, out)
		}
	}
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"audit", "show", "--last", "0"}, "a number from 1"},
		{[]string{"audit", "show", "--since", "soon"}, "is no time"},
		{[]string{"audit", "show", "--when"}, "is not known"},
		{[]string{"audit", "verify", "--dir", filepath.Join(dir, "none")}, "there is no audit log"},
	} {
		if code, _, text := o.crm("", c.args...); code == 0 || !strings.Contains(text, c.want) {
			t.Errorf("crm %v: exit %d, %q, want an error with %q", c.args, code, text, c.want)
		}
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.jsonl"))
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	text, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(files[0], bytes.Replace(text, []byte("more web"), []byte("less web"), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	code, _, msg := o.crm("", "audit", "verify")
	if code == 0 || !strings.Contains(msg, "was changed or is damaged: record 2 ") {
		t.Errorf("verify of a changed log: exit %d, %q, want record 2 named", code, msg)
	}
}
