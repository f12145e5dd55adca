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
	write("ref:file:/x")
	before := o.must("configure", "show")
	o.refusedOffline(`old.xml:3:32: primitive db: the value of password begins with "ref:"`, "import", file)
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
