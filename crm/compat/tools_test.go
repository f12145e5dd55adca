package compat

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/quorate/quorate/crm/cib/cibxml"
)

const toolsDoc = `<cib crm_feature_set="3.6.1" validate-with="pacemaker-3.2" epoch="5" num_updates="0" admin_epoch="0" have-quorum="1" dc-uuid="1">
<configuration><crm_config><cluster_property_set id="boot"><nvpair id="o1" name="stonith-enabled" value="false"/></cluster_property_set></crm_config>
<nodes><node id="1" uname="n1"/><node id="2" uname="n2"/></nodes>
<resources>
<primitive id="p1" class="ocf" provider="heartbeat" type="Dummy"><instance_attributes id="p1-ia"><nvpair id="p1-state" name="state" value="/x"/></instance_attributes>
<utilization id="p1-u"><nvpair id="p1-u-cpu" name="cpu" value="2"/></utilization></primitive>
<clone id="cl"><meta_attributes id="cl-meta"><nvpair id="cl-p" name="promotable" value="true"/></meta_attributes><primitive id="st" class="ocf" provider="pacemaker" type="Stateful"/></clone>
<primitive id="off" class="ocf" provider="heartbeat" type="Dummy"><meta_attributes id="off-m"><nvpair id="off-tr" name="target-role" value="Stopped"/></meta_attributes></primitive>
</resources>
<constraints><rsc_location id="cli-ban-p1-on-n2" rsc="p1" node="n2" score="-INFINITY"/></constraints></configuration>
<status>
<node_state id="1" uname="n1" in_ccm="true" crmd="online" join="member" expected="member"><lrm id="1"><lrm_resources>
<lrm_resource id="p1" class="ocf" provider="heartbeat" type="Dummy"><lrm_rsc_op id="p1_last_0" operation_key="p1_start_0" operation="start" transition-key="1:1:0:a" transition-magic="0:0;1:1:0:a" on_node="n1" call-id="5" rc-code="0" op-status="0" interval="0" last-rc-change="1600000000" exec-time="10"/></lrm_resource>
<lrm_resource id="st" class="ocf" provider="pacemaker" type="Stateful"><lrm_rsc_op id="st_last_0" operation_key="st_promote_0" operation="promote" transition-key="3:1:0:a" transition-magic="0:0;3:1:0:a" on_node="n1" call-id="7" rc-code="0" op-status="0" interval="0" last-rc-change="1600000000" exec-time="10"/></lrm_resource>
</lrm_resources></lrm><transient_attributes id="1"><instance_attributes id="status-1"><nvpair id="x1" name="master-st" value="10"/><nvpair id="x2" name="fail-count-p1#monitor_10000" value="2"/></instance_attributes></transient_attributes></node_state>
<node_state id="2" uname="n2" in_ccm="true" crmd="online" join="member" expected="member"><lrm id="2"><lrm_resources/></lrm></node_state>
<tickets><ticket_state id="tA" granted="true" last-granted="1600000000" standby="false"/></tickets></status></cib>`

// words splits a command line at blanks; '...' is one word.
func words(line string) (out []string) {
	for i, part := range strings.Split(line, "'") {
		if i%2 == 1 {
			out = append(out, part)
		} else {
			out = append(out, strings.Fields(part)...)
		}
	}
	return out
}

func runTool(t *testing.T, line string) (code int, out, errs string) {
	t.Helper()
	args := words(line)
	tool, ok := Lookup(args[0])
	if !ok {
		t.Fatalf("no tool %s", args[0])
	}
	var o, e bytes.Buffer
	code = tool(IO{In: strings.NewReader(""), Out: &o, Err: &e}, args[1:])
	return code, o.String(), e.String()
}

