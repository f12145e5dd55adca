package compat

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
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
		{short: 'h', long: "help", help: "show this text", set: flag(&o.help)},
		{short: '?', help: "the same", set: flag(&o.help)},
		{long: "help-all", help: "the same", set: flag(&o.help)},
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
		{long: "text-fancy", help: "accepted; the text is formatted anyway", set: ignored},
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
			"\nOPSPEC is RESOURCE_OPERATION_INTERVAL@NODE=RC, with the interval in milliseconds and the result code of OCF agents:\n"+
				"  crm_simulate -L -S -i web_monitor_10000@alpha=7\n"+
				"\nExample: what happens when node alpha is lost, starting from the running cluster?\n  crm_simulate -L -S -f alpha\n")
		return exitOK
	case o.version:
		fmt.Fprintln(stdio.Out, "Quorate", version.Version)
		return exitOK
	case len(rest) > 0:
		return fail(exitUsage, "unexpected argument %q; see crm_simulate --help", rest[0])
	case o.outputAs != "" && o.outputAs != "text" && o.outputAs != "xml" && o.outputAs != "none":
		return fail(exitNoSuch, "unknown output format %q: text, xml or none", o.outputAs)
	}
	if o.outputTo != "" && o.outputTo != "-" {
		f, err := os.Create(o.outputTo)
		if err != nil {
			return fail(exitNoSuch, "%v", err)
		}
		defer f.Close()
		stdio.Out = f
	}
	s := &simulation{o: &o}
	if o.outputAs == "xml" {
		s.report = newXMLReport(stdio.Out, append([]string{"crm_simulate"}, args...))
	} else {
		s.report = &textReport{w: stdio.Out, err: stdio.Err, quiet: o.quiet || o.outputAs == "none", none: o.outputAs == "none"}
	}
	if o.profile != "" {
		return s.report.end(s.profile())
	}
	doc, err := s.load(stdio.In)
	if err == nil {
		err = s.run(doc)
	}
	return s.report.end(err)
}

// simulateReport is where the sections of a simulation go.
type simulateReport interface {
	note(line string)    // about the time used
	problem(text string) // what was left out
	state(title string, c *model.Cluster, o status.Options)
	modifications(list []simulate.Modification)
	scores(c *model.Cluster, scores, utilization bool)
	changes(list []policy.Change)
	transition(events []simulate.Event)
	timings()
	timing(file string, took time.Duration)
	end(err error) int // says what went wrong, and returns the exit code
}

type simulation struct {
	o      *simulateOptions
	report simulateReport
	date   time.Time // of -t
}

// maxDocument bounds a document that is read, in bytes.
const maxDocument = 512 << 20

// load reads the document. It refuses what Pacemaker's schema would refuse outright.
func (s *simulation) load(in io.Reader) (*cib.Document, error) {
	var data []byte
	var err error
	switch {
	case s.o.live:
		if data, err = liveCIB(); err != nil {
			return nil, &codeError{exitNotConnected, err}
		}
	case s.o.file != "":
		data, err = readDocument(s.o.file)
	default:
		data, err = io.ReadAll(io.LimitReader(in, maxDocument))
	}
	if err != nil {
		return nil, &codeError{exitDataErr, err}
	}
	doc, _, err := cibxml.Read(data)
	if err != nil {
		return nil, coded(exitDataErr, "%s: %w", s.inputName(), err)
	}
	if err := schemaError(doc); err != nil {
		return nil, coded(exitConfig, "%s: %w", s.inputName(), err)
	}
	return doc, nil
}

func readDocument(name string) ([]byte, error) {
	if st, err := os.Stat(name); err != nil {
		return nil, err
	} else if st.Size() > maxDocument {
		return nil, fmt.Errorf("%s has %d bytes, at most %d can be read", name, st.Size(), maxDocument)
	}
	return os.ReadFile(name)
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
				return time.Time{}, coded(exitUsage, "option '-t': %w", err)
			}
			s.date = t
		}
		s.report.note("Setting effective cluster time: " + s.o.date)
		return s.date, nil
	}
	if t, ok := executionDate(doc); ok {
		s.report.note("Using the original execution date of: " + t.Format("2006-01-02 15:04:05Z"))
		return t, nil
	}
	return time.Now(), nil
}

