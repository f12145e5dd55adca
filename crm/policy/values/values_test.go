package values

import (
	"maps"
	"testing"
	"time"

	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/policy/model"
	"github.com/quorate/quorate/crm/rule"
)

func set(score string, pairs ...string) cib.AttributeSet {
	s := cib.AttributeSet{Score: score}
	for i := 0; i < len(pairs); i += 2 {
		s.Pairs = append(s.Pairs, cib.NVPair{Name: pairs[i], Value: pairs[i+1]})
	}
	return s
}

func ruled(s cib.AttributeSet, class string) cib.AttributeSet {
	s.Rules = []rule.Rule{{Conditions: []rule.Condition{{Resource: &rule.ResourceExpression{Class: class, HasClass: true}}}}}
	return s
}

func TestPairs(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		sets []cib.AttributeSet
		have map[string]string
		want map[string]string
	}{
		{"nothing", nil, map[string]string{}, map[string]string{}},
		{"first pair of a block", []cib.AttributeSet{set("", "a", "1", "a", "2")}, map[string]string{}, map[string]string{"a": "1"}},
		{"later block", []cib.AttributeSet{set("", "a", "1"), set("", "a", "2")}, map[string]string{}, map[string]string{"a": "2"}},
		{"higher score", []cib.AttributeSet{set("5", "a", "1"), set("", "a", "2")}, map[string]string{}, map[string]string{"a": "1"}},
		{"minus infinity", []cib.AttributeSet{set("0", "a", "1"), set("-INFINITY", "a", "2", "b", "3")}, map[string]string{}, map[string]string{"a": "1", "b": "3"}},
		{"what is there stays", []cib.AttributeSet{set("", "a", "1", "b", "2")}, map[string]string{"a": "0"}, map[string]string{"a": "0", "b": "2"}},
		{"default takes away", []cib.AttributeSet{set("", "a", "1"), set("2", "a", "2"), set("1", "a", "#DEFAULT")}, map[string]string{}, map[string]string{"a": "1"}},
		{"rule passes", []cib.AttributeSet{ruled(set("", "a", "1"), "ocf")}, map[string]string{}, map[string]string{"a": "1"}},
		{"rule fails", []cib.AttributeSet{ruled(set("", "a", "1"), "lsb")}, map[string]string{}, map[string]string{}},
		{"no value", []cib.AttributeSet{{Pairs: []cib.NVPair{{Name: "a", NoValue: true}}}}, map[string]string{}, map[string]string{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			Pairs(tt.sets, rule.Input{Now: time.Unix(0, 0), Resource: &rule.Resource{Class: "ocf"}}, tt.have)
			if !maps.Equal(tt.have, tt.want) {
				t.Errorf("Pairs() = %v, want %v", tt.have, tt.want)
			}
		})
	}
}

func TestProperties_BootstrapFirst(t *testing.T) {
	t.Parallel()
	boot := set("", "a", "1")
	boot.ID = "cib-bootstrap-options"
	c := model.New(&cib.Document{}, time.Unix(0, 0))
	if got := Properties(c, []cib.AttributeSet{boot, set("100", "a", "2", "b", "3")}); got["a"] != "1" || got["b"] != "3" {
		t.Errorf("Properties() = %v, want a=1 b=3", got)
	}
}

func op(name, interval string, attrs ...string) *model.Op {
	cfg := &cib.Operation{ID: "x", Name: name, Interval: interval}
	for i := 0; i < len(attrs); i += 2 {
		cfg.Extra = append(cfg.Extra, cib.Attr{Name: attrs[i], Value: attrs[i+1]})
	}
	o := &model.Op{Config: cfg, Name: name, IntervalMS: IntervalMS(interval), Enabled: true}
	if v, ok := OpAttr(cfg, "role"); ok {
		o.Role = model.ParseRole(v)
	}
	if v, ok := OpAttr(cfg, "enabled"); ok {
		o.Enabled = cib.IsTrue(v)
	}
	return o
}

