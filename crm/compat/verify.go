package compat

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/cib/cibxml"
	"github.com/quorate/quorate/crm/policy"
	check "github.com/quorate/quorate/crm/verify"
)

// crmVerify is crm_verify: is a configuration sound?
func crmVerify(stdio IO, args []string) int {
	f := &frame{"crm_verify", "check a configuration", stdio}
	var o output
	var source, argument, save string
	verbose := false
	from := func(name string) func(string) error {
		return func(s string) error { source, argument = name, s; return nil }
	}
	rest, code, done := f.parse(args, append(o.table(),
		option{short: 'L', long: "live-check", help: "check the configuration of the running cluster", set: from("live")},
		option{short: 'x', long: "xml-file", value: true, arg: "FILE", help: "check a file", set: from("file")},
		option{short: 'X', long: "xml-text", value: true, arg: "XML", help: "check this text", set: from("text")},
		option{short: 'p', long: "xml-pipe", help: "check standard input", set: from("pipe")},
		option{short: 'S', long: "save-xml", value: true, arg: "FILE", help: "save what was checked", set: text(&save)},
		option{short: 'V', long: "verbose", help: "show warnings too", set: flag(&verbose)}))
	switch {
	case done:
		return code
	case len(rest) > 0:
		return f.fail(exitUsage, "unexpected argument %q; see crm_verify --help", rest[0])
	case source == "":
		return f.fail(exitError, "No configuration source specified.  Use --help for usage information.")
	}
	if err := o.begin(f, args); err != nil {
		return f.failed(err)
	}
	data, err := verifyInput(stdio, source, argument)
	if err != nil {
		return o.end(err)
	}
	return o.end(verify(&o, data, verbose, save))
}

func verifyInput(stdio IO, source, argument string) ([]byte, error) {
	switch source {
	case "live":
		return liveCIB()
	case "file":
		data, err := os.ReadFile(argument)
		if err != nil {
			return nil, coded(exitError, "Couldn't parse input file: %w", err)
		}
		return data, nil
	case "pipe":
		return io.ReadAll(io.LimitReader(stdio.In, maxTreeSize))
	}
	return []byte(argument), nil
}

// verify checks the document: its form, what it refers to, and what the policy says of it. As of Pacemaker's, the
// configuration is not valid either when there is something in its status that an administrator should look at.
func verify(o *output, data []byte, verbose bool, save string) error {
	invalid := coded(exitConfig, "Errors found during check: config not valid")
	doubtful := coded(exitConfig, "Warnings found during check: config may not be valid")
	doc, problems, err := cibxml.Read(data)
	if err != nil {
		o.warn("error: %v", err)
		return invalid
	}
	if save != "" {
		if err := os.WriteFile(save, cibxml.Write(doc, cibxml.Options{}), 0o600); err != nil {
			return &codeError{exitCantCreate, err}
		}
	}
	wrong := false
	for _, p := range append(problems, check.Problems(check.Input{After: doc})...) {
		wrong = wrong || p.Severity == cib.Error
		if p.Severity == cib.Error || verbose {
			o.warn("%s: %s", map[bool]string{true: "error", false: "warning"}[p.Severity == cib.Error], p)
		}
	}
	in := policy.Input{Document: doc, Now: time.Now(), Quorate: cib.IsTrue(doc.Head.HaveQuorum)}
	v, err := policy.Read(in)
	var d *policy.Decision
	if err == nil {
		d, err = policy.Decide(in)
	}
	if err != nil {
		o.warn("error: %v", err)
		return invalid
	}
	for _, m := range v.Messages {
		wrong = wrong || m.Error
		if m.Error || verbose {
			o.warn("%s: %s", map[bool]string{true: "error", false: "warning"}[m.Error], m.Text)
		}
	}
	list := doubts(doc, d)
	if verbose {
		for _, text := range list {
			o.warn("warning: %s", text)
		}
	}
	switch {
	case wrong:
		return invalid
	case len(list) > 0:
		return doubtful
	}
	return nil
}

