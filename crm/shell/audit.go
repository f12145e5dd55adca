package shell

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/quorate/quorate/crm/audit"
)

func auditLevel() *level {
	return &level{name: "audit", help: "The audit log of this node: every change, agent run, fencing, join and refusal, in a hash chain.", commands: []*row{
		{name: "verify", args: "[--dir FOLDER] [--pruned]", example: "crm audit verify", help: "check the chain, the signatures, and the newest record that the cluster knows", run: (*Shell).cmdAuditVerify},
		{name: "show", args: "[--last N] [--event NAME] [--resource NAME] [--since TIME] [--output text|json] [--dir FOLDER]", example: "crm audit show --since 1h --event change",
			help: "list records, oldest first", run: (*Shell).cmdAuditShow},
		{name: "report", args: "[--since TIME] [--dir FOLDER]", example: "crm audit report --since 24h", help: "sum up: who changed what, what was refused, fenced, and failed", run: (*Shell).cmdAuditReport},
	}}
}

// auditQuery is what the commands of the level take.
type auditQuery struct {
	dir             string
	event, resource string
	since           time.Time
	last            int
	json, pruned    bool
}

func (s *Shell) auditQuery(c *call) (*auditQuery, error) {
	q := &auditQuery{dir: "/var/lib/quorate/runner/audit"}
	if root := s.cfg.Getenv("QUORATE_ROOT"); root != "" {
		q.dir = filepath.Join(root, "var", "runner", "audit")
	}
	for i := 0; i < len(c.args); i++ {
		name, value, has := strings.Cut(c.args[i], "=")
		if name == "--pruned" {
			q.pruned = true
			continue
		}
		if !slices.Contains([]string{"--dir", "--event", "--resource", "--since", "--last", "--output"}, name) {
			return nil, c.usage("%q is not known", c.args[i])
		}
		if !has {
			if i++; i >= len(c.args) {
				return nil, c.usage("%s needs a value", name)
			}
			value = c.args[i]
		}
		switch name {
		case "--dir":
			q.dir = value
		case "--event":
			q.event = value
		case "--resource":
			q.resource = value
		case "--since":
			at, err := parseSince(value, time.Now())
			if err != nil {
				return nil, c.usage("%v", err)
			}
			q.since = at
		case "--last":
			n, err := strconv.Atoi(value)
			if err != nil || n < 1 {
				return nil, c.usage("--last %q: a number from 1", value)
			}
			q.last = n
		case "--output":
			if value != "text" && value != "json" {
				return nil, c.usage("--output %q: text or json", value)
			}
			q.json = value == "json"
		}
	}
	return q, nil
}

