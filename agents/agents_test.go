package agents

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"
)

func TestParseRef(t *testing.T) {
	t.Parallel()
	tests := []struct {
		text string
		want Ref
	}{
		{"ocf:heartbeat:IPaddr2", Ref{"ocf", "heartbeat", "IPaddr2"}},
		{"ocf:Dummy", Ref{"ocf", "heartbeat", "Dummy"}},
		{"Dummy", Ref{"ocf", "heartbeat", "Dummy"}},
		{"systemd:nginx", Ref{"systemd", "", "nginx"}},
		{`systemd:getty@tty1.service`, Ref{"systemd", "", "getty@tty1.service"}},
		{`service:dev-disk\x2dby`, Ref{"service", "", `dev-disk\x2dby`}},
		{"lsb:apache2", Ref{"lsb", "", "apache2"}},
		{"stonith:fence_ipmilan", Ref{"stonith", "", "fence_ipmilan"}},
	}
	for _, tt := range tests {
		got, err := ParseRef(tt.text)
		if err != nil || got != tt.want {
			t.Errorf("ParseRef(%q) = %v, %v, want %v", tt.text, got, err, tt.want)
		}
	}
}

func TestParseRef_Refused(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"", ":", "ocf:", "ocf::Dummy", "ocf:heartbeat:", "ocf:../x:Dummy", "ocf:heartbeat:../Dummy", "ocf:heartbeat:a/b",
		"ocf:-x:y", "ocf:heartbeat:.hidden", "ocf:heartbeat:a b", "ocf:heartbeat:;id", "ocf:heartbeat:$(id)", "ocf:heartbeat:`id`",
		"ocf:heartbeat:a\nb", "ocf:heartbeat:a\x00b", "ocf:heartbeat:\u202eabc", "ocf:heartbeat:\xff", "lsb:a:b", "nosuch:x",
		"systemd:../x", "systemd:a/b", "systemd:-x", "stonith:", "ocf:heartbeat:" + strings.Repeat("a", 129), strings.Repeat("a", 64<<10),
	} {
		got, err := ParseRef(text)
		if !errors.Is(err, ErrName) {
			t.Errorf("ParseRef(%.40q) = %v, %v, want ErrName", text, got, err)
		}
		if err != nil && (len(err.Error()) > 700 || !utf8.ValidString(err.Error())) {
			t.Errorf("ParseRef(%.40q): error of %d bytes or not UTF-8", text, len(err.Error()))
		}
	}
}

func TestRef_RoundTrip(t *testing.T) {
	t.Parallel()
	name := rapid.StringMatching(`[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}`)
	rapid.Check(t, func(t *rapid.T) {
		r := Ref{Class: rapid.SampledFrom([]string{"ocf", "systemd", "lsb", "service", "stonith"}).Draw(t, "class"), Type: name.Draw(t, "type")}
		if r.Class == ClassOCF {
			r.Provider = name.Draw(t, "provider")
		}
		if got, err := ParseRef(r.String()); err != nil || got != r {
			t.Fatalf("ParseRef(%q) = %v, %v", r.String(), got, err)
		}
	})
}

func TestValidateInstance(t *testing.T) {
	t.Parallel()
	for name, ok := range map[string]bool{"db": true, "db:0": true, "db:12": true, "db:": false, "db:x": false, "db:0:1": false, ":0": false, "a b": false, "db:1234567890": false} {
		if err := ValidateInstance(name); (err == nil) != ok {
			t.Errorf("ValidateInstance(%q) = %v, want ok %v", name, err, ok)
		}
	}
}

func TestSecret_NeverShown(t *testing.T) {
	t.Parallel()
	s := NewSecret("canary-7")
	type holder struct {
		S Secret
		M map[string]Secret
		P *Secret
	}
	h := holder{s, map[string]Secret{"a": s}, &s}
	var shown strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%T", "%p"} {
		fmt.Fprintf(&shown, verb, s)
		fmt.Fprintf(&shown, verb, h)
		fmt.Fprintf(&shown, verb, h.M)
	}
	if _, err := json.Marshal(h); err == nil {
		t.Error("json.Marshal of a secret succeeded, want an error")
	}
	for _, leak := range []string{"canary-7", fmt.Sprintf("%x", "canary-7"), fmt.Sprintf("%X", "canary-7")} {
		if strings.Contains(shown.String(), leak) {
			t.Errorf("a format verb shows the secret as %q", leak)
		}
	}
	if s.Reveal() != "canary-7" {
		t.Errorf("Reveal() = %q", s.Reveal())
	}
}

