package compat

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/rule/iso8601"
	"github.com/quorate/quorate/crm/store/command"
)

// crmError is crm_error: what a code means.
func crmError(stdio IO, args []string) int {
	f := &frame{"crm_error", "explain a code of the tools", stdio}
	var o output
	var names, all, exits, results bool
	// Negative codes come after "--".
	rest, code, done := f.parse(args, append(o.table(),
		option{short: 'n', long: "name", help: "show the code's name too", set: flag(&names)},
		option{short: 'l', long: "list", help: "show all codes", set: flag(&all)},
		option{short: 'X', long: "exit", help: "an exit code of a tool or an agent", set: flag(&exits)},
		option{short: 'r', long: "rc", help: "a return code of a function", set: flag(&results)}))
	if done {
		return code
	}
	if err := o.begin(f, args); err != nil {
		return f.failed(err)
	}
	table := exitCodes
	if !exits {
		table = slices.Clone(resultCodes)
		for n := 1; n < 134; n++ {
			if text := syscall.Errno(n).Error(); !strings.HasPrefix(text, "errno ") {
				table = append(table, namedCode{n, "errno " + strconv.Itoa(n), strings.ToUpper(text[:1]) + text[1:]})
			}
		}
	}
	if all || len(rest) == 0 {
		for _, c := range table {
			o.code(c, names, true)
		}
		return o.end(nil)
	}
	for _, text := range rest {
		n, err := strconv.Atoi(text)
		if err != nil {
			return o.end(coded(exitUsage, "%q is not a number", text))
		}
		if !exits && !results && n < 0 && n > -1000 {
			n = -n // older functions return errors as negative numbers
		}
		c, ok := findCode(table, n)
		switch {
		case ok || n == 0 && !exits:
			if n == 0 {
				c = namedCode{0, "pcmk_rc_ok", "OK"}
			}
		case exits:
			c.name, c.text = "CRM_EX_UNKNOWN", exitText(n)
		default:
			c.name, c.text = "Unknown", "Unknown error "+strconv.Itoa(n)
		}
		o.code(c, names, false)
	}
	return o.end(nil)
}

func (o *output) code(c namedCode, name, number bool) {
	switch {
	case o.xml != nil && name:
		o.xml.Empty("result-code", "code", strconv.Itoa(c.code), "name", c.name, "description", c.text)
	case o.xml != nil:
		o.xml.Empty("result-code", "code", strconv.Itoa(c.code), "description", c.text)
	case number && name:
		o.printf("%5d: %-26s  %s\n", c.code, c.name, c.text)
	case number:
		o.printf("%5d: %s\n", c.code, c.text)
	case name:
		o.printf("%s - %s\n", c.name, c.text)
	default:
		o.printf("%s\n", c.text)
	}
}

// isoDates is iso8601: dates as rules understand them.
func isoDates(stdio IO, args []string) int {
	f := &frame{"iso8601", "show how dates are understood", stdio}
	var o output
	var what, argument, expected string
	style := byte('d')
	ask := func(name string) func(string) error {
		return func(s string) error { what, argument = name, s; return nil }
	}
	as := func(c byte) func(string) error { return func(string) error { style = c; return nil } }
	local := false
	rest, code, done := f.parse(args, append(o.table(),
		option{short: 'n', long: "now", help: "the present date", set: ask("now")},
		option{short: 'd', long: "date", value: true, arg: "DATE", help: "a date, such as 2019-09-24 or 2019-040", set: ask("date")},
		option{short: 'p', long: "period", value: true, arg: "PERIOD", help: "a period, such as 2005-040/2005-043", set: ask("period")},
		option{short: 'D', long: "duration", value: true, arg: "DURATION", help: "a duration, such as P1M", set: ask("duration")},
		option{short: 'E', long: "expected", value: true, arg: "TEXT", help: "fail unless the date is shown as this text", set: text(&expected)},
		option{short: 's', long: "seconds", help: "as seconds since year 0", set: as('s')},
		option{short: 'S', long: "epoch", help: "as seconds since 1970", set: as('S')},
		option{short: 'L', long: "local", help: "in local time", set: flag(&local)},
		option{short: 'O', long: "ordinal", help: "with the day of the year", set: as('O')},
		option{short: 'W', long: "week", help: "with the week", set: as('W')}))
	switch {
	case done:
		return code
	case len(rest) > 0 || what == "":
		return f.fail(exitUsage, "say what to show: --now, --date DATE, --period PERIOD or --duration DURATION")
	}
	if err := o.begin(f, args); err != nil {
		return f.failed(err)
	}
	show := func(t time.Time) string { return showDate(t, style, local) }
	switch what {
	case "now":
		o.printf("Current date/time: %s\n", show(time.Now()))
	case "date":
		t, err := iso8601.ParseDate(argument, time.Now(), time.Local)
		if err != nil {
			return o.end(coded(exitInvalid, "Invalid date/time specified: %s: %w", argument, err))
		}
		o.printf("Date: %s\n", show(t))
		if expected != "" && show(t) != expected {
			return o.end(&codeError{exitError, nil})
		}
	case "period":
		p, err := iso8601.ParsePeriod(argument, time.Now(), time.Local)
		if err != nil {
			return o.end(coded(exitInvalid, "Invalid interval specified: %s: %w", argument, err))
		}
		o.printf("Period: %s to %s\n", show(p.Start), show(p.End))
	case "duration":
		d, err := iso8601.ParseDuration(argument)
		if err != nil {
			return o.end(coded(exitInvalid, "Invalid duration specified: %s: %w", argument, err))
		}
		o.printf("Duration: %s\n", d)
	}
	return o.end(nil)
}

