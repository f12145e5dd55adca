package compat

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/cib/cibxml"
	"github.com/quorate/quorate/crm/policy"
	"github.com/quorate/quorate/crm/policy/model"
	"github.com/quorate/quorate/crm/rule/iso8601"
	"github.com/quorate/quorate/crm/simulate"
	"github.com/quorate/quorate/crm/status"
	"github.com/quorate/quorate/crm/version"
)

// simulateOptions are the options of crm_simulate (spec/06-simulation.md section 1).
type simulateOptions struct {
	run, simulate, inPlace, live, pipe, quiet   bool
	scores, utilization, attrs, failcounts, all bool
	verbose                                     int
	file, saveInput, saveOutput, graph, dot     string
	date, profile, outputAs, outputTo           string
	repeat                                      int
	inject                                      simulate.Injection
	fail                                        []string
	help, version                               bool
}

func (o *simulateOptions) table() []option {
	number := func(p *int) func(string) error {
		return func(s string) error {
			n, err := fmt.Sscanf(s, "%d", p)
			if n != 1 || err != nil || *p < 1 {
				return fmt.Errorf("%q is not a number of at least 1", s)
			}
			return nil
		}
	}
	ignored := func(string) error { return nil }
	return []option{
		{short: '?', long: "help", help: "show this text", set: flag(&o.help)},
		{short: '$', long: "version", help: "show the version", set: flag(&o.version)},
		{short: 'V', long: "verbose", help: "action numbers in the dot file", set: func(string) error { o.verbose++; return nil }},
		{short: 'Q', long: "quiet", help: "only scores and utilization", set: flag(&o.quiet)},
		{short: 'R', long: "run", help: "show what the cluster would do", set: flag(&o.run)},
		{short: 'S', long: "simulate", help: "-R, carry it out and show the result", set: flag(&o.simulate)},
		{short: 'X', long: "in-place", help: "-S and store the result over the input file", set: flag(&o.inPlace)},
		{short: 'x', long: "xml-file", value: true, arg: "FILE", help: "read the document from FILE", set: text(&o.file)},
		{short: 'p', long: "xml-pipe", help: "read the document from standard input", set: flag(&o.pipe)},
		{short: 'L', long: "live-check", help: "read the document of the running cluster", set: flag(&o.live)},
		{short: 'I', long: "save-input", value: true, arg: "FILE", help: "write the document after the injections", set: text(&o.saveInput)},
		{short: 'O', long: "save-output", value: true, arg: "FILE", help: "write the resulting document", set: text(&o.saveOutput)},
		{short: 'G', long: "save-graph", value: true, arg: "FILE", help: "write the transition graph as XML", set: text(&o.graph)},
		{short: 'D', long: "save-dotfile", value: true, arg: "FILE", help: "write the transition graph for Graphviz", set: text(&o.dot)},
		{short: 'a', long: "all-actions", help: "optional actions in the dot file too", set: flag(&o.all)},
		{short: 's', long: "show-scores", help: "show the scores", set: flag(&o.scores)},
		{short: 'U', long: "show-utilization", help: "show utilization", set: flag(&o.utilization)},
		{short: 'A', long: "show-attrs", help: "show node attributes", set: flag(&o.attrs)},
		{short: 'c', long: "show-failcounts", help: "show fail counts", set: flag(&o.failcounts)},
		{short: 'j', long: "pending", help: "accepted; pending operations are always shown", set: ignored},
		{short: 't', long: "set-datetime", value: true, arg: "DATE", help: "use this date instead of now", set: text(&o.date)},
		{short: 'q', long: "quorum", value: true, arg: "VALUE", help: "set have-quorum", set: text(&o.inject.Quorum)},
		{short: 'w', long: "watchdog", value: true, arg: "VALUE", help: "set have-watchdog", set: text(&o.inject.Watchdog)},
		{short: 'u', long: "node-up", value: true, arg: "NODE", help: "bring a node online", set: list(&o.inject.Up)},
		{short: 'd', long: "node-down", value: true, arg: "NODE", help: "take a node offline", set: list(&o.inject.Down)},
		{short: 'f', long: "node-fail", value: true, arg: "NODE", help: "fail a node", set: list(&o.inject.Fail)},
		{short: 'i', long: "op-inject", value: true, arg: "OPSPEC", help: "inject a result, RSC_TASK_INTERVALms@NODE=RC", set: list(&o.inject.Operations)},
		{short: 'F', long: "op-fail", value: true, arg: "OPSPEC", help: "make an operation of the transition fail", set: list(&o.fail)},
		{short: 'g', long: "ticket-grant", value: true, arg: "TICKET", help: "grant a ticket", set: list(&o.inject.Grant)},
		{short: 'r', long: "ticket-revoke", value: true, arg: "TICKET", help: "revoke a ticket", set: list(&o.inject.Revoke)},
		{short: 'b', long: "ticket-standby", value: true, arg: "TICKET", help: "make a ticket standby", set: list(&o.inject.Standby)},
		{short: 'e', long: "ticket-activate", value: true, arg: "TICKET", help: "activate a ticket", set: list(&o.inject.Activate)},
		{short: 'P', long: "profile", value: true, arg: "DIR", help: "time every document of a directory", set: text(&o.profile)},
		{short: 'N', long: "repeat", value: true, arg: "N", help: "with -P, how often", set: number(&o.repeat)},
		{long: "output-as", value: true, arg: "FORMAT", help: "text (default), xml or none", set: text(&o.outputAs)},
		{long: "output-to", value: true, arg: "FILE", help: "write the output to FILE", set: text(&o.outputTo)},
	}
}