func validRequest() Request {
	return Request{ID: "1/2", Resource: "db:0", Agent: Ref{"ocf", "heartbeat", "Dummy"}, Operation: OpMonitor,
		Interval: 10 * time.Second, Timeout: 20 * time.Second, Params: map[string]string{"ip": "10.0.0.1", "OCF_CHECK_LEVEL": "10"},
		Meta: map[string]string{"clone-max": "2", "notify_type": "pre"}, FeatureSet: "3.16.2", Node: "n1"}
}

func TestRequestValidate(t *testing.T) {
	t.Parallel()
	if err := validRequest().Validate(); err != nil {
		t.Fatalf("Validate() = %v, want nil", err)
	}
	tests := []struct {
		name   string
		change func(*Request)
		want   string
	}{
		{"no id", func(r *Request) { r.ID = "" }, "request id"},
		{"id with newline", func(r *Request) { r.ID = "a\nb" }, "request id"},
		{"resource", func(r *Request) { r.Resource = "$(id)" }, "resource"},
		{"operation", func(r *Request) { r.Operation = "-x" }, "operation"},
		{"no timeout", func(r *Request) { r.Timeout = 0 }, "timeout"},
		{"long timeout", func(r *Request) { r.Timeout = MaxTimeout + 1 }, "timeout"},
		{"negative interval", func(r *Request) { r.Interval = -1 }, "interval"},
		{"node", func(r *Request) { r.Node = "a b" }, "node"},
		{"parameter name with =", func(r *Request) { r.Params = map[string]string{"a=b": ""} }, "parameter"},
		{"parameter shadows meta", func(r *Request) { r.Params = map[string]string{"CRM_meta_timeout": "1"} }, "belong to the cluster"},
		{"parameter shadows feature set", func(r *Request) { r.Params = map[string]string{"crm_feature_set": "1"} }, "belong to the cluster"},
		{"NUL in value", func(r *Request) { r.Params = map[string]string{"a": "x\x00y"} }, "NUL"},
		{"NUL in meta", func(r *Request) { r.Meta = map[string]string{"a": "x\x00y"} }, "NUL"},
		{"long value", func(r *Request) { r.Params = map[string]string{"a": strings.Repeat("x", MaxValue+1)} }, "at most"},
		{"meta name", func(r *Request) { r.Meta = map[string]string{"a\nb": ""} }, "meta-attribute"},
		{"many", func(r *Request) {
			r.Params = map[string]string{}
			for i := range MaxParameters + 1 {
				r.Params[fmt.Sprint("p", i)] = ""
			}
		}, "parameters"},
		{"large together", func(r *Request) {
			r.Params = map[string]string{}
			for i := range 9 {
				r.Params[fmt.Sprint("p", i)] = strings.Repeat("x", MaxValue)
			}
		}, "together"},
	}
	for _, tt := range tests {
		r := validRequest()
		tt.change(&r)
		if err := r.Validate(); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: Validate() = %v, want an error with %q", tt.name, err, tt.want)
		}
	}
}

