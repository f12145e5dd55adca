package fencing

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/quorate/quorate/agents"
)

func TestParseDevice(t *testing.T) {
	t.Parallel()
	all := Capabilities{List: true, Status: true, Argument: "plug"}
	tests := []struct {
		name   string
		params map[string]string
		can    Capabilities
		want   Device
		bad    string // part of the only problem; "" = none
	}{
		{"nothing", nil, Capabilities{}, Device{Check: CheckNone, Limit: 1}, ""},
		{"agent lists", nil, all, Device{Check: CheckList, Limit: 1, Argument: "plug"}, ""},
		{"agent knows status", nil, Capabilities{Status: true}, Device{Check: CheckStatus, Limit: 1}, ""},
		{"list wins over the agent", map[string]string{"pcmk_host_list": "a, b;c\n d"}, all,
			Device{Check: CheckStatic, Hosts: []string{"a", "b", "c", "d"}, Limit: 1, Argument: "plug"}, ""},
		{"map", map[string]string{"pcmk_host_map": "a:1;b:2,3 c=x:y; we\\ ird\\::\\;"}, all,
			Device{Check: CheckStatic, Ports: []Port{{"a", "1"}, {"b", "2,3"}, {"c", "x:y"}, {"we ird:", ";"}}, Limit: 1, Argument: "plug"}, ""},
		{"map with an error", map[string]string{"pcmk_host_map": "a:1;b;:2"}, all,
			Device{Check: CheckStatic, Ports: []Port{{"a", "1"}}, Limit: 1, Argument: "plug"}, `pcmk_host_map of d: "b" is no pair NODE:PORT`},
		{"check", map[string]string{"pcmk_host_list": "a", "pcmk_host_check": "status"}, all,
			Device{Check: CheckStatus, Hosts: []string{"a"}, Limit: 1, Argument: "plug"}, ""},
		{"unknown check", map[string]string{"pcmk_host_list": "a", "pcmk_host_check": "guess"}, all,
			Device{Check: CheckStatic, Hosts: []string{"a"}, Limit: 1, Argument: "plug"}, `"guess" is none of static-list`},
		{"argument", map[string]string{"pcmk_host_argument": "uuid"}, Capabilities{Argument: "plug"}, Device{Check: CheckNone, Limit: 1, Argument: "uuid"}, ""},
		{"no argument", map[string]string{"pcmk_host_argument": "none"}, Capabilities{Argument: "plug"}, Device{Check: CheckNone, Limit: 1}, ""},
		{"tries", map[string]string{"pcmk_off_timeout": "90s", "pcmk_reboot_retries": "5", "pcmk_status_timeout": "PT1M"}, Capabilities{},
			Device{Check: CheckNone, Limit: 1, Off: Tries{Timeout: 90 * time.Second}, Reboot: Tries{Attempts: 5}, Status: Tries{Timeout: time.Minute}}, ""},
		{"retries out of range", map[string]string{"pcmk_off_retries": "0"}, Capabilities{}, Device{Check: CheckNone, Limit: 1}, `"0" is no number from 1 to 20`},
		{"bad timeout", map[string]string{"pcmk_off_timeout": "soon"}, Capabilities{}, Device{Check: CheckNone, Limit: 1}, "pcmk_off_timeout of d"},
		{"long timeout", map[string]string{"pcmk_off_timeout": "99h"}, Capabilities{}, Device{Check: CheckNone, Limit: 1, Off: Tries{Timeout: MaxTimeout}}, "is more than 1h0m0s"},
		{"limit", map[string]string{"pcmk_action_limit": "-1"}, Capabilities{}, Device{Check: CheckNone, Limit: -1}, ""},
		{"limit 0", map[string]string{"pcmk_action_limit": "0"}, Capabilities{}, Device{Check: CheckNone, Limit: 1}, "would forbid every action"},
		{"limit text", map[string]string{"pcmk_action_limit": "x"}, Capabilities{}, Device{Check: CheckNone, Limit: 1}, "no number from -1 up"},
		{"delays", map[string]string{"pcmk_delay_base": "3s", "pcmk_delay_max": "5"}, Capabilities{},
			Device{Check: CheckNone, Limit: 1, Delay: 3 * time.Second, DelayMax: 5 * time.Second}, ""},
		{"delays by node", map[string]string{"pcmk_delay_base": "a:1s;b:200ms"}, Capabilities{},
			Device{Check: CheckNone, Limit: 1, Delays: []NodeDelay{{"a", time.Second}, {"b", 200 * time.Millisecond}}}, ""},
		{"negative delay", map[string]string{"pcmk_delay_base": "-3s"}, Capabilities{}, Device{Check: CheckNone, Limit: 1}, "pcmk_delay_base of d"},
		{"agent's own", map[string]string{"ip": "1.2.3.4", "plug": "3"}, Capabilities{}, Device{Check: CheckNone, Limit: 1}, ""},
	}
	for _, tt := range tests {
		tt.want.ID = "d"
		got, problems := ParseDevice("d", tt.params, tt.can)
		if len(got.Hosts) == 0 {
			got.Hosts = nil
		}
		if !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: ParseDevice() = %+v, want %+v", tt.name, got, tt.want)
		}
		if tt.bad == "" && problems != nil || tt.bad != "" && (len(problems) != 1 || !strings.Contains(problems[0], tt.bad)) {
			t.Errorf("%s: problems %q, want one with %q", tt.name, problems, tt.bad)
		}
	}
}

