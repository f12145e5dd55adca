package compat

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/signal"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/term"

	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/policy/model"
	"github.com/quorate/quorate/crm/rule/iso8601"
	"github.com/quorate/quorate/crm/status"
)

// monOptions are the options of crm_mon.
type monOptions struct {
	format, to, pid         string
	legacyXML, cgi          bool
	stylesheet, title       string
	once, daemon, simple    bool
	byNode, inactive, brief bool
	timing, detail          bool
	node, resource, bans    string
	interval                time.Duration
	sections                map[string]bool
	changes                 []sectionChange
	fencingLevel            int
	agent, recipient        string
}

// sectionChange is one step of what is included and excluded, in the order of the command line.
type sectionChange struct {
	name string
	on   bool
}

// Sections of the display, and those that text shows unless told otherwise. XML shows all.
var (
	monSections = []string{"attributes", "bans", "counts", "dc", "failcounts", "failures", "fencing-failed", "fencing-pending",
		"fencing-succeeded", "maint-mode", "nodes", "operations", "options", "resources", "stack", "tickets", "times"}
	monDefault = []string{"counts", "dc", "failures", "fencing-failed", "fencing-pending", "maint-mode", "nodes", "resources", "stack", "times"}
	monGroups  = map[string][]string{
		"all": monSections, "none": nil, "default": monDefault,
		"fencing": {"fencing-failed", "fencing-pending", "fencing-succeeded"},
		"summary": {"counts", "dc", "maint-mode", "options", "stack", "times"},
	}
)

// include returns a setter for --include and --exclude.
func (o *monOptions) include(on bool) func(string) error {
	return func(s string) error {
		for name := range strings.SplitSeq(s, ",") {
			base, prefix, _ := strings.Cut(name, ":")
			_, group := monGroups[base]
			if !group && !slices.Contains(monSections, base) {
				return fmt.Errorf("section %q is none of %s", name, strings.Join(append(slices.Sorted(maps.Keys(monGroups)), monSections...), ", "))
			}
			if base == "bans" && on {
				o.bans = prefix
			}
			o.changes = append(o.changes, sectionChange{base, on})
		}
		return nil
	}
}

