package shell

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestImport takes over a CIB of Pacemaker: what is translated is reported, what would mean something else here is
// refused with its place, and what is unwise is said.
func TestImport(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "old.xml")
	write := func(value string) {
		t.Helper()
		text := `<cib validate-with="pacemaker-2.10"><configuration><crm_config/><nodes/><resources>
<master id="m"><primitive id="db" class="lsb" type="db">
<instance_attributes id="db-p"><nvpair id="db-pw" name="password" value="` + value + `"/></instance_attributes>
</primitive></master></resources><constraints/></configuration></cib>`
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	o := newOffline(t)
	write("ref:nosuch:/x")
	before := o.must("configure", "show")
	const bad = `the value of password begins with "ref:" and is no reference to a secret`
	o.refusedOffline("old.xml:3:32: primitive db: "+bad, "import", file)
	o.refusedOffline(bad, "configure", "load", "xml", "replace", file)
	o.refusedOffline(bad, "configure", "primitive", "x", "lsb:db", "params", "password=ref:nosuch:/x")
	if got := o.must("configure", "show"); got != before {
		t.Errorf("a refused import changed the configuration:\n%s", got)
	}
	write("lrm://")
	if got := o.must("import", file); !strings.Contains(got, "hidden by cibsecret") || !strings.Contains(got, "Imported") {
		t.Errorf("import:\n%s", got)
	}
	if got := o.must("export", "xml"); !strings.Contains(got, "ref:file:/var/lib/pacemaker/lrm/secrets/db/password") {
		t.Errorf("imported:\n%s", got)
	}
	write("secret")
	code, _, err := o.crm("", "import", file)
	if code != 0 || !strings.Contains(err, "old.xml:3:32: primitive db: the value of password is a password or key and stands in the open") {
		t.Errorf("import of a password: exit %d, %s", code, err)
	}
}

// TestExport_For writes the configuration for a release of Pacemaker, with the names that it knows.
func TestExport_For(t *testing.T) {
	t.Parallel()
	o := newOffline(t)
	o.must("configure", "property", "fencing-enabled=false")
	for _, args := range [][]string{{"export", "xml", "--for", "2.1"}, {"export", "--for=2.1", "xml"}} {
		code, out, err := o.crm("", args...)
		if code != 0 || !strings.Contains(out, `name="stonith-enabled" value="false"`) || strings.Contains(out, `name="fencing-enabled"`) {
			t.Errorf("%v: exit %d\n%s", args, code, out)
		}
		if !strings.Contains(err, "fencing-enabled is written as stonith-enabled") {
			t.Errorf("%v: nothing said of the translation: %s", args, err)
		}
	}
	o.refusedOffline(`unknown release; expected 2.1 or 3`, "export", "xml", "--for", "1.1")
	o.refusedOffline("--for is for the XML of Pacemaker", "export", "toml", "--for", "2.1")
	o.refusedOffline("--for needs a release of Pacemaker", "export", "xml", "--for")
}

// TestPlan_Private checks what an agent says of its parameters when a TOML file is planned: a private one must be a
// reference unless the resource insists, and problems come with their place.
func TestPlan_Private(t *testing.T) {
	t.Parallel()
	o := newOffline(t)
	dir := filepath.Join(o.env["OCF_ROOT"], "resource.d", "test")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	const agent = `#!/bin/sh
cat <<END
<?xml version="1.0"?>
<resource-agent name="Pin"><version>1.1</version><longdesc lang="en">x</longdesc><shortdesc lang="en">y</shortdesc>
<parameters><parameter name="pin" private="1"><longdesc lang="en">z</longdesc><shortdesc lang="en">z</shortdesc><content type="string"/></parameter></parameters>
<actions><action name="start" timeout="20s"/><action name="stop" timeout="30s"/><action name="meta-data" timeout="5s"/></actions></resource-agent>
END
`
	if err := os.WriteFile(filepath.Join(dir, "Pin"), []byte(agent), 0o755); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "site.toml")
	write := func(body string) {
		t.Helper()
		exported := o.must("export", "toml")
		if err := os.WriteFile(file, []byte("[primitives.p]\nagent = \"ocf:test:Pin\"\n"+body+"\n"+exported), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(`params = { pin = "1234" }`)
	o.refusedOffline("site.toml:3:12: primitives.p.params.pin: a password or key must not stand in the configuration", "plan", file)
	write("insecure-plain = [\"pin\"]\nparams = { pin = \"1234\", pine = 1 }\nop.start = { interval = 0, timeout = \"1s\" }")
	got := o.must("plan", file)
	for _, want := range []string{
		"site.toml:4:12: primitive p: the value of pin is a password or key and stands in the open",
		"site.toml:4:26: primitive p: agent ocf:test:Pin has no parameter \"pine\"; did you mean \"pin\"?",
		"site.toml:5:1: primitive p: the timeout 1s of start is shorter than the 20s that the agent advises",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("plan does not say %q:\n%s", want, got)
		}
	}
	if strings.Contains(got, "cib-bootstrap-options") {
		t.Errorf("the older name of an option counts as a change:\n%s", got)
	}
	o.must("apply", "--yes", file)
	if got := o.must("plan", file); got != "Nothing to change.\n" {
		t.Errorf("plan of what was applied:\n%s", got)
	}
	if got := o.must("export", "toml"); !strings.Contains(got, `insecure-plain = ["pin"]`) {
		t.Errorf("the export cannot be read again:\n%s", got)
	}
}