func FuzzParseDevice(f *testing.F) {
	f.Add("a:1;b:2,3", "a b", "5s", "a:1s")
	f.Add("\\", ";;", "-1", "=")
	f.Fuzz(func(t *testing.T, hostMap, list, timeout, delay string) {
		d, _ := ParseDevice("d", map[string]string{"pcmk_host_map": hostMap, "pcmk_host_list": list, "pcmk_off_timeout": timeout,
			"pcmk_off_retries": timeout, "pcmk_action_limit": timeout, "pcmk_delay_base": delay, "pcmk_delay_max": timeout}, Capabilities{})
		for _, p := range d.Ports {
			if p.Node == "" || p.Port == "" {
				t.Fatalf("empty pair %+v", p)
			}
			if utf8.ValidString(hostMap) && len(p.Node)+len(p.Port) > len(hostMap) {
				t.Fatalf("pair %+v is longer than the map", p)
			}
		}
		if d.Off.Timeout < 0 || d.Off.Timeout > MaxTimeout || d.Off.Attempts < 0 || d.Off.Attempts > maxAttempts || d.Limit == 0 || d.Limit < -1 {
			t.Fatalf("out of range: %+v", d)
		}
		for r := range uint64(4) {
			if w := d.delay("n1", r*1e17); w < 0 || w > MaxTimeout {
				t.Fatalf("delay %v", w)
			}
		}
	})
}

func TestDevice_Knows(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		d      Device
		target string
		want   Knowledge
		port   string
	}{
		{"listed", Device{Hosts: []string{"n1"}}, "N1", Yes, "N1"},
		{"mapped", Device{Ports: []Port{{"n1", "7"}}}, "n1", Yes, "7"},
		{"mapped and not listed", Device{Hosts: []string{"n2"}, Ports: []Port{{"n1", "7"}}}, "n1", Yes, "7"},
		{"other", Device{Hosts: []string{"n2"}}, "n1", No, "n1"},
		{"none", Device{Check: CheckNone, Ports: []Port{{"n1", "7"}}}, "n1", Yes, "7"},
		{"status", Device{Check: CheckStatus, Hosts: []string{"n2"}}, "n1", Ask, "n1"},
	} {
		if k, p := tt.d.Knows(tt.target); k != tt.want || p != tt.port {
			t.Errorf("%s: Knows() = %v %q, want %v %q", tt.name, k, p, tt.want, tt.port)
		}
	}
}

func TestTopology_For(t *testing.T) {
	t.Parallel()
	topo := Topology{
		{Attribute: "rack", Value: "1", Index: 1, Devices: []string{"by-rack"}},
		{Pattern: "web[0-9]+", Index: 1, Devices: []string{"by-pattern"}},
		{Pattern: "web(", Index: 1, Devices: []string{"broken"}},
		{Target: "web1", Index: 2, Devices: []string{"b"}},
		{Target: "web1", Index: 1, Devices: []string{"a"}},
		{Target: "WEB1", Index: 2, Devices: []string{"c"}},
	}
	rack := func(string) (string, bool) { return "1", true }
	for _, tt := range []struct {
		target string
		attr   func(string) (string, bool)
		want   [][]string
	}{
		{"web1", rack, [][]string{{"a"}, {"b", "c"}}},
		{"web2", rack, [][]string{{"by-pattern"}}},
		{"myweb2", rack, [][]string{{"by-rack"}}},
		{"db", nil, nil},
	} {
		if got := topo.For(tt.target, tt.attr); !reflect.DeepEqual(got, tt.want) {
			t.Errorf("For(%s) = %v, want %v", tt.target, got, tt.want)
		}
	}
}