func (o *monOptions) table() []option {
	show := func(names ...string) func(string) error {
		return func(string) error {
			for _, name := range names {
				o.changes = append(o.changes, sectionChange{name, true})
			}
			return nil
		}
	}
	return []option{
		{long: "output-as", value: true, arg: "FORMAT", help: "console (default), text, html, xml or none", set: text(&o.format)},
		{long: "output-to", value: true, arg: "FILE", help: "write to FILE; - is standard output", set: text(&o.to)},
		{long: "html-cgi", help: "with html: begin with the headers of a CGI program", set: flag(&o.cgi)},
		{long: "html-stylesheet", value: true, arg: "URI", help: "with html: link to a style sheet", set: text(&o.stylesheet)},
		{long: "html-title", value: true, arg: "TITLE", help: "with html: title of the page", set: text(&o.title)},
		{long: "text-fancy", help: "accepted", set: func(string) error { return nil }},
		{short: 'I', long: "include", value: true, arg: "SECTION,...", help: "show these sections too: " + strings.Join(monSections, ", ") + ", fencing, summary, all, default, none", set: o.include(true)},
		{short: 'U', long: "exclude", value: true, arg: "SECTION,...", help: "do not show these sections", set: o.include(false)},
		{long: "node", value: true, arg: "NODE", help: "only this node, or the nodes with this tag", set: text(&o.node)},
		{long: "resource", value: true, arg: "RESOURCE", help: "only this resource, or the resources with this tag", set: text(&o.resource)},
		{short: 'n', long: "group-by-node", help: "resources below their nodes", set: flag(&o.byNode)},
		{short: 'r', long: "inactive", help: "inactive resources too", set: flag(&o.inactive)},
		{short: 'f', long: "failcounts", help: "fail counts", set: show("failcounts")},
		{short: 'o', long: "operations", help: "recorded operations", set: show("operations")},
		{short: 't', long: "timing-details", help: "recorded operations with times", set: func(string) error { o.timing = true; return show("operations")("") }},
		{short: 'c', long: "tickets", help: "tickets", set: show("tickets")},
		{short: 'm', long: "fence-history", optional: true, arg: "LEVEL", help: "fencings: 0 none, 1 failed and pending, 2 and 3 all", set: o.setFencing},
		{short: 'L', long: "neg-locations", optional: true, arg: "PREFIX", help: "constraints that keep resources off nodes, with ids that begin with PREFIX",
			set: func(s string) error { o.bans = s; return show("bans")("") }},
		{short: 'A', long: "show-node-attributes", help: "node attributes", set: show("attributes")},
		{short: 'D', long: "hide-headers", help: "no summary", set: func(string) error { return o.include(false)("summary") }},
		{short: 'R', long: "show-detail", help: "ids of nodes, each instance of a clone", set: func(string) error { o.detail = true; return nil }},
		{short: 'b', long: "brief", help: "count resources by agent and node", set: flag(&o.brief)},
		{short: 's', long: "simple-status", help: "one line for a monitoring system", set: flag(&o.simple)},
		{short: 'i', long: "interval", value: true, arg: "TIME", help: "how often to look, such as 5s; default 5 seconds", set: o.setInterval},
		{short: '1', long: "one-shot", help: "show the status once", set: flag(&o.once)},
		{short: 'd', long: "daemonize", help: "go on in the background; needs --output-to", set: flag(&o.daemon)},
		{short: 'p', long: "pid-file", value: true, arg: "FILE", help: "where the process id of the background process goes", set: text(&o.pid)},
		{short: 'E', long: "external-agent", value: true, arg: "FILE", help: "not served: configure an alert instead, which the cluster itself runs", set: text(&o.agent)},
		{short: 'e', long: "external-recipient", value: true, arg: "RECIPIENT", help: "not served, like -E", set: text(&o.recipient)},
		{short: 'W', long: "watch-fencing", help: "accepted", set: func(string) error { return nil }},
		{short: 'h', long: "as-html", value: true, arg: "FILE", help: "the same as --output-as=html --output-to=FILE",
			set: func(s string) error { o.format, o.to = "html", s; return nil }},
		{short: 'X', long: "as-xml", help: "older XML, with the root element crm_mon", set: func(string) error { o.format, o.legacyXML = "xml", true; return nil }},
		{short: 'N', long: "disable-ncurses", help: "the same as --output-as=text", set: func(string) error { o.format = "text"; return nil }},
		{short: 'w', long: "web-cgi", help: "the same as --output-as=html --html-cgi", set: func(string) error { o.format, o.cgi = "html", true; return nil }},
		{short: 'Q', long: "quiet", help: "accepted", set: func(string) error { return nil }},
	}
}

func (o *monOptions) setFencing(s string) error {
	o.fencingLevel = 2
	if s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 0 || n > 3 {
			return fmt.Errorf("%q is none of 0, 1, 2, 3", s)
		}
		o.fencingLevel = n
	}
	for i, name := range monGroups["fencing"] {
		o.changes = append(o.changes, sectionChange{name, o.fencingLevel > 0 && (i < 2 || o.fencingLevel > 1)})
	}
	return nil
}

func (o *monOptions) setInterval(s string) error {
	if d, err := iso8601.ParseDuration(s); err == nil {
		from := time.Unix(0, 0).UTC()
		o.interval = d.AddTo(from).Sub(from)
		return nil
	}
	ms, err := cib.ParseTimeout(s)
	if err != nil {
		return err
	}
	o.interval = time.Duration(ms) * time.Millisecond
	return nil
}

// check works out what follows from the options; an error says which do not go together.
func (o *monOptions) check() error {
	switch o.format {
	case "":
		o.format = "console"
	case "console", "text", "html", "xml", "none":
	default:
		return fmt.Errorf("unknown output format %q: console, text, html, xml or none", o.format)
	}
	if o.agent != "" || o.recipient != "" {
		return errors.New(`--external-agent is not served: have the cluster itself run the program with an alert, such as "crm configure alert mail /usr/local/bin/notify"`)
	}
	if o.daemon && (o.to == "" || o.to == "-") {
		return errors.New("--daemonize needs --output-to FILE")
	}
	if o.interval == 0 {
		o.interval = 5 * time.Second
	}
	o.interval = max(o.interval, time.Second)
	o.sections = make(map[string]bool)
	initial := monDefault
	if o.format == "xml" {
		initial = monSections
	}
	for _, name := range initial {
		o.sections[name] = true
	}
	for _, c := range o.changes {
		names, group := monGroups[c.name]
		if !group {
			names = []string{c.name}
		}
		if (c.name == "none" || c.name == "default" || c.name == "all") && c.on || c.name == "all" {
			clear(o.sections)
		}
		for _, name := range names {
			o.sections[name] = c.on
		}
	}
	return nil
}