// Simulate is crm_simulate: what would the cluster do.
func Simulate(stdio IO, args []string) int {
	var o simulateOptions
	fail := func(code int, format string, a ...any) int {
		fmt.Fprintf(stdio.Err, "crm_simulate: "+format+"\n", a...)
		return code
	}
	rest, err := parse(args, o.table())
	switch {
	case err != nil:
		return fail(exitUsage, "%v; see crm_simulate --help", err)
	case o.help:
		fmt.Fprint(stdio.Out, "crm_simulate: what would the cluster do\n\nUsage: crm_simulate [OPTION...]\n\n", usage(o.table()),
			"\nExample: what happens when node alpha is lost, starting from the running cluster?\n  crm_simulate -L -S -f alpha\n")
		return exitOK
	case o.version:
		fmt.Fprintln(stdio.Out, "Quorate", version.Version)
		return exitOK
	case len(rest) > 0:
		return fail(exitUsage, "unexpected argument %q; see crm_simulate --help", rest[0])
	case o.outputAs != "" && o.outputAs != "text" && o.outputAs != "xml" && o.outputAs != "none":
		return fail(exitUsage, "unknown output format %q: text, xml or none", o.outputAs)
	}
	if o.outputTo != "" && o.outputTo != "-" {
		f, err := os.Create(o.outputTo)
		if err != nil {
			return fail(exitNoSuch, "%v", err)
		}
		defer f.Close()
		stdio.Out = f
	}
	s := &simulation{o: &o, out: &textOutput{w: stdio.Out, quiet: o.quiet || o.outputAs == "none"}, err: stdio.Err, fail: fail}
	if o.profile != "" {
		return s.profile()
	}
	doc, code := s.load(stdio.In)
	if doc == nil {
		return code
	}
	return s.run(doc)
}

// textOutput prints sections as the field's tools do: an empty line between blocks.
type textOutput struct {
	w       io.Writer
	quiet   bool
	started bool
}

func (t *textOutput) section(title string) {
	if t.quiet {
		return
	}
	t.gap()
	fmt.Fprintf(t.w, "%s:\n", title)
}

// gap separates a block from the one before.
func (t *textOutput) gap() {
	if t.started {
		fmt.Fprintln(t.w)
	}
	t.started = true
}

func (t *textOutput) item(line string) {
	if !t.quiet {
		fmt.Fprintf(t.w, "  * %s\n", line)
	}
}

func (t *textOutput) plain(line string) {
	if !t.quiet {
		fmt.Fprintln(t.w, line)
	}
}

type simulation struct {
	o    *simulateOptions
	out  *textOutput
	err  io.Writer
	fail func(code int, format string, a ...any) int
	date time.Time // of -t
}