// executionDate is the time that a saved document was decided at.
func executionDate(doc *cib.Document) (time.Time, bool) {
	seconds, err := strconv.ParseInt(doc.Head.ExecutionDate, 10, 64)
	return time.Unix(seconds, 0).UTC(), err == nil
}

func (s *simulation) input(doc *cib.Document, now time.Time) policy.Input {
	return policy.Input{Document: doc, Now: now, Quorate: cib.IsTrue(doc.Head.HaveQuorum), Sanitized: true,
		Trace: model.Trace{Scores: s.o.scores, Utilization: s.o.utilization}}
}

func (s *simulation) display(current bool) status.Options {
	return status.Options{Pending: current, Attributes: s.o.attrs, FailCounts: s.o.failcounts, Failures: s.o.failcounts}
}

func (s *simulation) run(doc *cib.Document) error {
	o := s.o
	now, err := s.effectiveTime(doc)
	if err != nil {
		return err
	}
	c, err := policy.State(s.input(doc, now))
	if err != nil {
		return coded(exitConfig, "%s: %w", s.inputName(), err)
	}
	s.report.state("Current cluster status", c, s.display(true))
	if !o.inject.Empty() || o.inject.Quorum != "" {
		if doc, now, err = s.injected(doc, c, now); err != nil {
			return err
		}
	}
	if o.saveInput != "" {
		if err := save(o.saveInput, doc); err != nil {
			return err
		}
	}
	simulating := o.simulate || o.inPlace || len(o.fail) > 0
	if !simulating && !o.run && o.graph == "" && o.dot == "" && !o.scores && !o.utilization {
		return s.saveOutput(doc)
	}
	d, err := policy.Decide(s.input(doc, now))
	if err != nil {
		return coded(exitConfig, "%s: %w", s.inputName(), err)
	}
	if o.scores || o.utilization {
		s.report.scores(d.Cluster, o.scores, o.utilization)
	}
	if err := s.saveGraphs(d); err != nil {
		return err
	}
	s.report.changes(d.Summary())
	if !simulating {
		return s.saveOutput(doc)
	}
	return s.execute(doc, d, now)
}

// injected is the document after the modifications that were asked for, and the time to decide at.
func (s *simulation) injected(doc *cib.Document, c *model.Cluster, now time.Time) (*cib.Document, time.Time, error) {
	doc, done, problems := simulate.Inject(doc, c, s.o.inject, now)
	if !s.o.inject.Empty() {
		s.report.modifications(done)
	}
	for _, p := range problems {
		s.report.problem(p)
	}
	now, err := s.effectiveTime(doc)
	return doc, now, err
}

func (s *simulation) saveGraphs(d *policy.Decision) error {
	if s.o.graph != "" {
		if err := os.WriteFile(s.o.graph, d.Graph.XML(), 0o644); err != nil {
			return &codeError{exitIOErr, err}
		}
	}
	if s.o.dot != "" {
		dot := d.Dot(policy.DotOptions{All: s.o.all, Numbers: s.o.verbose > 0})
		if err := os.WriteFile(s.o.dot, dot, 0o644); err != nil {
			return &codeError{exitIOErr, err}
		}
	}
	return nil
}

// execute carries the decision out on a copy of the document and shows what becomes of it.
func (s *simulation) execute(doc *cib.Document, d *policy.Decision, now time.Time) error {
	var specs []simulate.OpSpec
	for _, text := range s.o.fail {
		spec, err := simulate.ParseOpSpec(text)
		if err != nil {
			s.report.problem(err.Error())
			continue
		}
		specs = append(specs, spec)
	}
	x := simulate.Execute(doc, d, specs, time.Now())
	s.report.transition(x.Events)
	if x.Terminated {
		s.report.problem("Transition failed: terminated")
		s.report.problem("An invalid transition was produced")
	}
	after := s.input(x.Document, now)
	after.Trace = model.Trace{}
	var err error
	// The tools say the time again before the revised status, unless it is now.
	if s.o.date != "" || x.Document.Head.ExecutionDate != "" {
		if after.Now, err = s.effectiveTime(x.Document); err != nil {
			return err
		}
	}
	c, err := policy.State(after)
	if err != nil {
		return coded(exitConfig, "the resulting document: %w", err)
	}
	s.report.state("Revised Cluster Status", c, s.display(false))
	if err := s.saveOutput(x.Document); err != nil {
		return err
	}
	if x.Terminated {
		return &codeError{code: exitError}
	}
	return nil
}