func TestOpMeta(t *testing.T) {
	t.Parallel()
	monitors := []*model.Op{op("monitor", "20s", "timeout", "7s"), op("monitor", "10s", "timeout", "5s"), op("monitor", "5s", "timeout", "3s", "enabled", "false")}
	tests := []struct {
		name     string
		ops      []*model.Op
		task     string
		interval int64
		op       *model.Op
		defaults []cib.AttributeSet
		want     map[string]string
	}{
		{"nothing configured", nil, "start", 0, nil, nil, map[string]string{"timeout": "20000"}},
		{"attribute, defaults", nil, "start", 0, op("start", "0", "timeout", "1min"), []cib.AttributeSet{set("", "timeout", "9s", "record-pending", "true")},
			map[string]string{"name": "start", "timeout": "60000", "record-pending": "true"}},
		{"probe takes the timeout of the most frequent monitor", monitors, "monitor", 0, nil, nil, map[string]string{"timeout": "5000"}},
		{"interval in milliseconds", nil, "monitor", 10000, op("monitor", "10s"), nil, map[string]string{"name": "monitor", "interval": "10000", "timeout": "20000"}},
		{"timeout that is none", nil, "start", 0, op("start", "0", "timeout", "-5"), nil, map[string]string{"name": "start", "timeout": "20000"}},
		{"start-delay", nil, "start", 0, op("start", "0", "start-delay", "-3s"), nil, map[string]string{"name": "start", "timeout": "20000", "start-delay": "0"}},
		{"interval-origin", nil, "monitor", 60000, op("monitor", "60s", "interval-origin", "1970-01-01T00:00:10Z"), nil,
			map[string]string{"name": "monitor", "interval": "60000", "timeout": "20000", "interval-origin": "1970-01-01T00:00:10Z", "start-delay": "30000"}},
		{"interval-origin to come", nil, "monitor", 60000, op("monitor", "60s", "interval-origin", "1970-01-01T01:00:10Z"), nil,
			map[string]string{"name": "monitor", "interval": "60000", "timeout": "20000", "interval-origin": "1970-01-01T01:00:10Z", "start-delay": "30000"}},
		{"on-fail that stop may not have", nil, "stop", 0, op("stop", "0", "on-fail", "standby"), nil, map[string]string{"name": "stop", "timeout": "20000"}},
		{"on-fail=demote of a plain monitor", nil, "monitor", 10000, op("monitor", "10s", "on-fail", "demote"), nil, map[string]string{"name": "monitor", "interval": "10000", "timeout": "20000"}},
		{"demote takes that of the promoted monitor", []*model.Op{op("monitor", "9s", "role", "Master", "on-fail", "block")}, "demote", 0, nil, nil,
			map[string]string{"timeout": "20000", "on-fail": "block"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			doc := &cib.Document{}
			doc.Config.OpDefaults = tt.defaults
			c := model.New(doc, time.Unix(1000, 0).UTC()) // 40 s after an origin of 10 s with 60 s intervals
			r := &model.Resource{ID: "A", Class: "ocf", Ops: tt.ops, Config: &cib.Resource{}}
			got := OpMeta(c, r, tt.task, tt.interval, tt.op)
			if !maps.Equal(got, tt.want) {
				t.Errorf("OpMeta() = %v, want %v", got, tt.want)
			}
		})
	}
}

func TestOnFail(t *testing.T) {
	t.Parallel()
	plain := &model.Resource{Managed: true}
	inside := &model.Resource{Managed: true, Launcher: &model.Resource{}}
	remote := &model.Resource{Managed: true, Connection: true}
	loose := &model.Resource{Connection: true}
	tests := []struct {
		name     string
		r        *model.Resource
		fencing  bool
		task     string
		interval int64
		value    string
		want     Policy
	}{
		{"default", plain, true, "monitor", 10, "", PolicyRestart},
		{"stop", plain, true, "stop", 0, "", PolicyFence},
		{"stop without fencing", plain, false, "stop", 0, "", PolicyBlock},
		{"fence without fencing", plain, false, "monitor", 10, "fence", PolicyStop},
		{"migrate", plain, true, "monitor", 10, "migrate", PolicyBan},
		{"nothing", plain, true, "monitor", 10, "Nothing", PolicyIgnore},
		{"unknown", plain, true, "start", 0, "what", PolicyRestart},
		{"container without one", plain, true, "start", 0, "restart-container", PolicyRestart},
		{"container", inside, true, "start", 0, "", PolicyRestartContainer},
		{"connection", remote, true, "monitor", 10, "", PolicyResetRemote},
		{"connection start", remote, true, "start", 0, "", PolicyRestart},
		{"connection, explicit", remote, true, "monitor", 10, "ignore", PolicyIgnore},
		{"unmanaged connection, explicit", loose, true, "monitor", 10, "ignore", PolicyStop},
		{"unmanaged connection", loose, true, "monitor", 10, "", PolicyStop},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := model.New(&cib.Document{}, time.Unix(0, 0))
			c.Options.FencingEnabled = tt.fencing
			meta := map[string]string{}
			if tt.value != "" {
				meta["on-fail"] = tt.value
			}
			if got := OnFail(c, tt.r, tt.task, tt.interval, meta); got != tt.want {
				t.Errorf("OnFail() = %v, want %v", got, tt.want)
			}
		})
	}
}