func TestEnvironment(t *testing.T) {
	t.Parallel()
	host := Host{ToolDir: "/opt/q/bin", Root: "/srv/q1", Node: "n1", LogFile: "/var/log/q.log", StateDir: "/run/q/rsctmp"}
	got := Environment(host, validRequest(), map[string]Secret{"password": NewSecret("pw x\ny")})
	want := []string{
		"HA_DEBUGLOG=/var/log/q.log", "HA_LOGD=no", "HA_LOGFACILITY=daemon", "HA_LOGFILE=/var/log/q.log", "HA_RSCTMP=/run/q/rsctmp",
		"HA_SBIN_DIR=/opt/q/bin", "HA_VARRUN=/run/q/rsctmp", "HA_cluster_type=corosync", "HA_debug=0", "HA_logfacility=daemon", "HOME=/", "LC_ALL=C.UTF-8",
		"OCF_CHECK_LEVEL=10", "OCF_EXIT_REASON_PREFIX=ocf-exit-reason:", "OCF_RA_VERSION_MAJOR=1", "OCF_RA_VERSION_MINOR=1",
		"OCF_RESKEY_CRM_meta_clone_max=2", "OCF_RESKEY_CRM_meta_interval=10000", "OCF_RESKEY_CRM_meta_name=monitor",
		"OCF_RESKEY_CRM_meta_notify_type=pre", "OCF_RESKEY_CRM_meta_on_node=n1", "OCF_RESKEY_CRM_meta_timeout=20000",
		"OCF_RESKEY_OCF_CHECK_LEVEL=10", "OCF_RESKEY_crm_feature_set=3.16.2", "OCF_RESKEY_ip=10.0.0.1", "OCF_RESKEY_password=pw x\ny",
		"OCF_RESOURCE_INSTANCE=db:0", "OCF_RESOURCE_PROVIDER=heartbeat", "OCF_RESOURCE_TYPE=Dummy", "OCF_ROOT=/usr/lib/ocf",
		"PATH=/opt/q/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "PCMK_debug=0", "PCMK_logfacility=daemon",
		"PCMK_logfile=/var/log/q.log", "PCMK_service=quorated", "QUORATE_ROOT=/srv/q1", "SHELL=/bin/sh",
	}
	if !slices.Equal(got, want) {
		t.Errorf("Environment() =\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// A parameter, whatever its name, must not set or change a variable outside OCF_RESKEY_ (A5 in the threat model).
func TestEnvironment_ParametersStayInTheirPrefix(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		r := validRequest()
		r.Params, r.Meta = map[string]string{}, map[string]string{}
		bare := Environment(Host{}, r, nil)
		r.Params = rapid.MapOf(rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{"PATH", "LD_PRELOAD", "OCF_ROOT", "BASH_ENV", "x"})), rapid.String()).Draw(t, "params")
		if r.Validate() != nil {
			t.Skip("refused")
		}
		for _, v := range Environment(Host{}, r, nil) {
			name, _, _ := strings.Cut(v, "=")
			if slices.Contains(bare, v) || strings.HasPrefix(name, "OCF_RESKEY_") {
				continue
			}
			if name != "OCF_CHECK_LEVEL" {
				t.Fatalf("parameters %q set %q", r.Params, v)
			}
		}
	})
}

func TestSplitAttributes(t *testing.T) {
	t.Parallel()
	params, meta, fs := SplitAttributes(map[string]string{"ip": "1", "CRM_meta_timeout": "20000", "crm_feature_set": "3.1"})
	if params["ip"] != "1" || len(params) != 1 || meta["timeout"] != "20000" || len(meta) != 1 || fs != "3.1" {
		t.Errorf("SplitAttributes() = %v, %v, %q", params, meta, fs)
	}
}

func TestExitReason(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, stderr, want string }{
		{"none", "hello\n", ""},
		{"one", "x\nocf-exit-reason:no disk\ny\n", "no disk"},
		{"last wins", "ocf-exit-reason:first\nocf-exit-reason: second \n", "second"},
		{"not at line start", "+ echo ocf-exit-reason:traced\n", ""},
		{"traced after a real one", "ocf-exit-reason:real\n+ echo ocf-exit-reason:traced\n", "real"},
		{"no newline at end", "ocf-exit-reason:cut", "cut"},
		{"control characters", "ocf-exit-reason:a\x1b[31m\rb\x00\n", "a [31m b"},
		{"invalid UTF-8", "ocf-exit-reason:caf\xe9\n", "caf\uFFFD"},
		{"bidi", "ocf-exit-reason:a\u202eb\n", "a b"},
		{"long", "ocf-exit-reason:" + strings.Repeat("ä", 600) + "\n", strings.Repeat("ä", MaxReason/2)},
	}
	for _, tt := range tests {
		if got := ExitReason([]byte(tt.stderr)); got != tt.want {
			t.Errorf("%s: ExitReason() = %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestCleanText_Bounds(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := string(rapid.SliceOf(rapid.Byte()).Draw(t, "text"))
		limit := rapid.IntRange(0, 40).Draw(t, "limit")
		for _, got := range []string{CleanText(text, limit), CleanLine(text, limit)} {
			if len(got) > limit || !utf8.ValidString(got) || strings.ContainsAny(got, "\x00\r\x1b") {
				t.Fatalf("clean(%q, %d) = %q", text, limit, got)
			}
		}
	})
}

func TestStatusAndCodes_Text(t *testing.T) {
	t.Parallel()
	if got := StatusNoSecrets.String(); got != "no secrets" {
		t.Errorf("StatusNoSecrets = %q", got)
	}
	if got := StatusPending.String(); got != "pending" {
		t.Errorf("StatusPending = %q", got)
	}
	if got := Status(99).String(); got != "status 99" {
		t.Errorf("Status(99) = %q", got)
	}
	if got := ExitCode(77).String(); got != "exit code 77" {
		t.Errorf("ExitCode(77) = %q", got)
	}
	if got := (Result{Status: StatusDone, RC: RCNotRunning, Reason: "gone"}).Describe(); got != "not running (gone)" {
		t.Errorf("Describe() = %q", got)
	}
}