func (s *simulation) saveOutput(doc *cib.Document) error {
	name := s.o.saveOutput
	if name == "" && s.o.inPlace {
		name = s.o.file
	}
	if name == "" {
		return nil
	}
	return save(name, doc)
}

func save(name string, doc *cib.Document) error {
	if err := os.WriteFile(name, cibxml.Write(doc, cibxml.Options{}), 0o644); err != nil {
		return &codeError{exitNoSuch, err}
	}
	return nil
}

// profile times the decision of every document of a directory.
func (s *simulation) profile() error {
	names, err := filepath.Glob(filepath.Join(s.o.profile, "*.xml"))
	if err != nil || len(names) == 0 {
		return coded(exitDataErr, "no *.xml file in %s", s.o.profile)
	}
	slices.Sort(names)
	s.report.timings()
	var failed error
	for _, name := range names {
		start := time.Now()
		var err error
		for i := 0; i < max(s.o.repeat, 1) && err == nil; i++ {
			err = decideFile(name)
		}
		if err != nil {
			failed = coded(exitDataErr, "%s: %w", name, err)
			s.report.problem(failed.Error())
			continue
		}
		s.report.timing(name, time.Since(start))
	}
	if failed != nil {
		return coded(exitDataErr, "some documents could not be used")
	}
	return nil
}

func decideFile(name string) error {
	data, err := readDocument(name)
	if err != nil {
		return err
	}
	doc, _, err := cibxml.Read(data)
	if err != nil {
		return err
	}
	now, saved := executionDate(doc)
	if !saved {
		now = time.Now()
	}
	_, err = policy.Decide(policy.Input{Document: doc, Now: now, Quorate: cib.IsTrue(doc.Head.HaveQuorum)})
	return err
}

// schemaError says why Pacemaker's schema would refuse the document outright: a schema that there is not, or an
// object without the id that everything else goes by.
func schemaError(doc *cib.Document) error {
	if v := doc.Head.ValidateWith; v != "" && v != "none" && !knownSchema(v) {
		return fmt.Errorf("validate-with=%q is no schema that is known here: pacemaker-1.0 to pacemaker-4.0", v)
	}
	for _, n := range doc.Config.Nodes {
		if n.ID == "" || n.Name == "" {
			return fmt.Errorf("a node in the configuration lacks its id or its name (id=%q uname=%q)", n.ID, n.Name)
		}
	}
	var err error
	cib.EachResource(&doc.Config, func(r, _ *cib.Resource) {
		switch {
		case err != nil:
		case r.ID == "":
			err = fmt.Errorf("a %s has no id", r.Kind)
		case (r.Kind == cib.Primitive && r.Template == "" || r.Kind == cib.Template) && (r.Class == "" || r.Type == ""):
			err = fmt.Errorf("the %s %s has no class or no type", r.Kind, r.ID)
		}
	})
	return err
}

// knownSchema reports whether a name is that of a schema that Pacemaker ever had.
func knownSchema(name string) bool {
	if name == "pacemaker-next" || name == "transitional-0.6" || name == "pacemaker-0.7" {
		return true
	}
	rest, ok := strings.CutPrefix(name, "pacemaker-")
	major, minor, ok2 := strings.Cut(rest, ".")
	a, err := strconv.Atoi(major)
	b, err2 := strconv.Atoi(minor)
	return ok && ok2 && err == nil && err2 == nil && a >= 0 && a <= 4 && b >= 0 && b <= 20
}
