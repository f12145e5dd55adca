package status_test

import (
	"encoding/xml"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/cib/cibxml"
	"github.com/quorate/quorate/crm/policy/model"
	"github.com/quorate/quorate/crm/policy/unpack"
	"github.com/quorate/quorate/crm/status"
)

func read(t *testing.T, name string) *model.Cluster {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	doc, _, err := cibxml.Read(data)
	if err != nil {
		t.Fatal(err)
	}
	doc, _ = cib.Upgrade(doc)
	c, err := unpack.Unpack(doc, unpack.Options{Now: time.Unix(100000, 0).UTC(), StatusOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestText shows a cluster with every kind of resource in the states that displays tell apart.
func TestText(t *testing.T) {
	t.Parallel()
	c := read(t, "testdata/kinds.xml")
	if got, want := status.DisabledLine(c), "3 of 32 resource instances DISABLED and 1 BLOCKED from further action due to failure"; got != want {
		t.Errorf("DisabledLine() = %q, want %q", got, want)
	}
	got := status.Text(c, status.Options{Depth: 1, Pending: true, Attributes: true, FailCounts: true, Failures: true})
	want := `  * Node List:
    * Node n3: standby
    * Node n4: OFFLINE (maintenance)
    * RemoteNode r2: maintenance
    * Online: [ n1 n2 ]
    * OFFLINE: [ n10 ]
    * RemoteOnline: [ r1 ]
    * GuestOnline: [ g1 W-0 ]

  * Full List of Resources:
    * plain	(ocf:pacemaker:Dummy):	 Started n1
    * off	(ocf:pacemaker:Dummy):	 Stopped (disabled)
    * twice	(ocf:pacemaker:Dummy):	 FAILED (runs where it likes) [ n1 n2 ]
    * stuck	(lsb:stuck):	 FAILED n1 (blocked)
    * missing	(systemd:missing):	 Stopped (Not installed) 
    * ignored	(ocf:pacemaker:Dummy):	 Started n1 (failure ignored)
    * coming	(ocf:pacemaker:Dummy):	 Starting n2
    * watched	(ocf:pacemaker:Dummy):	 Started n1 (Monitoring)
    * r1	(ocf:pacemaker:remote):	 Started n1
    * r2	(ocf:pacemaker:remote):	 Started n1 (unmanaged)
    * vm	(ocf:heartbeat:VirtualDomain):	 Started n1
    * ping	(ocf:pacemaker:ping):	 Started n1
    * Resource Group: grp (unmanaged):
      * a	(ocf:pacemaker:Dummy):	 Started n1 (unmanaged)
      * b	(ocf:pacemaker:Dummy):	 Stopped (unmanaged)
    * Clone Set: plain-clone [c]:
      * Started: [ n1 n2 ]
      * Stopped: [ g1 n3 n4 n10 r1 r2 ]
    * Clone Set: ms [s] (promotable, disabled):
      * s	(ocf:pacemaker:Stateful):	 FAILED n2 (target-role:Slave)
      * Promoted: [ n1 ]
      * Stopped: [ g1 n3 n4 n10 r1 r2 ]
    * Clone Set: uniq [u] (unique):
      * u:0	(ocf:pacemaker:Dummy):	 Started n1
      * u:1	(ocf:pacemaker:Dummy):	 Stopped
    * Container bundle: W [img]:
      * W-0 (10.0.0.5)	(ocf:heartbeat:apache):	 Started n1
    * old	(ocf:pacemaker:Dummy):	 ORPHANED Started n2

  * Node Attributes:
    * Node: n1:
      * colour                          	: red       
      * pingd                           	: 1000      	: Connectivity is degraded (Expected=2000)
    * Node: n2:
      * pingd                           	: 0         

  * Migration Summary:
    * Node: n1:
      * stuck: migration-threshold=1000000 fail-count=1000000 last-failure='Thu Jan  1 00:08:20 1970'

  * Failed Resource Actions:
`
	at := strings.Index(got, "  * Failed Resource Actions:\n")
	if at < 0 {
		t.Fatalf("Text() has no failed actions:\n%s", got)
	}
	at += len("  * Failed Resource Actions:\n")
	if got[:at] != want {
		t.Errorf("Text() =\n%s\nwant\n%s", got[:at], want)
	}
	for _, line := range []string{
		"    * stuck_stop_0 on n1 'Error occurred' (1): call=9, status='Error', exitreason='it hangs', last-rc-change='Thu Jan  1 00:08:20 1970', queued=3ms, exec=4ms\n",
		"    * s_monitor_10000 on n2 'Not running' (7): call=31, status='Done', last-rc-change='Thu Jan  1 00:08:20 1970'\n",
	} {
		if !strings.Contains(got[at:], line) {
			t.Errorf("failed actions\n%slack\n%s", got[at:], line)
		}
	}
	if strings.Contains(got[at:], "missing_monitor_0") {
		t.Errorf("a probe that only found no agent is listed as failed:\n%s", got[at:])
	}
}

// TestText_Later shows the same state without what is under way.
func TestText_Later(t *testing.T) {
	t.Parallel()
	got := status.Text(read(t, "testdata/kinds.xml"), status.Options{})
	for _, line := range []string{"  * coming\t(ocf:pacemaker:Dummy):\t Started n2\n", "  * watched\t(ocf:pacemaker:Dummy):\t Started n1\n"} {
		if !strings.Contains(got, line) {
			t.Errorf("Text() =\n%s\nwant the line %q", got, line)
		}
	}
}

func TestText_Empty(t *testing.T) {
	t.Parallel()
	c, err := unpack.Unpack(&cib.Document{}, unpack.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := status.Text(c, status.Options{}), "Full List of Resources:\n  * No resources\n"; got != want {
		t.Errorf("Text() = %q, want %q", got, want)
	}
	if got := status.DisabledLine(c); got != "" {
		t.Errorf("DisabledLine() = %q, want nothing", got)
	}
}

func TestNodeState(t *testing.T) {
	t.Parallel()
	running := []*model.Resource{{}}
	for want, n := range map[string]model.Node{
		"UNCLEAN (online)":                {Unclean: true, Online: true, Pending: true},
		"UNCLEAN (pending)":               {Unclean: true, Pending: true},
		"UNCLEAN (offline)":               {Unclean: true},
		"pending":                         {Pending: true, Standby: true, Online: true},
		"standby (on-fail)":               {Standby: true, StandbyOnFail: true, Online: true},
		"OFFLINE (standby)":               {Standby: true, StandbyOnFail: true},
		"standby (with active resources)": {Standby: true, Online: true, Running: running},
		"standby":                         {Standby: true, Online: true},
		"maintenance":                     {Maintenance: true, Online: true},
		"OFFLINE (maintenance)":           {Maintenance: true},
		"online":                          {Online: true},
		"OFFLINE":                         {},
		"witness":                         {Standby: true, Online: true, Config: &cib.Node{Witness: true}},
		"OFFLINE (witness)":               {Standby: true, Config: &cib.Node{Witness: true}},
	} {
		if got := status.NodeState(&n); got != want {
			t.Errorf("NodeState(%+v) = %q, want %q", n, got, want)
		}
	}
}

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

func TestWrite_Error(t *testing.T) {
	t.Parallel()
	if err := status.Write(broken{}, read(t, "testdata/kinds.xml"), status.Options{}); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("Write() = %v, want the error of the writer", err)
	}
}

// element is an XML element as a tree, so that forms can be compared without their layout.
type element struct {
	XMLName  xml.Name
	Attrs    []xml.Attr `xml:",any,attr"`
	Children []element  `xml:",any"`
}

func TestXML(t *testing.T) {
	t.Parallel()
	var e element
	text := "<x>" + status.XML(read(t, "testdata/kinds.xml"), status.Options{Depth: 1, Pending: true}) + "</x>"
	if err := xml.Unmarshal([]byte(text), &e); err != nil {
		t.Fatalf("XML() is none: %v\n%s", err, text)
	}
	for _, want := range []string{
		`<resource id="plain" resource_agent="ocf:pacemaker:Dummy" role="Started" active="true" orphaned="false" blocked="false" managed="true" failed="false" failure_ignored="false" nodes_running_on="1">`,
		`<group id="grp" number_resources="2" managed="false" disabled="false">`,
		`<clone id="ms" multi_state="true" unique="false" managed="true" disabled="true" failed="false" failure_ignored="false" target_role="Slave">`,
		`<bundle id="W" type="docker" image="img" unique="false" managed="true" failed="false">`,
		`<node name="g1" id="g1" online="true" standby="false" standby_onfail="false" maintenance="false" pending="false" unclean="false" health="green" shutdown="false" expected_up="false" is_dc="false" resources_running="0" type="remote" id_as_resource="vm"/>`,
		`<resource id="coming" resource_agent="ocf:pacemaker:Dummy" role="Starting" `,
		`nodes_running_on="1" pending="Monitoring">`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("XML() =\n%s\nwant %s", text, want)
		}
	}
}

// pacemaker runs Pacemaker's simulator on the case of this package, or skips the test.
func pacemaker(t *testing.T, options ...string) string {
	t.Helper()
	tool, err := exec.LookPath("crm_simulate")
	if err != nil {
		t.Skip("Pacemaker's crm_simulate is not installed")
	}
	if version, err := exec.Command(tool, "--version").Output(); err != nil || !strings.HasPrefix(string(version), "Pacemaker ") {
		t.Skip("the installed crm_simulate is not Pacemaker's")
	}
	name, err := filepath.Abs("testdata/kinds.xml")
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(tool, append([]string{"-x", name, "-t", "1970-01-02T03:46:40Z"}, options...)...).Output()
	if err != nil {
		t.Skip("Pacemaker's crm_simulate refuses the document:", err)
	}
	return string(out)
}

// TestXML_AgainstPacemaker compares the XML form with that of Pacemaker's simulator, where it is installed.
func TestXML_AgainstPacemaker(t *testing.T) {
	t.Parallel()
	_, rest, _ := strings.Cut(pacemaker(t, "--output-as=xml"), "<cluster_status>\n")
	want, _, _ := strings.Cut(rest, "  </cluster_status>")
	got := status.XML(read(t, "testdata/kinds.xml"), status.Options{Depth: 2, Pending: true})
	if got != want {
		t.Errorf("XML() =\n%s\nPacemaker's\n%s", got, want)
	}
}

// TestAgainstPacemaker compares the text with that of Pacemaker's simulator, where it is installed, for the
// case of this package: version 2.1 writes exit codes in lower case and descriptions without parentheses.
func TestAgainstPacemaker(t *testing.T) {
	t.Parallel()
	_, want, _ := strings.Cut(pacemaker(t), "Current cluster status:\n")
	got := status.Text(read(t, "testdata/kinds.xml"), status.Options{Depth: 1, Pending: true})
	norm := func(s string) string {
		return strings.TrimSpace(strings.NewReplacer("(not installed)", "(Not installed)", "(runs where it likes)", "runs where it likes").Replace(s))
	}
	if norm(got) != norm(want) {
		t.Errorf("Text() =\n%s\nPacemaker's\n%s", got, want)
	}
}