// yearZero is how many seconds before 1970 the year 0 began, with its first day counted as day 1.
const yearZero = 62135596800

func showDate(t time.Time, style byte, local bool) string {
	if !local {
		t = t.UTC()
	}
	clock := t.Format("15:04:05Z07:00")
	switch style {
	case 's':
		return strconv.FormatInt(t.Unix()+yearZero, 10)
	case 'S':
		return strconv.FormatInt(t.Unix(), 10)
	case 'O':
		return fmt.Sprintf("%04d-%03d %s", t.Year(), t.YearDay(), clock)
	case 'W':
		year, week := t.ISOWeek()
		return fmt.Sprintf("%04d-W%02d-%d %s", year, week, iso8601.Weekday(t), clock)
	}
	return t.Format("2006-01-02 ") + clock
}

// crmFailcount is crm_failcount: how often a resource failed.
func crmFailcount(stdio IO, args []string) int {
	f := &frame{"crm_failcount", "show and delete fail counts", stdio}
	var what, resource, operation, interval, node string
	quiet := false
	do := func(name string) func(string) error { return func(string) error { what = name; return nil } }
	rest, code, done := f.parse(args, []option{
		{short: 'G', long: "query", help: "show the fail count", set: do("query")},
		{short: 'D', long: "delete", help: "forget the failures", set: do("delete")},
		{short: 'r', long: "resource", value: true, arg: "ID", help: "the resource", set: text(&resource)},
		{short: 'n', long: "operation", value: true, arg: "NAME", help: "only of this operation", set: text(&operation)},
		{short: 'I', long: "interval", value: true, arg: "TIME", help: "of the operation", set: text(&interval)},
		{short: 'N', long: "node", value: true, arg: "NODE", help: "on this node (default: this one)", set: text(&node)},
		{short: 'U', long: "uname", value: true, arg: "NODE", help: "the same as --node", set: text(&node)},
		{short: 'q', long: "quiet", help: "show the value only", set: flag(&quiet)},
		{short: 'Q', help: "the same as -q", set: flag(&quiet)},
	})
	switch {
	case done:
		return code
	case len(rest) > 0:
		return f.fail(exitUsage, "unexpected argument %q; see crm_failcount --help", rest[0])
	case resource == "" || what == "":
		return f.fail(exitUsage, "name the resource with --resource ID and say --query or --delete")
	}
	ms, err := parseInterval(interval)
	if err != nil {
		return f.fail(exitUsage, "option '--interval': %v", err)
	}
	c, end, err := open()
	if err != nil {
		return f.failed(err)
	}
	defer end()
	if node, err = c.node(node); err != nil {
		return f.failed(err)
	}
	if _, _, err := findResource(c.doc, resource); err != nil {
		return f.failed(err)
	}
	if what == "delete" {
		// The names of both the resource and its instances are forgotten.
		if err := c.forget(command.Forget{Resource: resource, Node: node, Operation: operation, IntervalMS: ms, OnlyFailed: true}); err != nil {
			return f.failed(err)
		}
		fmt.Fprintf(stdio.Out, "Cleaned up %s on %s\n", resource, node)
		return exitOK
	}
	name := "fail-count-" + resource
	if operation != "" {
		name += "#" + operation + "_" + strconv.FormatInt(ms, 10)
	}
	count := failCount(c.doc, node, resource, operation, ms)
	if quiet {
		fmt.Fprintln(stdio.Out, count)
	} else {
		fmt.Fprintf(stdio.Out, "scope=status  name=%s value=%s\n", name, count)
	}
	return exitOK
}

// failCount sums up the fail counts of a resource on a node.
func failCount(doc *cib.Document, node, resource, operation string, intervalMS int64) cib.Score {
	var total cib.Score
	for i := range doc.Status.Nodes {
		st := &doc.Status.Nodes[i]
		if !strings.EqualFold(st.Name, node) {
			continue
		}
		for _, set := range st.Attributes {
			for _, p := range set.Pairs {
				rest, ok := strings.CutPrefix(p.Name, "fail-count-")
				rsc, op, _ := strings.Cut(rest, "#")
				base, _, _ := strings.Cut(rsc, ":")
				if !ok || rsc != resource && base != resource ||
					operation != "" && op != operation+"_"+strconv.FormatInt(intervalMS, 10) {
					continue
				}
				if n, err := cib.ParseScore(p.Value); err == nil {
					total = total.Add(n)
				}
			}
		}
	}
	return total
}