func TestFailCount(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		id      string
		unique  bool
		timeout int64 // milliseconds
		attrs   []model.NodeAttribute
		what    Failures
		count   int32
		last    int64
	}{
		{"none", "A", true, 0, nil, Failures{}, 0, 0},
		{"sum and maximum", "A", true, 0, []model.NodeAttribute{{Name: "fail-count-A#monitor_10", Value: "2"}, {Name: "fail-count-A#start_0", Value: "3"},
			{Name: "last-failure-A#monitor_10", Value: "70"}, {Name: "last-failure-A#start_0", Value: "90"}}, Failures{}, 5, 90},
		{"infinity stays", "A", true, 0, []model.NodeAttribute{{Name: "fail-count-A#monitor_10", Value: "INFINITY"}, {Name: "fail-count-A#start_0", Value: "3"}}, Failures{}, model.Infinity, 0},
		{"other resources", "A", true, 0, []model.NodeAttribute{{Name: "fail-count-AB#monitor_10", Value: "2"}, {Name: "fail-count-A:1#start_0", Value: "2"},
			{Name: "fail-count-A", Value: "2"}, {Name: "fail-count-A#start", Value: "2"}, {Name: "fail-count-A#_0", Value: "2"}}, Failures{}, 0, 0},
		{"any instance of what is not unique", "A:0", false, 0, []model.NodeAttribute{{Name: "fail-count-A#start_0", Value: "1"}, {Name: "fail-count-A:7#start_0", Value: "1"}}, Failures{}, 2, 0},
		{"expired", "A", true, 5000, []model.NodeAttribute{{Name: "fail-count-A#start_0", Value: "1"}, {Name: "last-failure-A#start_0", Value: "90"}}, Failures{Effective: true}, 0, 90},
		{"expired, but asked for all", "A", true, 5000, []model.NodeAttribute{{Name: "fail-count-A#start_0", Value: "1"}, {Name: "last-failure-A#start_0", Value: "90"}}, Failures{}, 1, 90},
		{"not expired", "A", true, 50000, []model.NodeAttribute{{Name: "fail-count-A#start_0", Value: "1"}, {Name: "last-failure-A#start_0", Value: "90"}}, Failures{Effective: true}, 1, 90},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := model.New(&cib.Document{}, time.Unix(100, 0).UTC())
			r := &model.Resource{ID: tt.id, Unique: tt.unique, FailureTimeoutMS: tt.timeout}
			count, last := FailCount(c, r, &model.Node{FailureAttributes: tt.attrs}, tt.what)
			if count != tt.count || last != tt.last {
				t.Errorf("FailCount() = %d, %d, want %d, %d", count, last, tt.count, tt.last)
			}
			if tt.name == "not expired" && c.RecheckBy.Unix() != 141 {
				t.Errorf("look again at %v, want second 141, the first at which it is expired", c.RecheckBy)
			}
		})
	}
}

func TestFailCount_LaunchedAndBlocked(t *testing.T) {
	t.Parallel()
	c := model.New(&cib.Document{}, time.Unix(100, 0).UTC())
	inner := &model.Resource{ID: "B", Unique: true}
	r := &model.Resource{ID: "A", Unique: true, FailureTimeoutMS: 1000, Launched: []*model.Resource{inner}}
	r.Ops = []*model.Op{op("monitor", "10s", "on-fail", "block")}
	n := &model.Node{FailureAttributes: []model.NodeAttribute{{Name: "fail-count-A#monitor_10000", Value: "1"}, {Name: "fail-count-B#monitor_10000", Value: "2"},
		{Name: "last-failure-A#monitor_10000", Value: "10"}}}
	if count, _ := FailCount(c, r, n, Failures{Launched: true}); count != 3 {
		t.Errorf("with what runs inside: %d, want 3", count)
	}
	entry := &cib.HistoryOp{ID: "A_last_failure_0", Operation: "monitor", Interval: 10000, RC: 1, TransitionKey: "1:2:0:u"}
	if count, _ := FailCount(c, r, n, Failures{Effective: true, Entry: entry}); count != 1 || r.FailureTimeoutMS != 0 {
		t.Errorf("a blocked failure: count %d, timeout %d; want 1 and no timeout", count, r.FailureTimeoutMS)
	}
}

func TestTransitionKey(t *testing.T) {
	t.Parallel()
	if transition, rc, uuid, ok := TransitionKey("3:14:7:ab:cd"); transition != 14 || rc != 7 || uuid != "ab:cd" || !ok {
		t.Errorf("TransitionKey() = %d, %d, %q, %v", transition, rc, uuid, ok)
	}
	for _, bad := range []string{"", "1", "1:2", "1:2:3", "1:x:3:u", "1:2:x:u"} {
		if _, _, _, ok := TransitionKey(bad); ok {
			t.Errorf("TransitionKey(%q) is accepted", bad)
		}
	}
	if got := WithoutInstance("a:12"); got != "a" {
		t.Errorf("WithoutInstance(a:12) = %q", got)
	}
	for _, id := range []string{"a", "a:", ":1", "a:b", ""} {
		if got := WithoutInstance(id); got != id {
			t.Errorf("WithoutInstance(%q) = %q", id, got)
		}
	}
}