// load reads the document and brings it to the newest schema.
func (s *simulation) load(in io.Reader) (*cib.Document, int) {
	var data []byte
	var err error
	switch {
	case s.o.live:
		data, err = liveCIB()
		if err != nil {
			return nil, s.fail(exitNotConnected, "%v", err)
		}
	case s.o.file != "":
		data, err = os.ReadFile(s.o.file)
	default:
		data, err = io.ReadAll(in)
	}
	if err != nil {
		return nil, s.fail(exitDataErr, "%v", err)
	}
	doc, _, err := cibxml.Read(data)
	if err != nil {
		return nil, s.fail(exitDataErr, "%s: %v", s.inputName(), err)
	}
	return doc, exitOK
}

func (s *simulation) inputName() string {
	switch {
	case s.o.live:
		return "the running cluster"
	case s.o.file != "":
		return s.o.file
	}
	return "standard input"
}

// effectiveTime tells the time to decide at, and says so when it is not now.
func (s *simulation) effectiveTime(doc *cib.Document) (time.Time, error) {
	if s.o.date != "" {
		if s.date.IsZero() {
			t, err := iso8601.ParseDate(s.o.date, time.Now(), time.Local)
			if err != nil {
				return time.Time{}, err
			}
			s.date = t
		}
		s.out.plain("Setting effective cluster time: " + s.o.date)
		return s.date, nil
	}
	if doc.Head.ExecutionDate != "" {
		var seconds int64
		if _, err := fmt.Sscanf(doc.Head.ExecutionDate, "%d", &seconds); err == nil {
			t := time.Unix(seconds, 0).UTC()
			s.out.plain("Using the original execution date of: " + t.Format("2006-01-02 15:04:05Z"))
			return t, nil
		}
	}
	return time.Now(), nil
}

func (s *simulation) input(doc *cib.Document, now time.Time) policy.Input {
	return policy.Input{Document: doc, Now: now, Quorate: cib.IsTrue(doc.Head.HaveQuorum), Sanitized: true,
		Trace: model.Trace{Scores: s.o.scores, Utilization: s.o.utilization}}
}

func (s *simulation) run(doc *cib.Document) int {
	o := s.o
	now, err := s.effectiveTime(doc)
	if err != nil {
		return s.fail(exitUsage, "option '-t': %v", err)
	}
	c, err := policy.State(s.input(doc, now))
	if err != nil {
		return s.fail(exitConfig, "%s: %v", s.inputName(), err)
	}
	s.showStatus("Current cluster status", c, true)

	if !o.inject.Empty() || o.inject.Quorum != "" {
		var done, problems []string
		doc, done, problems = simulate.Inject(doc, c, o.inject, now)
		if !o.inject.Empty() {
			s.out.section("Performing Requested Modifications")
			for _, line := range done {
				s.out.item(line)
			}
		}
		for _, p := range problems {
			fmt.Fprintln(s.err, p)
		}
		if now, err = s.effectiveTime(doc); err != nil {
			return s.fail(exitUsage, "%v", err)
		}
	}
	if o.saveInput != "" {
		if code := s.save(o.saveInput, doc); code != exitOK {
			return code
		}
	}
	simulating := o.simulate || o.inPlace || len(o.fail) > 0
	if !simulating && !o.run && o.graph == "" && o.dot == "" && !o.scores && !o.utilization {
		return s.saveOutput(doc)
	}

	d, err := policy.Decide(s.input(doc, now))
	if err != nil {
		return s.fail(exitConfig, "%s: %v", s.inputName(), err)
	}
	s.showScores(d.Cluster)
	if o.graph != "" {
		if err := os.WriteFile(o.graph, d.Graph.XML(), 0o644); err != nil {
			return s.fail(exitIOErr, "%v", err)
		}
	}
	if o.dot != "" {
		dot := d.Dot(policy.DotOptions{All: o.all, Numbers: o.verbose > 0})
		if err := os.WriteFile(o.dot, dot, 0o644); err != nil {
			return s.fail(exitIOErr, "%v", err)
		}
	}
	s.out.section("Transition Summary")
	for _, line := range policy.SummaryText(d.Summary()) {
		s.out.item(line)
	}
	if !simulating {
		return s.saveOutput(doc)
	}

	var specs []simulate.OpSpec
	for _, text := range o.fail {
		spec, err := simulate.ParseOpSpec(text)
		if err != nil {
			fmt.Fprintln(s.err, err)
			continue
		}
		specs = append(specs, spec)
	}
	s.out.section("Executing Cluster Transition")
	x := simulate.Execute(doc, d, specs, time.Now())
	for _, e := range x.Events {
		if e.Plain {
			s.out.plain(e.Text)
		} else {
			s.out.item(e.Text)
		}
	}
	code := exitOK
	if x.Terminated {
		fmt.Fprintln(s.err, "Transition failed: terminated")
		fmt.Fprintln(s.err, "An invalid transition was produced")
		code = exitError
	}
	after := s.input(x.Document, now)
	after.Trace = model.Trace{}
	if s.o.date == "" && x.Document.Head.ExecutionDate != "" {
		// The tools say the time again before the revised status.
		if after.Now, err = s.effectiveTime(x.Document); err != nil {
			return s.fail(exitUsage, "%v", err)
		}
	} else if s.o.date != "" {
		if after.Now, err = s.effectiveTime(x.Document); err != nil {
			return s.fail(exitUsage, "%v", err)
		}
	}
	c, err = policy.State(after)
	if err != nil {
		return s.fail(exitConfig, "the resulting document: %v", err)
	}
	s.showStatus("Revised Cluster Status", c, false)
	if saved := s.saveOutput(x.Document); saved != exitOK {
		return saved
	}
	return code
}

