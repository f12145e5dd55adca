package shell

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestSimulate(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	name := filepath.Join(dir, "cib.xml")
	if err := os.WriteFile(name, []byte(pastDocument), 0o600); err != nil {
		t.Fatal(err)
	}
	graph := func(kind string) string { return filepath.Join(dir, "graph."+kind) }
	run := func(args ...string) (int, string, string) {
		var out, errs bytes.Buffer
		code := Run(context.Background(), Config{In: strings.NewReader(""), Out: &out, Err: &errs,
			Getenv: func(key string) string { return map[string]string{"CIB_file": name}[key] }}, args)
		return code, out.String(), errs.String()
	}
	for _, tt := range []struct {
		args     []string
		out, err string // out "" = an error is expected
	}{
		{[]string{"simulate"}, "Revised Cluster Status", ""},
		{[]string{"simulate", "-R"}, "Start      past    (  old1 )", ""},
		{[]string{"simulate", "--if", "node old1 standby", "-R"}, "Start      past    (  old2 )", ""},
		{[]string{"simulate", "--if=quorum no", "-R"}, "due to no quorum (blocked)", ""},
		{[]string{"simulate", "--output-as=xml", "-R"}, `<rsc_action action="start" resource="past" node="old1"/>`, ""},
		{[]string{"simulate", "-x", name, "-R"}, "Start      past", ""},
		{[]string{"simulate", "--graph", graph("json"), "--graph", graph("dot"), "--graph", graph("xml"), "-R"}, "Start", ""},
		{[]string{"configure", "simulate", "actions", "graph", graph("json")}, "start past on old1", ""},
		{[]string{"simulate", "--graph", graph("png")}, "", "written as .dot"},
		{[]string{"simulate", "--graph"}, "", "--graph needs a value"},
		{[]string{"simulate", "-x", name, "--if", "node old1 standby"}, "", "not for a file"},
		{[]string{"simulate", "--if", "node old3 standby"}, "", "the nodes are old1, old2"},
		{[]string{"simulate", "--bogus"}, "", "exit code 64"},
		{[]string{"simulate", "--at", "1.1"}, "", "running cluster"},
		{[]string{"configure", "simulate", "graph"}, "", "graph needs a file"},
	} {
		code, out, errs := run(tt.args...)
		if (code != 0) != (tt.out == "") || !strings.Contains(out, tt.out) || !strings.Contains(errs, tt.err) {
			t.Errorf("crm %s: exit %d, want %q and %q in\n%s%s", strings.Join(tt.args, " "), code, tt.out, tt.err, out, errs)
		}
	}
	for kind, want := range map[string]string{"json": `"changes"`, "dot": "digraph", "xml": "<transition_graph"} {
		data, err := os.ReadFile(graph(kind))
		if err != nil || !strings.Contains(string(data), want) {
			t.Errorf("graph.%s lacks %q (%v)", kind, want, err)
		}
	}
}

func TestLive_SimulatePast(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	if got := c.must("simulate", "--at", "3.8", "-R"); !strings.Contains(got, "Using the original execution date of: 2026-01-01 12:01:00Z") || !strings.Contains(got, "Start      past") {
		t.Errorf("crm simulate --at:\n%s", got)
	}
}