// TestTools: the forms that agents and administrators use on a file, each on a fresh copy. The answers are those of
// Pacemaker 2.1.5 on the same document; .ci/tools compares many more where that is installed.
func TestTools(t *testing.T) {
	zone := time.Local
	time.Local = time.UTC
	t.Cleanup(func() { time.Local = zone })
	file := filepath.Join(t.TempDir(), "cib.xml")
	t.Setenv("CIB_file", file)
	t.Setenv("OCF_RESKEY_CRM_meta_on_node", "n1")
	for _, tt := range []struct {
		line string
		code int
		out  string // all of the output; "~" before it: a part
		doc  string // part of the document afterwards; "!" before it: not there
	}{
		{"crm_resource -Q -r p1 -z -g cpu", 0, "2\n", ""},
		{"crm_resource -r p1 -z -p cpu -v 3", 0, "Set 'p1' option: id=p1-u-cpu name=cpu value=3\n", `id="p1-u-cpu" name="cpu" value="3"`},
		{"crm_resource --resource=p1 --utilization --delete-parameter=cpu", 0, "Deleted 'p1' option: id=p1-u-cpu name=cpu\n", `!p1-u-cpu`},
		{"crm_resource -B -r p1 -N n1 -Q", 0, "", `<rsc_location id="cli-ban-p1-on-n1" rsc="p1" role="Started"`},
		{"crm_resource --list-operations -N n1", 0, "~p1\t(ocf:heartbeat:Dummy):\t Started: p1_start_0 (node=n1, call=5, rc=0, last-rc-change='Sun Sep 13 12:26:40 2020', exec=10ms): complete\n", ""},
		{"crm_resource -l", 0, "p1\nst:0\nst:1\noff\n", ""},
		{"crm_resource -W -r p1", 0, "resource p1 is running on: n1\n", ""},
		{"crm_resource -W -r cl", 0, "resource cl is running on: n1 Promoted\n", ""},
		{"crm_resource -W -r off", 0, "", ""},
		{"crm_resource -W -r nope", 105, "", ""},
		{"crm_resource -W -r p1 --output-as=xml", 0, "~<node>n1</node>", ""},
		{"crm_resource -W -r nope --output-as=xml", 105, "~<status code=\"105\" message=\"No such object\">", ""},
		{"crm_resource -r off -m -g target-role", 0, "Stopped\n", ""},
		{"crm_resource -r st -m -p priority -v 3", 0, "Performing update of 'priority' on 'cl', the parent of 'st'\nSet 'cl' option: id=cl-meta-priority set=cl-meta name=priority value=3\n", `name="priority" value="3"`},
		{"crm_resource -r p1 -p a -v b -s own", 0, "Set 'p1' option: id=own-a set=own name=a value=b\n", `<instance_attributes id="own">`},
		{"crm_resource -M -r p1 -N n2", 0, "", `!cli-ban-p1-on-n2`},
		{"crm_resource -M -r p1 -N n2 -u PT1H", 0, "~Migration will take effect until: ", `cli-prefer-lifetime-end-p1`},
		{"crm_resource -M -r p1 -N n1", 108, "", "!cli-prefer"},
		{"crm_resource -M -r p1", 0, "~'cli-ban-p1-on-n1'", "cli-ban-p1-on-n1"},
		{"crm_resource -B -r off", 64, "", "!cli-ban-off"},
		{"crm_resource -B -r p1 -N nope", 105, "", ""},
		{"crm_resource -U -r p1", 0, "Removing constraint: cli-ban-p1-on-n2\n", "!cli-ban"},
		{"crm_resource -U -r p1 -N n1", 0, "", "cli-ban-p1-on-n2"},
		{"crm_resource -U -r p1 -e", 0, "", "cli-ban-p1-on-n2"},
		{"crm_resource -D -r off -t primitive", 0, "", `!id="off"`},
		{"crm_resource -D -r off", 105, "", `id="off"`},
		{"crm_resource -D -r p1 -t primitive", 78, "", `id="p1"`},
		{"crm_resource -Y -r off", 0, "Resource off is not running\nConfiguration specifies 'off' should remain stopped\n", ""},
		{"crm_resource -a -r p1", 0, "Locations:\n  * Node n2 (score=-INFINITY, id=cli-ban-p1-on-n2, rsc=p1)\n", ""},
		{"crm_resource -C -r p1", 0, "", ""},
		{"crm_resource --wait", 1, "", ""},
		{"crm_resource -F -r p1 -N n1", 3, "", ""},
		{"crm_resource -r p1 -p a", 64, "", ""},
		{"crm_resource -W", 64, "", ""},
		{"cibadmin -Q --xpath '//node_state[@crmd='online']//nvpair[@name='nope']'", 64, "", ""}, // quotes lost
		{`cibadmin -Q --xpath '//node_state[@crmd="online"]//nvpair[@name="master-st"]'`, 0, "<nvpair id=\"x1\" name=\"master-st\" value=\"10\"/>\n", ""},
		{`cibadmin -Q --xpath '//node_state//nvpair[@name="nope"]'`, 105, "", ""},
		{`cibadmin -Q -A '//nvpair[@id="off-tr"]' -e`, 0, "/cib/configuration/resources/primitive[@id='off']/meta_attributes[@id='off-m']/nvpair[@id='off-tr']\n", ""},
		{"cibadmin -Q -o constraints -n", 0, "<constraints/>\n", ""},
		{`cibadmin -C -o resources -X '<primitive id="new" class="ocf" provider="heartbeat" type="Dummy"/>'`, 0, "", `<primitive id="new"`},
		{`cibadmin -C -o resources -X '<primitive id="p1" class="ocf" provider="heartbeat" type="Dummy"/>'`, 108, "", ""},
		{`cibadmin -M -X '<nvpair id="o1" value="true"/>'`, 0, "", `name="stonith-enabled" value="true"`},
		{`cibadmin -M -X '<nvpair id="nope" value="true"/>'`, 105, "", ""},
		{`cibadmin -M -X '<cib admin_epoch="admin_epoch++"/>'`, 0, "", `admin_epoch="1"`},
		{`cibadmin -D -X '<rsc_location id="cli-ban-p1-on-n2"/>'`, 0, "", "!cli-ban"},
		{`cibadmin -D --xpath '//primitive[@id="off"]'`, 0, "", `!id="off"`},
		{`cibadmin -d --xpath '//nvpair[@name="target-role"]'`, 107, "", "off-tr"},
		{`cibadmin -d -f --xpath '//nvpair[@name="target-role"]'`, 0, "", "!off-tr"},
		{"cibadmin -R -o constraints -X '<constraints/>'", 0, "", "!cli-ban"},
		{`cibadmin -C -o constraints -X '<rsc_location id="x" rsc="nope" node="n1" score="1"/>'`, 78, "", `!id="x"`},
		{"cibadmin -C -o resources -X '<bogus'", 65, "", ""},
		{"cibadmin -E", 107, "", "p1"},
		{"cibadmin -E -f", 0, "", "!p1-ia"},
		{"crm_mon -s", 0, "CLUSTER OK: 2 nodes online, 4 resource instances configured\n", ""},
		{"crm_mon -1 -r", 0, "~  * p1\t(ocf:heartbeat:Dummy):\t Started n1\n", ""},
		{"crm_mon -1 -D -U nodes", 0, "Active Resources:\n  * p1\t(ocf:heartbeat:Dummy):\t Started n1\n  * Clone Set: cl [st] (promotable):\n    * Promoted: [ n1 ]\n", ""},
		// What agents look for is on one line, names before states.
		{"crm_mon -1 --output-as=xml", 0, `~<node name="n1" id="1" online="true"`, ""},
		{"crm_mon -1 --as-xml", 0, `~<resource id="st" resource_agent="ocf:pacemaker:Stateful" role="Promoted"`, ""},
		{"crm_mon -1 -L --output-as=html", 0, "~<li>cli-ban-p1-on-n2", ""},
		{"crm_mon -1 -m 4", 64, "", ""},
		{"crm_mon -1 -I bogus", 64, "", ""},
		{"crm_mon -d", 64, "", ""},
		{"crm_mon -1 -E /bin/true", 64, "", ""},
		{"crm_failcount -G -r p1 -N n1", 0, "scope=status  name=fail-count-p1 value=2\n", ""},
		{"crm_failcount -G -r p1 -n monitor -I 10s -q", 0, "2\n", ""},
		{"crm_failcount -G -r off", 0, "scope=status  name=fail-count-off value=0\n", ""},
		{"crm_failcount -G", 64, "", ""},
		{"crm_standby -G -N n1 -q", 0, "off\n", ""},
		{"crm_standby -v on -N n1", 0, "", `id="nodes-1-standby" name="standby" value="on"`},
		{"crm_standby -v on -N n1 -l reboot", 0, "", `id="status-1-standby" name="standby" value="on"`},
		{"attrd_updater -n a -U value++ -N n2", 0, "", `name="a"`},
		{"crm_ticket -l", 0, "tA\tgranted           last-granted='Sun Sep 13 12:26:40 2020'\n", ""},
		{"crm_ticket -L", 0, "tA\tgranted           (granted=true, standby=false, last-granted='Sun Sep 13 12:26:40 2020')\n", ""},
		{"crm_ticket -t tA -G granted", 0, "true\n", ""},
		{"crm_ticket -t tA -r", 4, "", `granted="true"`},
		{"crm_ticket -t tA -r -f", 0, "", `granted="false"`},
		{"crm_ticket -t tB -l", 105, "", ""},
		{"crm_ticket -t tA -s", 0, "", `standby="true"`},
		{"crm_verify -L", 0, "", ""},
		{"crm_verify -X '<cib/>'", 0, "", ""},
		{"crm_verify -X '<cib'", 78, "", ""},
		{"crm_verify", 1, "", ""},
		{"crmadmin -N", 0, "cluster node: n1 (1)\ncluster node: n2 (2)\n", ""},
		{"crmadmin -D", 1, "", ""},
		{"stonith_admin -L", 0, "0 fence devices found\n", ""},
		{"stonith_admin -H '*' --output-as xml", 0, `~<status code="0" message="OK"/>`, ""},
		{"stonith_admin --reboot=n1 --tag controld", 1, "", ""},
		{"stonith_admin", 64, "", ""},
		{"crm_error -X 105", 0, "No such object\n", ""},
		{"crm_error 2", 0, "No such file or directory\n", ""},
		{"crm_error -X x", 64, "", ""},
		{"iso8601 -d 2019-040", 0, "Date: 2019-02-09 00:00:00Z\n", ""},
		{"iso8601 -d 2019-040 -W", 0, "Date: 2019-W06-6 00:00:00Z\n", ""},
		{"iso8601 -d 2019-040 -s", 0, "Date: 63685267200\n", ""},
		{"iso8601 -p 2005-040/2005-043", 0, "Period: 2005-02-09 00:00:00Z to 2005-02-12 00:00:00Z\n", ""},
		{"iso8601 -d bogus", 2, "", ""},
		{"crm_rule -c -r nope", 105, "", ""},
		{"corosync-cmapctl", 1, "", ""},
	} {
		t.Run(tt.line, func(t *testing.T) {
			if err := os.WriteFile(file, []byte(toolsDoc), 0o600); err != nil {
				t.Fatal(err)
			}
			code, out, errs := runTool(t, tt.line)
			part, isPart := strings.CutPrefix(tt.out, "~")
			if code != tt.code || isPart && !strings.Contains(out, part) || !isPart && out != tt.out && tt.code == 0 {
				t.Errorf("code %d, output %q, errors %q; want %d, %q", code, out, errs, tt.code, tt.out)
			}
			if code != 0 && out+errs == "" {
				t.Error("fails without a word")
			}
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			absent, isAbsent := strings.CutPrefix(tt.doc, "!")
			if strings.Contains(string(data), absent) == isAbsent && tt.doc != "" {
				t.Errorf("the document afterwards: want %q\n%s", tt.doc, data)
			}
			if _, _, err := cibxml.Read(data); err != nil {
				t.Errorf("the document cannot be read any more: %v", err)
			}
		})
	}
}