func (s *simulation) showStatus(title string, c *model.Cluster, current bool) {
	if s.out.quiet {
		return
	}
	if current && c.Options.Maintenance {
		s.out.started = true
		fmt.Fprint(s.out.w, "\n              *** Resource management is DISABLED ***\n  The cluster will not attempt to start, stop or recover services\n")
	}
	if current {
		if line := status.DisabledLine(c); line != "" {
			s.out.gap()
			s.out.plain(line)
		}
	}
	s.out.section(title)
	status.Write(s.out.w, c, status.Options{Depth: 1, Pending: current, Attributes: s.o.attrs, FailCounts: s.o.failcounts, Failures: s.o.failcounts})
}

func (s *simulation) showScores(c *model.Cluster) {
	if !s.o.scores && !s.o.utilization {
		return
	}
	title := "Assignment Scores"
	switch {
	case s.o.scores && s.o.utilization:
		title = "Assignment Scores and Utilization Information"
	case s.o.utilization:
		title = "Utilization Information"
	}
	if !s.o.quiet {
		s.out.section(title)
	}
	for _, l := range c.Scores {
		if s.o.quiet {
			fmt.Fprintln(s.out.w, l.Text)
		} else {
			s.out.item(l.Text)
		}
	}
	if s.o.quiet {
		fmt.Fprintln(s.out.w)
	}
}

func (s *simulation) saveOutput(doc *cib.Document) int {
	name := s.o.saveOutput
	if name == "" && s.o.inPlace {
		name = s.o.file
	}
	if name == "" {
		return exitOK
	}
	return s.save(name, doc)
}

func (s *simulation) save(name string, doc *cib.Document) int {
	if err := os.WriteFile(name, cibxml.Write(doc, cibxml.Options{}), 0o644); err != nil {
		return s.fail(exitNoSuch, "%v", err)
	}
	return exitOK
}

// profile times the decision of every document of a directory.
func (s *simulation) profile() int {
	names, err := filepath.Glob(filepath.Join(s.o.profile, "*.xml"))
	if err != nil || len(names) == 0 {
		return s.fail(exitDataErr, "no *.xml file in %s", s.o.profile)
	}
	slices.Sort(names)
	repeat := max(s.o.repeat, 1)
	s.out.section("Timings")
	for _, name := range names {
		start := time.Now()
		for range repeat {
			if err := decideFile(name); err != nil {
				return s.fail(exitDataErr, "%s: %v", name, err)
			}
		}
		s.out.item(fmt.Sprintf("Testing %s ... %.2f secs", name, time.Since(start).Seconds()))
	}
	return exitOK
}

func decideFile(name string) error {
	data, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	doc, _, err := cibxml.Read(data)
	if err != nil {
		return err
	}
	now := time.Now()
	if doc.Head.ExecutionDate != "" {
		var seconds int64
		if _, err := fmt.Sscanf(doc.Head.ExecutionDate, "%d", &seconds); err == nil {
			now = time.Unix(seconds, 0)
		}
	}
	_, err = policy.Decide(policy.Input{Document: doc, Now: now, Quorate: cib.IsTrue(doc.Head.HaveQuorum)})
	return err
}