// parseSince reads a duration back from now, or a date with or without a time of day.
func parseSince(text string, now time.Time) (time.Time, error) {
	if d, err := time.ParseDuration(text); err == nil && d >= 0 {
		return now.Add(-d), nil
	}
	for _, layout := range []string{time.RFC3339, time.DateTime, "2006-01-02 15:04", time.DateOnly} {
		if at, err := time.ParseInLocation(layout, text, now.Location()); err == nil {
			return at, nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is no time: 90m, 24h, 2026-03-01, \"2026-03-01 12:00\"", text)
}

// auditError explains why a log cannot be read.
func auditError(dir string, err error) error {
	switch {
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("the audit log in %s is for root alone", dir)
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("there is no audit log in %s: has the daemon run on this node? QUORATE_ROOT or --dir names another place", dir)
	}
	return err
}

// matches reports whether a record is asked for.
func (q *auditQuery) matches(r *audit.Record) bool {
	return (q.event == "" || r.Event == q.event) && (q.resource == "" || r.Text("resource") == q.resource) && !r.Time.Before(q.since)
}

func (s *Shell) cmdAuditVerify(c *call) error {
	q, err := s.auditQuery(c)
	if err != nil {
		return err
	}
	expect := audit.Expect{Pruned: q.pruned}
	compared := s.auditHead(c.ctx, &expect)
	rep, err := audit.Verify(q.dir, expect)
	var bad *audit.BadRecord
	if errors.As(err, &bad) {
		s.printf("%d records are as they were written, up to record %d.\n", rep.Records, rep.Last.Seq)
		return fmt.Errorf("the audit log in %s was changed or is damaged: %w\nHint: keep the folder as it is, and compare it with exported copies and with the other nodes", q.dir, bad)
	}
	if err != nil {
		return auditError(q.dir, err)
	}
	s.printf("%d records in %d files, %d to %d: each is as it was written.\n", rep.Records, rep.Files, rep.First.Seq, rep.Last.Seq)
	s.printf("Checkpoints: %d, the last one signs the records up to %d.\n", rep.Checkpoints, rep.Signed)
	if rep.Recovered > 0 {
		s.printf("After crashes, %d torn records were marked.\n", rep.Recovered)
	}
	s.printf("%s\n", compared)
	return nil
}

// auditHead asks the cluster for the newest record of this node's log that it knows, and says what it got.
func (s *Shell) auditHead(ctx context.Context, expect *audit.Expect) string {
	cl, err := s.live()
	if err != nil {
		return "Not compared with the cluster: " + err.Error()
	}
	ctx, cancel := context.WithTimeout(ctx, apiTime)
	defer cancel()
	l, err := cl.Local(ctx)
	if err != nil {
		return "Not compared with the cluster: " + err.Error()
	}
	st, err := cl.State(ctx, false)
	if err != nil {
		return "Not compared with the cluster: " + err.Error()
	}
	head, ok := st.AuditHeads[l.Node]
	if !ok {
		return "Not compared with the cluster: it knows no record of " + l.Node + " yet."
	}
	expect.Heads = append(expect.Heads, audit.Head{Seq: head.Seq, Hash: head.Hash})
	return fmt.Sprintf("Record %d is the one that the cluster knows.", head.Seq)
}

func (s *Shell) cmdAuditShow(c *call) error {
	q, err := s.auditQuery(c)
	if err != nil {
		return err
	}
	var lines []string
	keep := func(line string) {
		if q.last > 0 && len(lines) == q.last {
			lines = append(lines[:0], lines[1:]...)
		}
		lines = append(lines, line)
	}
	skipped, err := audit.Read(q.dir, func(r audit.Record) error {
		if !q.matches(&r) {
			return c.ctx.Err()
		}
		line := string(r.Line)
		if !q.json {
			line = recordLine(&r)
		}
		if q.last == 0 {
			s.printf("%s\n", line)
			return c.ctx.Err()
		}
		keep(line)
		return c.ctx.Err()
	})
	if err != nil {
		return auditError(q.dir, err)
	}
	for _, line := range lines {
		s.printf("%s\n", line)
	}
	if skipped > 0 {
		s.warn("%d lines are no whole records; \"crm audit verify\" says which", skipped)
	}
	return nil
}

// shownFirst are the fields of records that say most, in the order in which they are shown; the rest follows by name.
var shownFirst = []string{"actor", "uid", "verb", "name", "resource", "operation", "agent", "rc", "status", "reason", "objects", "message", "refused", "error"}

// shownNever are fields that only the chain or a machine needs.
var shownNever = []string{"sha256", "output_sha256", "env", "source", "key", "signature", "endpoint", "cgroup", "run", "output_bytes", "timeout_ms", "uid", "pid"}

// recordLine writes a record as one line.
func recordLine(r *audit.Record) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%6d  %s  %-16s", r.Seq, r.Time.Local().Format("2006-01-02 15:04:05.000"), r.Event)
	names := slices.SortedFunc(maps.Keys(r.Data), func(x, y string) int {
		rank := func(n string) int {
			if i := slices.Index(shownFirst, n); i >= 0 {
				return i
			}
			return len(shownFirst)
		}
		return cmp.Or(cmp.Compare(rank(x), rank(y)), strings.Compare(x, y))
	})
	for _, name := range names {
		text := fieldText(r.Data[name])
		hidden := slices.Contains(shownNever, name) && (name != "uid" || r.Event != "denied")
		if text == "" || hidden || text == "0" && (name == "leftover" || name == "interval_ms") {
			continue
		}
		fmt.Fprintf(&b, " %s=%s", name, text)
	}
	return b.String()
}

