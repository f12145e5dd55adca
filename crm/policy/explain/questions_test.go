package explain_test

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/cib/cibcrm"
	"github.com/quorate/quorate/crm/policy"
	"github.com/quorate/quorate/crm/policy/explain"
	"github.com/quorate/quorate/crm/policy/model"
	"github.com/quorate/quorate/crm/simulate"
)

var rewrite = flag.Bool("rewrite", false, "write the golden files anew")

// now is the time of all questions.
var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// situation makes the input that the lines of a question describe: statements of the crm language; "nodes NAME...",
// which are online; "settle", which carries decisions out until nothing is left to do; and "if CHANGE".
func situation(lines []string) (policy.Input, error) {
	in := policy.Input{Document: &cib.Document{}, Now: now, Quorate: true}
	for _, line := range lines {
		word, rest, _ := strings.Cut(line, " ")
		var err error
		switch word {
		case "nodes":
			for i, name := range strings.Fields(rest) {
				id := fmt.Sprint(i + 1)
				in.Document.Config.Nodes = append(in.Document.Config.Nodes, cib.Node{ID: id, Name: name})
				in.Document.Status.Nodes = append(in.Document.Status.Nodes, cib.NodeState{ID: id, Name: name, InCCM: "true", CRMD: "online", Join: "member", Expected: "member"})
			}
		case "settle":
			in.Document, err = settle(in)
		case "if":
			in, err = explain.WhatIf(in, rest)
		default:
			err = configure(in.Document, line)
		}
		if err != nil {
			return in, fmt.Errorf("%s: %w", line, err)
		}
	}
	return in, nil
}

func configure(doc *cib.Document, line string) error {
	list, errs := cibcrm.Parse(line)
	if len(errs) > 0 {
		return errs[0]
	}
	e := cibcrm.NewEditor(&doc.Config)
	for _, s := range list {
		if err := e.Apply(s, cibcrm.Update); err != nil {
			return err
		}
	}
	return nil
}

// settle carries decisions out until nothing is left to do.
func settle(in policy.Input) (*cib.Document, error) {
	for range 10 {
		d, err := policy.Decide(in)
		if err != nil {
			return nil, err
		}
		if len(d.Graph.Synapses) == 0 {
			return in.Document, nil
		}
		in.Document = simulate.Execute(in.Document, d, nil, in.Now).Document
	}
	return nil, fmt.Errorf("does not come to rest")
}

// render prints an answer as crm explain does.
func render(list []explain.Instance) string {
	var b strings.Builder
	for i := range list {
		in := &list[i]
		fmt.Fprintf(&b, "%s: on %v, wanted on %q\n", in.Resource, in.Active, in.Wanted)
		for _, s := range in.Why {
			fmt.Fprintf(&b, "  %s\n", s)
		}
		for _, s := range in.Actions {
			fmt.Fprintf(&b, "  to do: %s\n", s)
		}
		for _, s := range in.Blocked {
			fmt.Fprintf(&b, "  cannot: %s\n", s)
		}
	}
	return b.String()
}

// TestQuestions asks the questions of testdata/questions.txt. Each has a comment with what an administrator wants to
// know, the situation, a line "explain RESOURCE [NODE]", a line of dashes and the answer.
func TestQuestions(t *testing.T) {
	t.Parallel()
	const name = "testdata/questions.txt"
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, block := range strings.Split(strings.TrimSpace(string(data)), "\n\n") {
		head, want, _ := strings.Cut(block, "\n----\n")
		var lines []string
		var question []string
		for _, line := range strings.Split(strings.TrimSuffix(head, "\n----"), "\n") {
			switch {
			case strings.HasPrefix(line, "#"):
			case strings.HasPrefix(line, "explain "):
				question = strings.Fields(line)[1:]
			default:
				lines = append(lines, line)
			}
		}
		got := answer(lines, question)
		if !*rewrite && got != want {
			t.Errorf("%s\ngot\n%s\nwant\n%s", head, got, want)
		}
		out = append(out, head+"\n----\n"+got)
	}
	if len(out) < 20 {
		t.Errorf("%d questions, want at least 20", len(out))
	}
	if *rewrite {
		if err := os.WriteFile(name, []byte(strings.Join(out, "\n\n")+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func answer(lines, question []string) string {
	in, err := situation(lines)
	if err != nil {
		return "error: " + err.Error()
	}
	in.Trace = model.Trace{Reasons: true}
	d, err := policy.Decide(in)
	if err != nil {
		return "error: " + err.Error()
	}
	list, err := explain.Explain(d.Cluster, question[0], strings.Join(question[1:], ""))
	if err != nil {
		return "error: " + err.Error()
	}
	return strings.TrimSuffix(render(list), "\n")
}
