package shell

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const testAgent = `#!/bin/sh
cat <<END
<resource-agent name="Web"><version>1</version><shortdesc lang="en">x</shortdesc><longdesc lang="en">x</longdesc><parameters>
<parameter name="port" required="1"><longdesc lang="en">Where it listens.</longdesc><shortdesc lang="en">port</shortdesc><content type="integer" default="80"/></parameter>
<parameter name="mode"><longdesc lang="en">How.</longdesc><shortdesc lang="en">mode</shortdesc><content type="select"><option value="fast"/><option value="safe"/></content></parameter>
</parameters><actions><action name="monitor" timeout="20s" interval="10s"/><action name="start" timeout="30s"/></actions></resource-agent>
END
`

// TestCompletion asks, the way bash does, what may come next.
func TestCompletion(t *testing.T) {
	t.Parallel()
	o := newOffline(t)
	dir := filepath.Join(o.env["OCF_ROOT"], "resource.d", "heartbeat")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"Web", "website"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(testAgent), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, test := range []struct{ line, want, not string }{
		{"crm ", "configure resource status template", ""},
		{"crm res", "resource", "configure"},
		{"crm resource st", "start stop status", "move"},
		{"crm resource move ", "d1 g c", "n1"},
		{"crm resource move d1 ", "n1 n2 force", "d2"},
		{"crm resource param d1 ", "set show delete", ""},
		{"crm resource meta d1 set target", "target-role", "d1"},
		{"crm resource trace d1 ", "start monitor", "n1"},
		{"crm node attribute n1 ", "set show", ""},
		{"crm configure primitive x ", "ocf: systemd: Web", "d1"},
		{"crm configure primitive x ocf:heart", "ocf:heartbeat:Web", "lsb:"},
		{"crm configure primitive x ocf:heartbeat:We", "ocf:heartbeat:Web", "ocf:heartbeat:website"},
		{"crm configure primitive x ocf:heartbeat:we", "ocf:heartbeat:website", "ocf:heartbeat:Web"},
		{"crm configure primitive x ocf:heartbeat:WE", "ocf:heartbeat:Web", "ocf:heartbeat:website"},
		{"crm configure primitive x Web ", "params port= mode= op meta", "set"},
		{"crm configure primitive x Web params port=1 ", "mode= op", "port="},
		{"crm configure primitive x Web params mode=", "mode=fast mode=safe", "port="},
		{"crm configure primitive x Web params port=", "port=80", ""},
		{"crm configure primitive x Web op ", "monitor start", "params"},
		{"crm configure primitive x Web op monitor timeout=", "timeout=20s", ""},
		{"crm configure primitive x Web meta target-role=", "target-role=Stopped", ""},
		{"crm configure property no-quorum-policy=", "no-quorum-policy=stop no-quorum-policy=freeze", ""},
		{"crm configure property no-q", "no-quorum-policy=", "cluster-delay="},
		{"crm configure location l2 d1 ", "inf: -inf: rule", "n1"},
		{"crm configure location l2 d1 inf: ", "n1 n2", "d1"},
		{"crm configure show type:p", "type:primitive type:property", "type:node"},
		{"crm configure modgroup ", "g", "d1"},
		{"crm configure modgroup g remove ", "a b", "d1"},
		{"crm configure template new x ", "apache virtual-ip", ""},
		{"crm script run virtual-ip ", "ip= nic=", ""},
		{"crm -f x -w status ", "bynode inactive", ""},
		{"crm nosuch ", "", "status"},
	} {
		var out, errs bytes.Buffer
		env := func(name string) string {
			switch name {
			case "COMP_LINE":
				return test.line
			case "COMP_POINT":
				return ""
			}
			return o.env[name]
		}
		if code := Run(context.Background(), Config{In: strings.NewReader(""), Out: &out, Err: &errs, Getenv: env}, []string{"--compgen"}); code != 0 || errs.Len() > 0 {
			t.Errorf("%q: exit %d, %s", test.line, code, &errs)
		}
		got := strings.Fields(out.String())
		for _, w := range strings.Fields(test.want) {
			if !slices.Contains(got, w) {
				t.Errorf("%q offers %v, without %s", test.line, got, w)
			}
		}
		if test.not != "" && slices.Contains(got, test.not) {
			t.Errorf("%q offers %s", test.line, test.not)
		}
	}
}

// TestValueHelp checks the words that explain a parameter at its "=".
func TestValueHelp(t *testing.T) {
	t.Parallel()
	s := &Shell{cfg: Config{Getenv: func(string) string { return "/nonexistent" }}}
	for _, test := range []struct{ line, word, want string }{
		{"property", "no-quorum-policy=", "no-quorum-policy ("}, {"primitive x ocf:a:b op monitor", "on-fail=", "on-fail ("},
		{"rsc_defaults", "resource-stickiness=", "resource-stickiness ("}, {"primitive x ocf:a:b meta", "nosuch=", ""}, {"show", "x=", ""},
	} {
		help, _, ok := s.valueHelp(t.Context(), strings.Fields(test.line), test.word)
		if ok != (test.want != "") || !strings.HasPrefix(help, test.want) {
			t.Errorf("%s %s: %q, %v; want %q", test.line, test.word, help, ok, test.want)
		}
	}
}