// doubts lists what crm_verify warns of besides what is wrong with the configuration itself.
func doubts(doc *cib.Document, d *policy.Decision) []string {
	var out []string
	known := make(map[string]bool)
	for _, n := range d.Cluster.Nodes {
		known[n.Name] = true
		if n.Unclean && !n.IsGuestKind() {
			out = append(out, fmt.Sprintf("node %s is unclean", n.Name))
		}
	}
	for i := range doc.Status.Nodes {
		if n := &doc.Status.Nodes[i]; !known[n.Name] {
			out = append(out, fmt.Sprintf("node %s is in the status and not in the configuration", n.Name))
		}
	}
	for _, c := range d.Summary() {
		if c.Verb == "Fence" && c.Container == "" {
			out = append(out, fmt.Sprintf("node %s would be fenced (%s): %s", c.Node, c.FenceOp, c.Reason))
		}
	}
	for _, r := range d.Cluster.All {
		if r.Removed && len(r.Active) > 0 {
			out = append(out, fmt.Sprintf("resource %s runs on %s and is not in the configuration", r.ID, r.Active[0].Name))
		}
	}
	cib.EachResource(&doc.Config, func(r, _ *cib.Resource) {
		seen := make(map[string]bool)
		for i := range r.Operations.List {
			op := &r.Operations.List[i]
			ms, err := cib.ParseInterval(op.Interval)
			if key := fmt.Sprint(op.Name, " every ", ms, " ms"); err == nil && ms > 0 && op.IDRef == "" {
				if seen[key] {
					out = append(out, fmt.Sprintf("operation %s of %s is configured twice", key, r.ID))
				}
				seen[key] = true
			}
			onFail := ""
			for _, a := range op.Extra {
				if a.Name == "on-fail" {
					onFail = a.Value
				}
			}
			switch {
			case op.Name == "stop" && onFail == "stop":
				out = append(out, fmt.Sprintf("on-fail=stop has no meaning for the operation stop of %s; the default counts", r.ID))
			case onFail == "fence" && !cib.IsTrue(cib.EffectiveProperty(doc, "fencing-enabled")):
				out = append(out, fmt.Sprintf("on-fail=fence of the operation %s of %s cannot be met: fencing is off", op.Name, r.ID))
			}
		}
	})
	for i := range doc.Config.Constraints {
		if k := &doc.Config.Constraints[i]; k.Kind == cib.Order && k.RequireAll != "" {
			out = append(out, fmt.Sprintf("order %s: require-all goes with sets of resources, and with clone-min of a clone", k.ID))
		}
	}
	return out
}

// crmRule is crm_rule: is a rule of the configuration in effect?
func crmRule(stdio IO, args []string) int {
	f := &frame{"crm_rule", "tell whether rules are in effect", stdio}
	var o output
	var check bool
	var date, xmlText string
	var rules []string
	rest, code, done := f.parse(args, append(o.table(),
		option{short: 'c', long: "check", help: "check whether the rules are in effect", set: flag(&check)},
		option{short: 'd', long: "date", value: true, arg: "DATE", help: "at this time instead of now", set: text(&date)},
		option{short: 'r', long: "rule", value: true, arg: "ID", help: "the rule; may be given again", set: list(&rules)},
		option{short: 'X', long: "xml-text", value: true, arg: "XML", help: "in this configuration; - is standard input", set: text(&xmlText)}))
	switch {
	case done:
		return code
	case len(rest) > 0 || !check || len(rules) == 0:
		return f.fail(exitUsage, "usage: crm_rule --check --rule ID [--date DATE]")
	}
	if err := o.begin(f, args); err != nil {
		return f.failed(err)
	}
	return o.end(checkRules(&o, stdio, rules, date, xmlText))
}

func checkRules(o *output, stdio IO, ids []string, date, xmlText string) error {
	var data []byte
	var err error
	switch xmlText {
	case "":
		data, err = liveCIB()
	case "-":
		data, err = io.ReadAll(io.LimitReader(stdio.In, maxTreeSize))
	default:
		data = []byte(xmlText)
	}
	if err != nil {
		return err
	}
	doc, _, err := cibxml.Read(data)
	if err != nil {
		return &codeError{exitDataErr, err}
	}
	now := time.Now()
	if date != "" {
		if now, err = parseDate(date); err != nil {
			return &codeError{exitUsage, err}
		}
	}
	var worst error
	for _, id := range ids {
		if err := checkRule(o, doc, id, now); err != nil && worst == nil {
			worst = err
		}
	}
	return worst
}

func checkRule(o *output, doc *cib.Document, id string, now time.Time) error {
	r := findRule(doc, id)
	if r == nil {
		return coded(exitNoSuch, "Could not determine whether rule %s is in effect: Rule not found", id)
	}
	said, err := ruleState(r, now)
	if said != "" {
		o.printf("Rule %s %s\n", id, said)
	}
	if err != nil && o.xml != nil {
		o.xml.Empty("rule-check", "rule-id", id, "rc", fmt.Sprint(exitCode(err)))
	}
	return err
}