func TestPlan(t *testing.T) {
	t.Parallel()
	devices := []Device{{ID: "ask", Check: CheckList}, {ID: "a", Hosts: []string{"n1"}}, {ID: "b", Hosts: []string{"n2"}}, {ID: "any", Check: CheckNone}}
	for _, tt := range []struct {
		name  string
		topo  Topology
		want  [][]string
		notes []string
	}{
		{"no topology", nil, [][]string{{"a"}, {"any"}, {"ask"}}, []string{"device b does not know n1"}},
		{"topology", Topology{{Target: "n1", Index: 1, Devices: []string{"any", "a"}}}, [][]string{{"any", "a"}}, nil},
		{"topology with gaps", Topology{{Target: "n1", Index: 1, Devices: []string{"b"}}, {Target: "n1", Index: 2, Devices: []string{"x"}},
			{Target: "n1", Index: 3, Devices: []string{"a"}}}, [][]string{{"a"}},
			[]string{"device b of the topology does not know n1", "device x of the topology does not exist or is disabled"}},
		{"topology without use", Topology{{Target: "n1", Index: 1, Devices: []string{"x"}}}, nil, []string{"device x of the topology does not exist or is disabled"}},
	} {
		got, notes := Plan(Subject{Target: "n1", Action: Off}, devices, tt.topo)
		if !reflect.DeepEqual(got, tt.want) || !reflect.DeepEqual(notes, tt.notes) {
			t.Errorf("%s: Plan() = %v %q, want %v %q", tt.name, got, notes, tt.want, tt.notes)
		}
	}
}

func TestChoose(t *testing.T) {
	t.Parallel()
	at := func(pairs ...string) func(d, n string) bool {
		return func(d, n string) bool {
			for _, p := range pairs {
				if p == d+"@"+n {
					return true
				}
			}
			return false
		}
	}
	one := [][]string{{"d"}}
	for _, tt := range []struct {
		name string
		c    Choice
		want string
	}{
		{"leader", Choice{Target: "n3", Levels: one, Online: []string{"n1", "n2"}, Leader: "n2"}, "n2"},
		{"active device", Choice{Target: "n3", Levels: one, Online: []string{"n2", "n1"}, Leader: "n2", Active: at("d@n1")}, "n1"},
		{"lowest name", Choice{Target: "n3", Levels: one, Online: []string{"n2", "n1"}, Leader: "n9"}, "n1"},
		{"banned", Choice{Target: "n3", Levels: one, Online: []string{"n1", "n2"}, Leader: "n2", Banned: at("d@n2")}, "n1"},
		{"never itself while another can", Choice{Target: "n1", Levels: one, Online: []string{"n1", "n2"}, Leader: "n1", Active: at("d@n1")}, "n2"},
		{"another on a later level before itself", Choice{Target: "n1", Levels: [][]string{{"d"}, {"e"}}, Online: []string{"n1", "n2"}, Banned: at("d@n2")}, "n2"},
		{"itself when nobody else", Choice{Target: "n1", Levels: one, Online: []string{"n1"}}, "n1"},
		{"nobody", Choice{Target: "n1", Levels: one, Online: []string{"n2"}, Banned: at("d@n2")}, ""},
		{"who failed less often", Choice{Target: "n3", Levels: one, Online: []string{"n1", "n2"}, Leader: "n1", Active: at("d@n1"),
			Failed: func(n string) int { return map[string]int{"n1": 1}[n] }}, "n2"},
		{"an earlier level", Choice{Target: "n3", Levels: [][]string{{"d"}, {"e"}}, Online: []string{"n1", "n2"}, Leader: "n1", Banned: at("d@n1")}, "n2"},
		{"no device", Choice{Target: "n1", Online: []string{"n2"}}, ""},
		{"all devices of the level", Choice{Target: "n3", Levels: [][]string{{"d", "e"}}, Online: []string{"n1", "n2"}, Banned: at("e@n1"), Active: at("d@n1")}, "n2"},
	} {
		got, ok := Choose(tt.c)
		if got != tt.want || ok != (tt.want != "") {
			t.Errorf("%s: Choose() = %q %v, want %q", tt.name, got, ok, tt.want)
		}
	}
}

func TestCapabilitiesOf(t *testing.T) {
	t.Parallel()
	text := `<resource-agent name="fence_x" shortdesc="x"><parameters>%s</parameters><actions>%s</actions></resource-agent>`
	for _, tt := range []struct {
		params, actions string
		want            Capabilities
	}{
		{`<parameter name="port"/><parameter name="plug"/>`, `<action name="off"/><action name="on" automatic="0"/><action name="reboot"/><action name="list"/><action name="status"/>`,
			Capabilities{List: true, Status: true, Argument: "plug"}},
		{`<parameter name="port"/><parameter name="nodename"/>`, `<action name="on" on_target="1" automatic="1"/><action name="off"/>`,
			Capabilities{NoReboot: true, Argument: "port", Nodename: true, Unfences: true, OnTarget: true}},
		{``, `<action name="reboot"/>`, Capabilities{}},
	} {
		m, err := agents.ParseMetadata(fmt.Appendf(nil, text, tt.params, tt.actions))
		if err != nil {
			t.Fatal(err)
		}
		if got := CapabilitiesOf(m); got != tt.want {
			t.Errorf("CapabilitiesOf(%s %s) = %+v, want %+v", tt.params, tt.actions, got, tt.want)
		}
	}
}