// crmMon is crm_mon: the state of the cluster, once or again and again.
func crmMon(io IO, args []string) int {
	f := &frame{"crm_mon", "show the state of the cluster", io}
	var o monOptions
	rest, code, done := f.parse(args, o.table())
	if done {
		return code
	}
	if len(rest) > 0 {
		return f.fail(exitUsage, "unexpected argument %q; see crm_mon --help", rest[0])
	}
	if err := o.check(); err != nil {
		return f.fail(exitUsage, "%v", err)
	}
	m := &mon{frame: f, o: &o, args: args}
	switch {
	case o.daemon:
		return m.daemon()
	case o.once || o.simple || o.format == "xml" || o.format == "none" || os.Getenv("CIB_file") != "":
		return m.once()
	}
	return m.watch(m.screen())
}

// mon is one run of crm_mon.
type mon struct {
	*frame
	o    *monOptions
	args []string
}

// once shows the state once and returns the exit code.
func (m *mon) once() int {
	text, err := m.render()
	if err != nil && m.o.format == "xml" {
		// Programs that asked for XML get their answer as XML.
		code := exitCode(err)
		fmt.Fprint(m.io.Out, m.errorXML(code, err))
		return code
	}
	if err != nil {
		return m.failed(err)
	}
	if err := m.write(text); err != nil {
		return m.fail(exitCantCreate, "%v", err)
	}
	return exitOK
}

func (m *mon) errorXML(code int, err error) string {
	if m.o.legacyXML {
		return "<crm_mon version=\"" + toolVersion + "\"/>\n"
	}
	w := status.Result(append([]string{m.name}, m.args...)...)
	status.EndResult(w, code, exitText(code), m.name+": "+err.Error())
	return w.String()
}

// write puts the text where --output-to says. A file is replaced in one step, so that a reader never sees half of it.
func (m *mon) write(text string) error {
	if m.o.to == "" || m.o.to == "-" {
		_, err := fmt.Fprint(m.io.Out, text)
		return err
	}
	return replaceFile(m.o.to, []byte(text), 0o644)
}

// screen returns what comes before each display on a terminal.
func (m *mon) screen() string {
	if m.o.format == "console" && (m.o.to == "" || m.o.to == "-") {
		if file, ok := m.io.Out.(*os.File); ok && term.IsTerminal(int(file.Fd())) {
			return "\x1b[H\x1b[2J"
		}
	}
	return ""
}

// watch shows the state again and again, until a signal ends it. What is wrong meanwhile is shown in place of it.
func (m *mon) watch(clear string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	for {
		text, err := m.render()
		if err != nil {
			text = "Not connected: " + err.Error() + "\n"
			if m.o.format == "html" {
				text = m.html("<p class=\"warning\">" + htmlEscaper.Replace(strings.TrimSpace(text)) + "</p>\n")
			}
		}
		if err := m.write(clear + text); err != nil {
			return m.fail(exitCantCreate, "%v", err)
		}
		select {
		case <-ctx.Done():
			return exitOK
		case <-time.After(m.o.interval):
		}
	}
}

// render makes the display.
func (m *mon) render() (string, error) {
	c, end, err := openView()
	if err != nil {
		return "", err
	}
	defer end()
	v, err := c.view()
	if err != nil {
		return "", err
	}
	if m.o.simple {
		return simpleStatus(v), nil
	}
	o := m.o.status(v)
	o.Fencing = m.o.fencings(c.fencings())
	switch m.o.format {
	case "none":
		return "", nil
	case "xml":
		return m.xml(v, o), nil
	case "html":
		return m.html(htmlBody(m.text(v, o))), nil
	}
	return m.text(v, o), nil
}

// fencings leaves out what is not asked for.
func (o *monOptions) fencings(list []status.FencingEvent) []status.FencingEvent {
	name := map[status.FencingState]string{status.FencingPending: "fencing-pending", status.FencingDone: "fencing-succeeded", status.FencingFailed: "fencing-failed"}
	return slices.DeleteFunc(list, func(e status.FencingEvent) bool { return !o.sections[name[e.State]] })
}

