package shell

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/quorate/quorate/crm/cib/cibxml"
	"github.com/quorate/quorate/crm/compat"
	"github.com/quorate/quorate/crm/policy"
	reasons "github.com/quorate/quorate/crm/policy/explain"
)

// cmdPredict is crm simulate: crm_simulate with what-ifs, past decisions and more forms of the graph.
func (s *Shell) cmdPredict(c *call) error {
	var at string
	var changes, graphs, rest []string
	for i := 0; i < len(c.args); i++ {
		name, value, has := strings.Cut(c.args[i], "=")
		if name != "--at" && name != "--if" && name != "--graph" {
			rest = append(rest, c.args[i])
			continue
		}
		if !has {
			if i++; i >= len(c.args) {
				return c.usage("%s needs a value", name)
			}
			value = c.args[i]
		}
		switch name {
		case "--at":
			at = value
		case "--if":
			changes = append(changes, value)
		default:
			graphs = append(graphs, value)
		}
	}
	if slices.ContainsFunc(rest, ownSource) {
		if at != "" || len(changes) > 0 || len(graphs) > 0 {
			return c.usage("--at, --if and --graph are for the cluster, not for a file: leave out -x, -p and -L")
		}
		return s.crmSimulate(nil, rest)
	}
	var in policy.Input
	var err error
	if at != "" {
		in, _, err = s.past(c.ctx, at)
	} else {
		in, err = s.present(c.ctx)
	}
	if err != nil {
		return err
	}
	for _, change := range changes {
		if in, err = reasons.WhatIf(in, change); err != nil {
			return err
		}
	}
	if len(graphs) > 0 {
		d, err := policy.Decide(in)
		if err != nil {
			return err
		}
		for _, file := range graphs {
			if err := writeGraph(c.ctx, d, file); err != nil {
				return err
			}
		}
	}
	if len(rest) == 0 {
		rest = []string{"--simulate"}
	}
	doc := *in.Document
	doc.Head.HaveQuorum = "0"
	if in.Quorate {
		doc.Head.HaveQuorum = "1"
	}
	if at != "" {
		doc.Head.ExecutionDate = strconv.FormatInt(in.Now.Unix(), 10)
	}
	return s.crmSimulate(cibxml.Write(&doc, cibxml.Options{Plain: true}), append([]string{"--xml-pipe"}, rest...))
}

// ownSource reports whether an option of crm_simulate names a document, or needs none.
func ownSource(option string) bool {
	for _, long := range [...]string{"--xml-file", "--xml-pipe", "--live-check", "--profile", "--help", "--version"} {
		if name, _, _ := strings.Cut(option, "="); len(name) > 3 && strings.HasPrefix(long, name) || name == long {
			return true
		}
	}
	return len(option) > 1 && option[0] == '-' && option[1] != '-' && strings.ContainsAny(option[1:2], "xpLP?h$")
}

func (s *Shell) crmSimulate(input []byte, args []string) error {
	if code := compat.Simulate(compat.IO{In: bytes.NewReader(input), Out: s.out, Err: s.err}, args); code != 0 {
		return fmt.Errorf("the simulation ended with exit code %d", code)
	}
	return nil
}

// writeGraph writes the transition in the form that the file's name ends with.
func writeGraph(ctx context.Context, d *policy.Decision, file string) error {
	switch strings.ToLower(filepath.Ext(file)) {
	case ".dot":
		return os.WriteFile(file, d.Dot(policy.DotOptions{}), 0o600)
	case ".xml":
		return os.WriteFile(file, d.Graph.XML(), 0o600)
	case ".json":
		return os.WriteFile(file, d.JSON(), 0o600)
	case ".svg":
		return runDot(ctx, string(d.Dot(policy.DotOptions{})), "svg", file)
	}
	return fmt.Errorf("%s: the graph is written as .dot, .svg, .json or .xml, by the end of the file's name", file)
}