func fieldText(v any) string {
	switch v := v.(type) {
	case string:
		if strings.ContainsAny(v, " \t\n\"=") {
			return strconv.Quote(v)
		}
		return v
	case json.Number:
		return v.String()
	case bool:
		if !v {
			return ""
		}
		return "true"
	case []any:
		parts := make([]string, len(v))
		for i, e := range v {
			parts[i] = fieldText(e)
		}
		return strings.Join(parts, ",")
	case nil:
		return ""
	}
	data, err := json.Marshal(v)
	if err != nil {
		return ""
	}
	return string(data)
}

// tally counts records of one sort.
type tally map[string]int

func (t tally) print(s *Shell, title string) {
	if len(t) == 0 {
		return
	}
	s.printf("%s:\n", title)
	for _, name := range slices.SortedFunc(maps.Keys(t), func(x, y string) int { return cmp.Or(cmp.Compare(t[y], t[x]), strings.Compare(x, y)) }) {
		s.printf("  %6d  %s\n", t[name], name)
	}
}

func (s *Shell) cmdAuditReport(c *call) error {
	q, err := s.auditQuery(c)
	if err != nil {
		return err
	}
	events, changes, denied, failed := tally{}, tally{}, tally{}, tally{}
	var notable []string
	var first, last time.Time
	skipped, err := audit.Read(q.dir, func(r audit.Record) error {
		if !q.matches(&r) {
			return c.ctx.Err()
		}
		if first.IsZero() {
			first = r.Time
		}
		last = r.Time
		events[r.Event]++
		switch r.Event {
		case "change":
			what := "changes"
			if r.Text("refused") != "" || r.Text("error") != "" {
				what = "changes that were refused"
			}
			changes[r.Text("actor")+": "+what]++
		case "denied":
			denied["uid "+r.Text("uid")+": "+r.Text("verb")]++
		case "agent-run":
			// 7 is the answer of a probe that finds nothing.
			if rc := r.Text("rc"); r.Text("status") != "0" || rc != "0" && rc != "7" && rc != "8" {
				failed[r.Text("resource")+" "+r.Text("operation")+": "+cmp.Or(r.Text("reason"), "exit code "+rc)]++
			}
		case "fence-start", "fence-run", "agent-interrupted", "token-issued", "node-joined", "join-refused", "key-received", "key-dropped",
			"certificate-renewed", "daemon-start", "daemon-stop", audit.EventRecovered, audit.EventDamaged:
			if len(notable) < maxNotable {
				notable = append(notable, recordLine(&r))
			}
		}
		return c.ctx.Err()
	})
	if err != nil {
		return auditError(q.dir, err)
	}
	if first.IsZero() {
		s.printf("There are no records in that time.\n")
		return nil
	}
	s.printf("Records from %s to %s\n", first.Local().Format(time.DateTime), last.Local().Format(time.DateTime))
	events.print(s, "Events")
	changes.print(s, "Changes by")
	denied.print(s, "Requests denied")
	failed.print(s, "Operations that failed")
	if len(notable) > 0 {
		s.printf("Fencing, keys, members, starts and stops:\n%s\n", strings.Join(notable, "\n"))
	}
	if len(notable) == maxNotable {
		s.info("there are more; \"crm audit show --event NAME\" lists all of one event")
	}
	if skipped > 0 {
		s.warn("%d lines are no whole records; \"crm audit verify\" says which", skipped)
	}
	return nil
}

// maxNotable bounds the records that a report lists one by one.
const maxNotable = 200
