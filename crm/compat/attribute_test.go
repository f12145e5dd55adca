package compat

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/quorate/quorate/crm/version"
)

const attributeDoc = `<cib validate-with="pacemaker-3.9"><configuration><crm_config>
<cluster_property_set id="cib-bootstrap-options"><nvpair id="o1" name="no-quorum-policy" value="freeze"/></cluster_property_set>
<cluster_property_set id="other"><nvpair id="o2" name="x" value="1"/></cluster_property_set></crm_config>
<nodes><node id="1" uname="n1"><instance_attributes id="nodes-1"><nvpair id="a" name="rack" value="b"/></instance_attributes>
<utilization id="u"><nvpair id="u1" name="cpu" value="4"/></utilization></node><node id="2" uname="n2"/></nodes>
<resources/><constraints/></configuration><status><node_state id="1" uname="n1"><transient_attributes id="1">
<instance_attributes id="status-1"><nvpair id="s1" name="master-db" value="10"/><nvpair id="s2" name="pingd" value="300"/></instance_attributes>
</transient_attributes></node_state></status></cib>`

func TestAttributeTools(t *testing.T) {
	file := filepath.Join(t.TempDir(), "cib.xml")
	if err := os.WriteFile(file, []byte(attributeDoc), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("CIB_file", file)
	t.Setenv("OCF_RESOURCE_INSTANCE", "db")
	t.Setenv("OCF_RESKEY_CRM_meta_on_node", "n1")
	tests := []struct {
		line string
		code int
		out  string
		err  string // part of the message
	}{
		{"crm_attribute -N n1 -n rack -G", 0, "scope=nodes  name=rack value=b\n", ""},
		{"crm_attribute -N n1 -n rack -Gq -l forever", 0, "b\n", ""},
		{"crm_attribute --node=n1 --name=rack --query --quiet", 0, "b\n", ""},
		{"crm_attribute -N n1 -n nope -G", 105, "", "nope: no such"},
		{"crm_attribute -N n1 -n nope -G -d fallback", 0, "scope=nodes  name=nope value=fallback\n", ""},
		{"crm_attribute -N n9 -n rack -G", 105, "", "node n9"},
		{"crm_attribute -N n2 -n rack -G", 105, "", "rack"},
		{"crm_attribute -t nodes -N n1 -z -n cpu -G -q", 0, "4\n", ""},
		{"crm_attribute -n no-quorum-policy -G", 0, "scope=crm_config  name=no-quorum-policy value=freeze\n", ""},
		{"crm_attribute --type crm_config --name x -s other --query -q", 0, "1\n", ""},
		{"crm_attribute --type crm_config --name x -s cib-bootstrap-options --query -q", 105, "", "x"},
		{"crm_attribute --type=crm_config --name=y --query --quiet --default=v", 0, "v\n", ""},
		{"crm_attribute -l reboot -N n1 -n pingd -G -q", 0, "300\n", ""},
		{"crm_attribute -p -G", 0, "scope=status  name=master-db value=10\n", ""},
		{"crm_attribute --promotion=other -G", 105, "", "master-other"},
		{"crm_master -l reboot -G -N n1", 0, "scope=status  name=master-db value=10\n", ""},
		{"attrd_updater -n pingd -Q", 0, "name=\"pingd\" host=\"n1\" value=\"300\"\n", ""},
		{"attrd_updater -p -N n1 -n pingd -Q", 0, "name=\"pingd\" host=\"n1\" value=\"300\"\n", ""},
		{"attrd_updater -Q -A -n pingd", 0, "name=\"pingd\" host=\"n1\" value=\"300\"\n", ""},
		{"attrd_updater -Q -n pingd -N n2", 0, "name=\"pingd\" host=\"n2\" value=\"\"\n", ""},
		{"attrd_updater -Q -n nope -N n2", 105, "", "nope"},
		{"attrd_updater -n pingd -B 1", 64, "", "--delay"},
		{"attrd_updater -n pingd -Y", 64, "", "--delay"},
		{"attrd_updater -n pingd -U 1 -d soon", 64, "", "soon"},
		{"attrd_updater -n pingd -U 300 -d 0", 0, "", ""}, // it is so already
		{"attrd_updater -n pingd -p -U 1 -d 5s", 1, "", "running cluster"},
		{"attrd_updater -n pingd", 64, "", "say what to do"},
		{"attrd_updater -Q", 64, "", "no attribute"},
		{"crm_attribute -N n1 -n rack -v c -D", 64, "", "only one"},
		{"crm_attribute", 64, "", "--name"},
		{"crm_attribute -n x -l soon", 64, "", "soon"},
		{"crm_attribute -n x -t nowhere", 64, "", "nowhere"},
		{"crm_attribute --bogus", 64, "", "--bogus"},
		{"crm_node -n", 0, "n1\n", ""},
		{"crm_node", 64, "", "say what to show"},
		{"pacemakerd -$", 0, "Pacemaker 2.1.5 (Quorate " + version.Version + ")\n", ""}, // agents take the second word
		{"pacemakerd", 64, "", "quorated"},
		{"crm_node -l", 1, "", "running cluster"},
		{"cibadmin -R", 64, "", "Please supply XML"},
		{"cibadmin", 64, "", "say what to do"},
	}
	for _, tt := range tests {
		t.Run(tt.line, func(t *testing.T) {
			args := strings.Fields(tt.line)
			tool, ok := Lookup(args[0])
			if !ok {
				t.Fatalf("no tool %s", args[0])
			}
			var out, errs bytes.Buffer
			code := tool(IO{Out: &out, Err: &errs}, args[1:])
			if code != tt.code || out.String() != tt.out || !strings.Contains(errs.String(), tt.err) {
				t.Errorf("code %d, output %q, errors %q; want %d, %q, %q", code, &out, &errs, tt.code, tt.out, tt.err)
			}
			if code != 0 && errs.Len() == 0 {
				t.Error("fails without a word")
			}
		})
	}
	if data, err := os.ReadFile(file); err != nil || string(data) != attributeDoc {
		t.Errorf("the file was changed: %v", err)
	}
	// A permanent attribute is written to the file, and read back from it.
	for _, step := range []struct{ line, want string }{
		{"crm_attribute -N n1 -n rack -v c", ""},
		{"crm_attribute -N n1 -n rack -G -q", "c\n"},
		// The form of the redis agent: a set of its own, beside the first one.
		{"crm_attribute --type crm_config --name db_REPL_INFO -s redis_replication -v n1 -q", ""},
		{"crm_attribute --type crm_config --name db_REPL_INFO -s redis_replication --query -q", "n1\n"},
		{"crm_attribute --type crm_config --name x -s redis_replication -v 9", ""},
		{"crm_attribute --type crm_config --name x -s other --query -q", "1\n"},
		{"crm_attribute --type crm_config --name x -s redis_replication -D", ""},
		{"crm_attribute --type crm_config --name x --query -q", "1\n"},
	} {
		args := strings.Fields(step.line)
		tool, _ := Lookup(args[0])
		var out, errs bytes.Buffer
		if code := tool(IO{Out: &out, Err: &errs}, args[1:]); code != 0 || out.String() != step.want {
			t.Errorf("%s: code %d, output %q, errors %q; want 0, %q", step.line, code, &out, &errs, step.want)
		}
	}
}
