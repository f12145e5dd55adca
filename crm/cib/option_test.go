package cib

import (
	"slices"
	"strings"
	"testing"
)

// TestOptions checks the tables against themselves: names are unique and sorted, defaults are valid values,
// and every option has a text.
func TestOptions(t *testing.T) {
	t.Parallel()
	for name, list := range map[string][]Option{"properties": Properties(), "meta": MetaOptions(), "operations": OperationOptions(), "fencing": FencingOptions()} {
		seen := map[string]bool{}
		for i := range list {
			o := &list[i]
			if i > 0 && list[i-1].Name >= o.Name {
				t.Errorf("%s: %s is not sorted or given twice", name, o.Name)
			}
			for _, n := range append(slices.Clone(o.Old), o.Name) {
				if seen[n] {
					t.Errorf("%s: name %s is taken twice", name, n)
				}
				seen[n] = true
			}
			if o.Default != "" {
				if err := o.Check(o.Default); err != nil {
					t.Errorf("%s: default: %v", name, err)
				}
			}
			if !strings.HasSuffix(o.Help, ".") {
				t.Errorf("%s: the text of %s is no sentence", name, o.Name)
			}
			if (o.Type == TypeChoice) != (len(o.Choices) > 0) {
				t.Errorf("%s: %s has type %v and %d choices", name, o.Name, o.Type, len(o.Choices))
			}
		}
	}
}

func TestOption_Check(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, value, want string }{
		{"fencing-enabled", "yes", ""},
		{"stonith-enabled", "maybe", "fencing-enabled=\"maybe\": expected true or false"},
		{"batch-limit", "-1", "expected a whole number of at least 0"},
		{"batch-limit", "x", "expected a whole number"},
		{"no-quorum-policy", "Suicide", ""},
		{"no-quorum-policy", "die", "expected one of stop, freeze, ignore, demote, fence"},
		{"node-health-red", "-INF", "expected a whole number, INFINITY or -INFINITY"},
		{"cluster-delay", "1 week", "expected a duration"},
		{"stonith-watchdog-timeout", "-1", ""},
		{"stonith-watchdog-timeout", "x", "expected a duration"},
		{"load-threshold", "80", "expected a percentage"},
		{"load-threshold", "80%", ""},
	} {
		err := PropertyOption(c.name).Check(c.value)
		if got := ""; err != nil {
			got = err.Error()
			if c.want == "" || !strings.Contains(got, c.want) {
				t.Errorf("Check(%s=%s) = %q, want %q", c.name, c.value, got, c.want)
			}
		} else if c.want != "" {
			t.Errorf("Check(%s=%s) = nil, want %q", c.name, c.value, c.want)
		}
	}
	if err := MetaOption("remote-port").Check("70000"); err == nil || !strings.Contains(err.Error(), "from 1 to 65535") {
		t.Errorf("Check(remote-port) = %v", err)
	}
	if CanonicalProperty("stonith-enabled") != "fencing-enabled" || CanonicalProperty("x") != "x" || CanonicalMeta("master-max") != "promoted-max" {
		t.Error("older names are not translated")
	}
}

func TestProperty(t *testing.T) {
	t.Parallel()
	pair := func(name, value string) NVPair { return NVPair{Name: name, Value: value} }
	doc := &Document{}
	doc.Config.Properties = []AttributeSet{
		{ID: "a", Score: "5", Pairs: []NVPair{pair("batch-limit", "1"), pair("batch-limit", "2"), pair("symmetric-cluster", "false")}},
		{ID: "b", Score: "5", Pairs: []NVPair{pair("batch-limit", "3"), pair("stonith-enabled", "false"), pair("fencing-enabled", "true")}},
		{ID: "c", Score: "1", Pairs: []NVPair{pair("batch-limit", "4"), pair("stonith-action", "off"), pair("cluster-delay", "x")}},
		{ID: BootstrapSet, Pairs: []NVPair{pair("symmetric-cluster", "true"), {Name: "x", NoValue: true}}},
	}
	for _, c := range []struct{ name, want, effective string }{
		{"batch-limit", "3", "3"},
		{"symmetric-cluster", "true", "true"},
		{"fencing-enabled", "true", "true"},
		{"fencing-action", "off", "off"},
		{"cluster-delay", "x", "60s"},
		{"fencing-timeout", "", "60s"},
		{"x", "", ""},
	} {
		got, ok := Property(doc, c.name)
		if got != c.want || ok != (c.want != "") {
			t.Errorf("Property(%s) = %q, %v, want %q", c.name, got, ok, c.want)
		}
		if got := EffectiveProperty(doc, c.name); got != c.effective {
			t.Errorf("EffectiveProperty(%s) = %q, want %q", c.name, got, c.effective)
		}
	}
}

func TestNearest(t *testing.T) {
	t.Parallel()
	names := propertyTable.names()
	for name, want := range map[string]string{
		"fencing-enable": "fencing-enabled", "no_quorum_policy": "no-quorum-policy", "maintenence-mode": "maintenance-mode",
		"Batch-Limit": "batch-limit", "bacth-limit": "batch-limit", "stonith-enabeld": "stonith-enabled", "something-else-entirely": "", "": "",
		strings.Repeat("x", 1000): "",
	} {
		if got := Nearest(name, names); got != want {
			t.Errorf("Nearest(%q) = %q, want %q", name, got, want)
		}
	}
}