// crmStandby is crm_standby: crm_attribute for the attribute standby.
func crmStandby(stdio IO, args []string) int {
	f := &frame{"crm_standby", "show and change whether a node is in standby", stdio}
	o := &attributeOptions{name: "standby", fallback: "off", dflt: true, kind: "nodes"}
	return attribute(f, o, args)
}

// crmadmin is crmadmin: who leads, and what nodes there are.
func crmadmin(stdio IO, args []string) int {
	f := &frame{"crmadmin", "show the leader and the nodes", stdio}
	var o output
	var what, argument string
	export, quiet := false, false
	ask := func(name string) func(string) error {
		return func(s string) error { what, argument = name, s; return nil }
	}
	rest, code, done := f.parse(args, append(o.table(),
		option{short: 'D', long: "dc_lookup", help: "the node that leads", set: ask("dc")},
		option{short: 'N', long: "nodes", optional: true, arg: "KIND", help: "all nodes, or those of a kind: cluster, guest, remote", set: ask("nodes")},
		option{short: 'S', long: "status", value: true, arg: "NODE", help: "state of a node", set: ask("status")},
		option{short: 'P', long: "pacemakerd", help: "state of the daemon of this node", set: ask("daemon")},
		option{short: 'B', long: "bash-export", help: "with -N: as shell commands", set: flag(&export)},
		option{short: 'q', long: "quiet", help: "names only", set: flag(&quiet)},
		option{short: 't', long: "timeout", value: true, arg: "TIME", help: "accepted", set: func(string) error { return nil }},
		option{short: 'i', long: "ipc-name", value: true, arg: "NAME", help: "accepted", set: func(string) error { return nil }}))
	switch {
	case done:
		return code
	case len(rest) > 0 || what == "":
		return f.fail(exitUsage, "say what to show: --dc_lookup, --nodes, --status NODE or --pacemakerd")
	}
	if err := o.begin(f, args); err != nil {
		return f.failed(err)
	}
	return o.end(admin(&o, what, argument, export, quiet))
}

func admin(o *output, what, argument string, export, quiet bool) error {
	c, end, err := openView()
	if err != nil {
		return err
	}
	defer end()
	if what == "nodes" {
		return adminNodes(o, c, argument, export, quiet)
	}
	l, err := c.local()
	if err != nil {
		return err
	}
	switch what {
	case "dc":
		if l.Leader == "" {
			return coded(exitNoSuch, "there is no leader")
		}
		switch {
		case o.xml != nil:
			o.xml.Empty("dc", "node_name", l.Leader)
		case quiet:
			o.printf("%s\n", l.Leader)
		default:
			o.printf("Designated Controller is: %s\n", l.Leader)
		}
	case "daemon":
		if o.xml != nil {
			o.xml.Empty("pacemakerd", "sys_from", "quorated", "state", "running", "last_updated", localTime(time.Now().Unix()))
		}
		o.printf("Status of quorated: 'Quorate is running' (last updated %s)\n", localTime(time.Now().Unix()))
	default:
		n, err := findNode(c.doc, argument)
		if err != nil {
			return err
		}
		state := "S_NOT_DC"
		switch m := c.state.Member(n.Name); {
		case m == nil || !m.Online:
			return coded(exitNoSuch, "node %s is not online", n.Name)
		case n.Name == l.Leader && len(c.state.Pending) > 0:
			state = "S_TRANSITION_ENGINE"
		case n.Name == l.Leader:
			state = "S_IDLE"
		}
		if o.xml != nil {
			o.xml.Empty("crmd", "node_name", n.Name, "state", state, "result", "ok")
		}
		o.printf("Controller on %s in state %s: ok\n", n.Name, state)
	}
	return nil
}

func adminNodes(o *output, c *cluster, kinds string, export, quiet bool) error {
	v, err := c.view()
	if err != nil {
		return err
	}
	if kinds == "" {
		kinds = "all"
	}
	for _, n := range v.Nodes {
		kind := "cluster"
		switch {
		case n.IsGuestKind():
			kind = "guest"
		case n.Connection != nil:
			kind = "remote"
		}
		if kinds != "all" && !slices.Contains(strings.Split(kinds, ","), kind) {
			continue
		}
		switch {
		case o.xml != nil:
			o.xml.Empty("node", "type", kind, "name", n.Name, "id", n.ID)
		case export:
			o.printf("export %s=%s\n", n.Name, n.ID)
		case quiet:
			o.printf("%s\n", n.Name)
		default:
			o.printf("%s node: %s (%s)\n", kind, n.Name, n.ID)
		}
	}
	return nil
}
