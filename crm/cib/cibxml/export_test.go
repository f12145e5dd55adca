package cibxml

import (
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func TestExport(t *testing.T) {
	t.Parallel()
	const text = `<cib validate-with="pacemaker-3.10"><configuration>
<crm_config><cluster_property_set id="cib-bootstrap-options"><nvpair name="stonith-enabled" value="false"/><nvpair id="p1" name="fencing-enabled" value="true"/><nvpair id="p2" name="stop-removed-resources" value="true"/><nvpair id="p3" name="batch-limit" value="3"/></cluster_property_set></crm_config>
<nodes><node uname="a"><!--quorate-node-link link="lan" address="1"--><instance_attributes><nvpair name="x" value="1"/></instance_attributes></node><node id="w" uname="w"><!--quorate-node witness="true"--></node></nodes>
<resources><!--# note--><primitive id="r" class="lsb" type="x"><instance_attributes><nvpair name="password" value="ref:file:/x"/></instance_attributes><operations><op name="start"/></operations><odd/></primitive></resources>
<constraints><rsc_order id="o"><resource_set><resource_ref id="r"/></resource_set></rsc_order></constraints><other/>
<!--quorate-link name="lan"--></configuration></cib>`
	doc, _, err := Read([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	before := doc.Clone()
	for _, c := range []struct {
		release Release
		file    string
	}{{Release2, "export-2.1.want"}, {Release3, "export-3.want"}} {
		out, problems, err := Export(doc, c.release)
		if err != nil {
			t.Fatal(err)
		}
		var got strings.Builder
		for _, p := range problems {
			got.WriteString(p.String() + "\n")
		}
		got.WriteString("----\n")
		got.Write(Write(out, Options{Plain: true, NoDeclaration: true}))
		golden := filepath.Join("testdata", c.file)
		if *rewrite {
			if err := os.WriteFile(golden, []byte(got.String()), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if got.String() != string(want) {
			t.Errorf("Export(%s) =\n%s\nwant\n%s", c.release, got.String(), want)
		}
	}
	if !reflect.DeepEqual(doc, before) {
		t.Error("Export changed its input")
	}
	if _, _, err := Export(doc, "1.0"); err == nil || !strings.Contains(err.Error(), `unknown release; expected 2.1 or 3`) {
		t.Errorf("Export(1.0) = %v", err)
	}
}

// TestExport_Verify exports every document of the corpus for Pacemaker 2.1 and asks Debian's crm_verify about
// it: it must say the same of the export as of the original with the names of options translated.
func TestExport_Verify(t *testing.T) {
	if testing.Short() {
		t.Skip("skipped in short mode: runs crm_verify twice for each document of the corpus")
	}
	verify, err := exec.LookPath("crm_verify")
	if err != nil {
		t.Skip("skipped: crm_verify is not installed")
	}
	corpus(t, func(t *testing.T, data []byte) {
		dir := t.TempDir()
		ask := func(name string, text []byte) bool {
			file := filepath.Join(dir, name)
			if err := os.WriteFile(file, text, 0o600); err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command(verify, "--xml-file", file)
			cmd.Env = append(os.Environ(), "CIB_shadow_dir="+dir, "PCMK_logfile=none")
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Logf("%s: %v %s", name, err, out)
			}
			return err == nil
		}
		original := string(data)
		for present, old := range oldNames {
			original = strings.ReplaceAll(original, `name="`+present+`"`, `name="`+old+`"`)
		}
		original = strings.ReplaceAll(original, `validate-with="pacemaker-3.10"`, `validate-with="pacemaker-3.9"`)
		doc, _, err := Read(data)
		if err != nil {
			t.Fatal(err)
		}
		out, _, err := Export(doc, Release2)
		if err != nil {
			t.Fatal(err)
		}
		want := ask("original.xml", []byte(original))
		if got := ask("export.xml", Write(out, Options{Plain: true})); got != want {
			t.Errorf("crm_verify accepts the export: %v, the original: %v", got, want)
		}
	})
}