func TestToolsWithoutCluster(t *testing.T) {
	t.Setenv("CIB_file", "")
	t.Setenv("QUORATE_ROOT", t.TempDir())
	for line, want := range map[string]int{
		"crm_mon -1": 102, "crm_mon -1 --as-xml": 102, "crm_resource -l": 102, "crm_node -n": 102, "attrd_updater -n a -Q": 102,
		"cibadmin -Q": 102, "stonith_admin -L": 102, "crmadmin -D": 102, "crm_attribute -n a -G": 102, "corosync-cmapctl": 102,
	} {
		if code, _, errs := runTool(t, line); code != want {
			t.Errorf("%s: code %d (%s), want %d", line, code, errs, want)
		}
	}
}

func TestXPath(t *testing.T) {
	t.Parallel()
	root, err := parseTree([]byte(toolsDoc))
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		path string
		want string // ids
	}{
		{"//primitive", "p1 st off"}, {"/cib/configuration/resources/primitive", "p1 off"}, {"//resources/*", "p1 cl off"},
		{"//primitive[2]", "off"}, {"//resources/*[last()]", "off"}, {"//primitive[@type='Dummy'][2]", "off"},
		{"//nvpair[@name='cpu' and @value='2']", "p1-u-cpu"}, {"//nvpair[@name='cpu' or @name='state']", "p1-state p1-u-cpu"},
		{"//nvpair[@name!='cpu' and not(@value='true')]", "o1 p1-state off-tr x1 x2"}, {"//node/@id", "error"},
		{"//primitive[not(@id='p1')]/meta_attributes", "off-m"}, {"//nvpair/../..", "p1 cl off 1"}, {"//node | //clone", "1 2 cl"},
		{"//nvpair[@value]/..", "boot p1-ia p1-u cl-meta off-m status-1"}, {"nvpair", "error"}, {"//nvpair[", "error"}, {"//nvpair[@a=b]", "error"}, {"//nvpair[0]", "error"}, {"", "error"},
	} {
		x, err := parseXPath(tt.path)
		if err != nil {
			if tt.want != "error" {
				t.Errorf("%s: %v", tt.path, err)
			}
			continue
		}
		var ids []string
		for _, e := range x.find(root) {
			if id, ok := e.attr("id"); ok {
				ids = append(ids, id)
			}
		}
		if got := strings.Join(ids, " "); got != tt.want {
			t.Errorf("%s finds %q, want %q", tt.path, got, tt.want)
		}
	}
}

func FuzzXPath(f *testing.F) {
	root, err := parseTree([]byte(toolsDoc))
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{"//nvpair[@name='cpu' and @value='2']", "/cib//*[last()] | //a[not(@b)][1]", "//..//."} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if strings.Count(text, "/") > 12 {
			return // each // walks the whole tree
		}
		x, err := parseXPath(text)
		if err == nil {
			x.find(root)
		}
	})
}

func FuzzTree(f *testing.F) {
	f.Add([]byte(toolsDoc))
	f.Add([]byte(`<a b="&lt;&#10;"><c/>text</a>`))
	f.Fuzz(func(t *testing.T, data []byte) {
		e, err := parseTree(data)
		if err != nil {
			return
		}
		again, err := parseTree([]byte(e.String()))
		if err == nil && again.String() != e.String() {
			t.Errorf("printed and read again it differs:\n%s\n%s", e, again)
		}
	})
}
