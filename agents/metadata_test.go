package agents

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

const sample = `some text that a broken agent prints first
<?xml version="1.0" encoding="ISO-8859-1"?>
<!DOCTYPE resource-agent SYSTEM "ra-api-1.dtd">
<resource-agent name="Sample" version="0.9">
<version>1.1</version>
<longdesc lang="de">Beschreibung</longdesc>
<longdesc lang="en">
 A sample &amp; more: caf` + "\xe9" + `
</longdesc>
<shortdesc lang="en">Sample agent</shortdesc>
<parameters>
<parameter name="state" unique="1" required="0" reloadable="1">
<longdesc lang="en">Where</longdesc><shortdesc lang="en">State file</shortdesc>
<content type="string" default="" /></parameter>
<parameter name="mode" unique-group="g"><content type="select" default="a"><option value="a"/><option value="b"/></content></parameter>
<parameter name="old"><deprecated><replaced-with name="state"/><desc lang="en">old</desc></deprecated><content type="boolean"/></parameter>
<parameter name="key" private="true" required="yes"/>
</parameters>
<actions>
<action name="start" timeout="20s"/>
<action name="stop" timeout="20"/>
<action name="monitor" timeout="20000ms" interval="1min" depth="0" start-delay="5"/>
<action name="monitor" timeout="20" interval="9" role="Master"/>
<action name="meta-data" timeout="nonsense"/>
</actions>
</resource-agent>
trailing text`

func TestParseMetadata(t *testing.T) {
	t.Parallel()
	m, err := ParseMetadata([]byte(sample))
	if err != nil {
		t.Fatal(err)
	}
	if m.Name != "Sample" || m.Version != "0.9" || m.OCFVersion != "1.1" || m.ShortDesc != "Sample agent" || m.LongDesc != "A sample & more: café" || !m.SupportsRun {
		t.Errorf("head = %+v", m)
	}
	wantParams := []Parameter{
		{Name: "state", Unique: true, Reloadable: true, Type: "string", HasDefault: true, ShortDesc: "State file", LongDesc: "Where"},
		{Name: "mode", UniqueGroup: "g", Type: "select", Default: "a", HasDefault: true, Options: []string{"a", "b"}},
		{Name: "old", Deprecated: true, ReplacedBy: []string{"state"}, Type: "boolean"},
		{Name: "key", Private: true, Required: true},
	}
	if !reflect.DeepEqual(m.Parameters, wantParams) {
		t.Errorf("parameters =\n%+v\nwant\n%+v", m.Parameters, wantParams)
	}
	wantActions := []ActionInfo{
		{Name: "start", Timeout: 20 * time.Second},
		{Name: "stop", Timeout: 20 * time.Second},
		{Name: "monitor", Timeout: 20 * time.Second, Interval: time.Minute, Depth: "0", StartDelay: 5 * time.Second},
		{Name: "monitor", Timeout: 20 * time.Second, Interval: 9 * time.Second, Role: "Promoted"},
		{Name: "meta-data"},
	}
	if !reflect.DeepEqual(m.Actions, wantActions) {
		t.Errorf("actions =\n%+v\nwant\n%+v", m.Actions, wantActions)
	}
	if p, found := m.Parameter("mode"); !found || p.UniqueGroup != "g" {
		t.Errorf("Parameter(mode) = %v, %v", p, found)
	}
	if _, found := m.Action("promote"); found {
		t.Error("Action(promote) found")
	}
}

func TestParseMetadata_FenceAgent(t *testing.T) {
	t.Parallel()
	m, err := ParseMetadata([]byte(`<?xml version="1.0" ?>
<resource-agent name="fence_x" shortdesc="Fence agent for X">
<vendor-url>http://x.example</vendor-url>
<parameters><parameter name="passwd" unique="0" required="0" deprecated="1" obsoletes="password"><getopt mixed="-p"/><content type="string"/></parameter></parameters>
<actions><action name="on" automatic="1" on_target="1"/><action name="metadata"/></actions></resource-agent>`))
	if err != nil {
		t.Fatal(err)
	}
	if m.ShortDesc != "Fence agent for X" || m.VendorURL != "http://x.example" || m.SupportsRun {
		t.Errorf("head = %+v", m)
	}
	if p := m.Parameters[0]; !p.Private || !p.Deprecated {
		t.Errorf("passwd = %+v, want private and deprecated", p)
	}
	if a, _ := m.Action(OpOn); !a.Automatic || !a.OnTarget {
		t.Errorf("on = %+v, want automatic on target", a)
	}
	if _, found := m.Action(OpMetadata); !found {
		t.Error("metadata is not found under its OCF name")
	}
}

func TestParseMetadata_Refused(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"empty":        "",
		"no xml":       "usage: x {start|stop}",
		"other root":   "<?xml version='1.0'?><html></html>",
		"cut":          "<resource-agent name='x'><parameters>",
		"too deep":     "<resource-agent>" + strings.Repeat("<a>", 50),
		"too many":     "<resource-agent>" + strings.Repeat("<a/>", maxMetadataElements+1),
		"too large":    "<resource-agent>" + strings.Repeat(" ", MaxMetadata),
		"entity bombs": `<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><html>&b;</html>`,
	} {
		if m, err := ParseMetadata([]byte(text)); !errors.Is(err, ErrMetadata) {
			t.Errorf("%s: ParseMetadata() = %v, %v, want ErrMetadata", name, m, err)
		}
	}
}

func TestParseDuration(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]time.Duration{"20": 20 * time.Second, "20s": 20 * time.Second, " 1.5 s ": 1500 * time.Millisecond,
		"100ms": 100 * time.Millisecond, "2min": 2 * time.Minute, "1h": time.Hour, "0": 0, "99999999999999h": MaxTimeout} {
		if got, err := ParseDuration(text); err != nil || got != want {
			t.Errorf("ParseDuration(%q) = %v, %v, want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "s", "-5", "5 fortnights", "1.2.3", "NaN", "Inf"} {
		if got, err := ParseDuration(text); err == nil {
			t.Errorf("ParseDuration(%q) = %v, want an error", text, got)
		}
	}
}

// Whatever an agent prints: metadata or a named error, never a panic.
func FuzzParseMetadata(f *testing.F) {
	f.Add([]byte(sample))
	f.Add([]byte("<resource-agent><parameters><parameter name='a'><content/></parameter></parameters></resource-agent>"))
	seeds, _ := filepath.Glob("testdata/*.xml")
	for _, s := range seeds {
		text, err := os.ReadFile(s)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := ParseMetadata(text)
		if (m == nil) == (err == nil) {
			t.Fatalf("ParseMetadata() = %v, %v", m, err)
		}
		if err != nil && !errors.Is(err, ErrMetadata) {
			t.Fatalf("error %v is not ErrMetadata", err)
		}
	})
}

func FuzzParseRef(f *testing.F) {
	f.Add("ocf:heartbeat:Dummy")
	f.Add("systemd:a@b")
	f.Fuzz(func(t *testing.T, text string) {
		r, err := ParseRef(text)
		if err != nil {
			return
		}
		if strings.ContainsAny(r.Provider+r.Type, "/\x00\n") || r.Type == ".." || r.Provider == ".." {
			t.Fatalf("ParseRef(%q) = %+v lets a path through", text, r)
		}
		if again, err := ParseRef(r.String()); err != nil || again != r {
			t.Fatalf("ParseRef(%q) = %v, %v, want %v", r.String(), again, err, r)
		}
	})
}
