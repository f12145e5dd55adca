package shell

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/policy"
	reasons "github.com/quorate/quorate/crm/policy/explain"
	"github.com/quorate/quorate/crm/policy/model"
	"github.com/quorate/quorate/crm/store/command"
)

// cmdExplain says why a resource is where it is, or why it is (not) on one node.
func (s *Shell) cmdExplain(c *call) error {
	var names, changes []string
	scores, output := false, "text"
	for i := 0; i < len(c.args); i++ {
		name, value, has := strings.Cut(c.args[i], "=")
		switch {
		case c.args[i] == "--scores":
			scores = true
		case name == "--if" || name == "--output" || c.args[i] == "-o":
			if !has {
				if i++; i >= len(c.args) {
					return c.usage("%s needs a value", name)
				}
				value = c.args[i]
			}
			if name == "--if" {
				changes = append(changes, value)
			} else {
				output = value
			}
		case strings.HasPrefix(c.args[i], "-"):
			return c.usage("unknown option %s", c.args[i])
		default:
			names = append(names, c.args[i])
		}
	}
	if output != "text" && output != "json" {
		return c.usage("unknown output %q: text or json", output)
	}
	if len(names) == 0 {
		return c.usage("an argument is missing")
	}
	if len(names) > 2 {
		return c.usage("%q is too much", names[2])
	}
	snap, err := s.load(c.ctx)
	if err != nil {
		return err
	}
	in := policy.Input{Document: snap.Doc, Now: time.Now().UTC(), Quorate: true, Trace: model.Trace{Reasons: true}}
	if snap.State != nil {
		in.Document = command.PolicyDocument(snap.State, leaderOf(snap))
	} else {
		in.Quorate = snap.Doc.Head.HaveQuorum == "" || cib.IsTrue(snap.Doc.Head.HaveQuorum)
	}
	for _, change := range changes {
		state, err := policy.State(in)
		if err != nil {
			return err
		}
		if in.Document, err = reasons.WhatIf(in.Document, state, change, in.Now); err != nil {
			return err
		}
	}
	d, err := policy.Decide(in)
	if err != nil {
		return err
	}
	id, node := names[0], ""
	if len(names) == 2 {
		node = names[1]
	}
	list, err := reasons.Explain(d.Cluster, id, node)
	if err != nil {
		if _, missing := mustFind(snap.Doc, id); missing != nil {
			return missing
		}
		return err
	}
	if output == "json" {
		data, err := json.MarshalIndent(list, "", "  ")
		if err != nil {
			return err
		}
		s.printf("%s\n", data)
		return nil
	}
	for i := range list {
		s.printExplained(&list[i], scores)
	}
	return nil
}

func (s *Shell) printExplained(in *reasons.Instance, scores bool) {
	wanted := "wanted nowhere"
	if in.Wanted != "" {
		wanted = "wanted on " + in.Wanted + " as " + in.Role
	}
	s.printf("%s: now on %s, %s\n", in.Resource, orNone(strings.Join(in.Active, ", ")), wanted)
	for _, line := range in.Why {
		s.printf("  %s\n", line)
	}
	for _, a := range in.Actions {
		s.printf("  To do: %s\n", a)
	}
	if !scores {
		return
	}
	for _, n := range in.Scores {
		var parts []string
		for _, p := range n.Contributions {
			parts = append(parts, p.Words())
		}
		s.printf("  %-12s %10s  = %s\n", n.Node, reasons.Number(n.Score), orNone(strings.Join(parts, "; ")))
	}
}
