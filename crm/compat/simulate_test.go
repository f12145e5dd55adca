package compat

import (
	"bytes"
	goflag "flag"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/quorate/quorate/crm/cib/cibxml"
)

var rewrite = goflag.Bool("rewrite", false, "write the golden files anew")

// simulated runs crm_simulate in this process.
func simulated(input string, args ...string) (out, errs string, code int) {
	var o, e bytes.Buffer
	code = Simulate(IO{In: strings.NewReader(input), Out: &o, Err: &e}, args)
	return o.String(), e.String(), code
}

// present replaces the times of the present, which injected results carry.
var present = regexp.MustCompile(`(last-failure-[^ =]*(?:=|" value="))\d+`)

// TestSimulate_Golden shows each option at work on one small cluster. testdata/simulate.txt has the command line, and
// after a line of dashes what it prints.
func TestSimulate_Golden(t *testing.T) {
	t.Parallel()
	const file = "testdata/three.xml"
	lines := []string{
		"",
		"-R",
		"-S",
		"-sU",
		"-sUQ",
		"-A -c",
		"-S -d alpha",
		"-S -f alpha",
		"-R -u delta",
		"-R -q false",
		"-R -w true",
		"-R -r t",
		"-R -b t",
		"-R -g t -e t",
		"-S -i web_monitor_10000@alpha=7",
		"-S -i nonsense -i web_monitor_x@alpha=7 -i no_such_0@alpha=1 -i web_monitor_0@alpha=bad",
		"-S -d alpha -F web_start_0@beta=1",
		"-R -t 2024-01-01T00:00:00Z",
		"-Q -S",
		"--output-as=none -S -s",
		"--output-as=xml",
		"--output-as=xml -R -sU",
		"--output-as=xml -S -q true -w true -u delta -d alpha -f gamma -g a -r t -b a -e a -i web_monitor_10000@beta=7 -i nonsense -F web_start_0@beta=1",
	}
	var b strings.Builder
	for _, line := range lines {
		args := append([]string{"-x", file}, strings.Fields(line)...)
		out, errs, code := simulated("", args...)
		b.WriteString("crm_simulate " + strings.Join(args, " ") + "\n----\n" + present.ReplaceAllString(out, "${1}NOW"))
		if errs != "" {
			b.WriteString("stderr: " + errs)
		}
		if code != 0 {
			t.Errorf("%s: exit code %d: %s", line, code, errs)
		}
		b.WriteString("\n")
	}
	const golden = "testdata/simulate.txt"
	if *rewrite {
		if err := os.WriteFile(golden, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	g, w := strings.Split(b.String(), "\n"), strings.Split(string(want), "\n")
	for i := range max(len(g), len(w)) {
		if i >= len(g) || i >= len(w) || g[i] != w[i] {
			t.Fatalf("line %d of %d is\n%s\nwant of %d\n%s", i+1, len(g), g[min(i, len(g)-1)], len(w), w[min(i, len(w)-1)])
		}
	}
}

func TestSimulate_ExitCodes(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	valid := "testdata/three.xml"
	for _, tt := range []struct {
		name string
		args []string
		in   string
		want int
		says string
	}{
		{"missing file", []string{"-x", filepath.Join(dir, "none.xml")}, "", exitDataErr, "none.xml"},
		{"no XML", []string{"-x", file("no.xml", "<cib")}, "", exitDataErr, "no.xml"},
		{"other XML", []string{"-x", file("other.xml", "<foo/>")}, "", exitDataErr, "foo"},
		{"nothing on standard input", []string{"-p", "-R"}, "", exitDataErr, "standard input"},
		{"document on standard input", []string{"-R"}, "<cib><configuration/></cib>", exitOK, ""},
		{"unknown schema", []string{"-p"}, `<cib validate-with="pacemaker-9.9"/>`, exitConfig, "pacemaker-9.9"},
		{"resource without id", []string{"-p"}, `<cib><configuration><resources><primitive class="ocf" type="x"/></resources></configuration></cib>`, exitConfig, "no id"},
		{"resource without class", []string{"-p"}, `<cib><configuration><resources><primitive id="a" type="x"/></resources></configuration></cib>`, exitConfig, "primitive a"},
		{"unknown option", []string{"--bogus"}, "", exitUsage, "--bogus"},
		{"value missing", []string{"-x"}, "", exitUsage, "'-x'"},
		{"argument", []string{"-x", valid, "extra"}, "", exitUsage, "extra"},
		{"number", []string{"-x", valid, "-N", "x"}, "", exitUsage, "'-N'"},
		{"date", []string{"-x", valid, "-t", "yesterday"}, "", exitUsage, "'-t'"},
		{"output form", []string{"-x", valid, "--output-as=html"}, "", exitNoSuch, "html"},
		{"output file", []string{"-x", valid, "--output-to", filepath.Join(dir, "no", "o")}, "", exitNoSuch, "no"},
		{"graph file", []string{"-x", valid, "-G", filepath.Join(dir, "no", "g")}, "", exitIOErr, "no"},
		{"dot file", []string{"-x", valid, "-D", filepath.Join(dir, "no", "d")}, "", exitIOErr, "no"},
		{"saved input", []string{"-x", valid, "-I", filepath.Join(dir, "no", "i")}, "", exitNoSuch, "no"},
		{"saved output", []string{"-x", valid, "-O", filepath.Join(dir, "no", "o")}, "", exitNoSuch, "no"},
		{"profile of nothing", []string{"-P", filepath.Join(dir, "no")}, "", exitDataErr, "no"},
		{"profile of what cannot be read", []string{"-P", dir}, "", exitDataErr, "no.xml"},
		{"profile", []string{"-P", "testdata", "-N", "2"}, "", exitOK, ""},
	} {
		_, errs, code := simulated(tt.in, tt.args...)
		if code != tt.want || !strings.Contains(errs, tt.says) || code != exitOK && errs == "" {
			t.Errorf("%s: exit code %d, want %d with %q; stderr: %s", tt.name, code, tt.want, tt.says, errs)
		}
		// The XML form says the same in its status element, once the output has begun.
		if tt.want == exitUsage && tt.name != "date" || tt.name == "output form" || tt.name == "output file" {
			continue
		}
		if out, _, code := simulated(tt.in, append([]string{"--output-as=xml"}, tt.args...)...); code != tt.want || !strings.Contains(out, `<status code="`) {
			t.Errorf("%s as XML: exit code %d, want %d: %s", tt.name, code, tt.want, out)
		}
	}
}

// TestSimulate_Saves checks that what is saved can be read again, and that saving in place needs no other file.
func TestSimulate_Saves(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	data, err := os.ReadFile("testdata/three.xml")
	if err != nil {
		t.Fatal(err)
	}
	in := filepath.Join(dir, "in.xml")
	if err := os.WriteFile(in, data, 0o600); err != nil {
		t.Fatal(err)
	}
	saved, result := filepath.Join(dir, "saved.xml"), filepath.Join(dir, "result.xml")
	if _, errs, code := simulated("", "-x", in, "-d", "alpha", "-S", "-I", saved, "-O", result, "-G", filepath.Join(dir, "graph.xml"), "-D", filepath.Join(dir, "graph.dot")); code != 0 {
		t.Fatalf("exit code %d: %s", code, errs)
	}
	for name, want := range map[string]string{saved: `uname="alpha"`, result: "web_start_0", filepath.Join(dir, "graph.xml"): "transition_graph", filepath.Join(dir, "graph.dot"): "digraph"} {
		got, err := os.ReadFile(name)
		if err != nil || !strings.Contains(string(got), want) {
			t.Errorf("%s lacks %q (%v)", name, want, err)
		}
		if strings.HasSuffix(name, "d.xml") || strings.HasSuffix(name, "t.xml") {
			if _, _, err := cibxml.Read(got); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	if out, errs, code := simulated("", "-x", result, "-R"); code != 0 || !strings.HasSuffix(out, "Transition Summary:\n") {
		t.Errorf("after the simulation there is still something to start (exit code %d, %s):\n%s", code, errs, out)
	}
	if _, errs, code := simulated("", "-x", in, "-d", "alpha", "-X", "-Q"); code != 0 {
		t.Fatalf("in place: exit code %d: %s", code, errs)
	}
	if got, _ := os.ReadFile(in); bytes.Equal(got, data) {
		t.Error("-X did not change the file")
	}
}

// TestSimulate_Schema checks the XML form against Pacemaker's schema, where that is installed. (-S with -c gives node_history
// in the revised status, as Pacemaker does, although its schema does not have it there.)
func TestSimulate_Schema(t *testing.T) {
	t.Parallel()
	const schema = "/usr/share/pacemaker/api/api-result.rng"
	if _, err := os.Stat(schema); err != nil {
		t.Skip("Pacemaker's API schema is not installed")
	}
	lint, err := exec.LookPath("xmllint")
	if err != nil {
		t.Skip("xmllint is not installed")
	}
	for _, line := range []string{"-S -sU -A", "-R -s -c", "-R -U", "-S -q true -u delta -d alpha -f gamma -g a -r t -b a -e a", "-P testdata"} {
		out, _, _ := simulated("", append([]string{"-x", "testdata/three.xml", "--output-as=xml"}, strings.Fields(line)...)...)
		cmd := exec.Command(lint, "--noout", "--relaxng", schema, "-")
		cmd.Stdin = strings.NewReader(out)
		if report, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s\n%s", line, err, report, out)
		}
	}
}