// status translates the options for package status.
func (o *monOptions) status(v *model.Cluster) status.Options {
	s := status.Options{
		Pending: true, Sparse: o.format != "xml",
		ByNode: o.byNode, ActiveOnly: !o.inactive, Brief: o.brief, Detail: o.detail,
		NoNodes: !o.sections["nodes"], NoResources: !o.sections["resources"],
		Attributes: o.sections["attributes"], FailCounts: o.sections["failcounts"], Operations: o.sections["operations"], Timing: o.timing,
		Failures: o.sections["failures"], Sentences: !o.detail, Tickets: o.sections["tickets"],
		Settings: o.sections["options"], Bans: o.sections["bans"], BanPrefix: o.bans, FencingAll: o.sections["fencing-succeeded"],
	}
	s.Only.Nodes, s.Only.Resources = chosen(v, o.node), chosen(v, o.resource)
	return s
}

// chosen is what --node and --resource restrict the display to: an id, or all that have a tag. nil = everything.
func chosen(v *model.Cluster, name string) map[string]bool {
	if name == "" {
		return nil
	}
	set := map[string]bool{name: true}
	for _, x := range v.Tags[name] {
		set[x] = true
	}
	return set
}

// summaryParts says which section each line of the summary belongs to, by how the line begins.
var summaryParts = []struct{ prefix, section string }{
	{"  * Stack:", "stack"}, {"  * Current DC:", "dc"}, {"  * Last ", "times"},
	{"  * STONITH of ", "options"}, {"  * Cluster is ", "options"}, {"  * No quorum ", "options"},
	{"    <stack ", "stack"}, {"    <current_dc ", "dc"}, {"    <last_", "times"},
	{"    <nodes_configured ", "counts"}, {"    <resources_configured ", "counts"}, {"    <cluster_options ", "options"},
}

// countsLine is a line of the summary that counts nodes or resources.
var countsLine = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^  \* [0-9]+ (nodes?|resource instances?) configured`)
})

// summary leaves out the lines of the summary that are not asked for; "" = all of them.
func (o *monOptions) summary(text string) string {
	var b strings.Builder
	shown := false
	for line := range strings.Lines(text) {
		section := ""
		for _, p := range summaryParts {
			if strings.HasPrefix(line, p.prefix) {
				section = p.section
			}
		}
		if section == "" && countsLine().MatchString(line) {
			section = "counts"
		}
		if section != "" && !o.sections[section] {
			continue
		}
		shown = shown || section != ""
		b.WriteString(line)
	}
	if !shown {
		return ""
	}
	return b.String()
}

func (m *mon) text(v *model.Cluster, o status.Options) string {
	head := m.o.summary(status.Summary(v, o))
	body := status.Text(v, o)
	if head != "" && body != "" {
		head += "\n"
	}
	return head + body
}

func (m *mon) xml(v *model.Cluster, o status.Options) string {
	o.Depth = 1
	summary := m.o.summary(status.SummaryXML(v, 1))
	body := summary + status.XML(v, o)
	if m.o.legacyXML {
		return "<crm_mon version=\"" + toolVersion + "\">\n" + body + "</crm_mon>\n"
	}
	w := status.Result(append([]string{m.name}, m.args...)...)
	w.Raw(body)
	status.EndResult(w, exitOK, exitText(exitOK))
	return w.String()
}

// simpleStatus is the one line for monitoring systems.
func simpleStatus(v *model.Cluster) string {
	var bad []string
	online, standby, maintenance, dc := 0, 0, 0, false
	for _, n := range v.Nodes {
		dc = dc || n.IsDC
		switch {
		case n.Standby && n.Online:
			standby++
		case n.Maintenance && n.Online:
			maintenance++
		case n.Online:
			online++
		case n.Pending:
			bad = append(bad, "pending node: "+n.Name)
		default:
			bad = append(bad, "offline node: "+n.Name)
		}
	}
	if !dc {
		line := "CLUSTER WARN: No DC"
		if len(bad) > 0 {
			line += ", " + strings.Join(bad, " ")
		}
		return line + "\n"
	}
	if len(bad) > 0 {
		return "CLUSTER WARN: " + strings.Join(bad, " ") + "\n"
	}
	count := func(n int, what string) string {
		if n == 1 {
			return "1 " + what
		}
		return strconv.Itoa(n) + " " + what + "s"
	}
	line := "CLUSTER OK: " + count(online, "node") + " online"
	if standby > 0 {
		line += ", " + count(standby, "standby node")
	}
	if maintenance > 0 {
		line += ", " + count(maintenance, "maintenance node")
	}
	total, _, _ := status.Instances(v)
	return line + ", " + count(total, "resource instance") + " configured\n"
}
