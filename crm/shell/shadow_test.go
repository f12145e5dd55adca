package shell

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// typed runs lines as a session against the cluster, with a home of its own.
func (c *cluster) typed(home string, lines ...string) (code int, out, err string) {
	var stdout, stderr bytes.Buffer
	code = Run(context.Background(), Config{In: strings.NewReader(strings.Join(lines, "\n") + "\n"), Out: &stdout, Err: &stderr,
		Getenv: func(name string) string { return map[string]string{"QUORATE_SOCKET": c.socket, "HOME": home}[name] }}, nil)
	return code, stdout.String(), stderr.String()
}

// TestShadow works on a copy: the cluster sees nothing of it before the commit, and what others change meanwhile stays.
func TestShadow(t *testing.T) {
	t.Parallel()
	c := newCluster(t).online()
	home := t.TempDir()
	session := func(lines ...string) string {
		t.Helper()
		code, out, err := c.typed(home, lines...)
		if code != 0 {
			t.Fatalf("%q: exit %d: %s", lines, code, err)
		}
		return out
	}
	c.must("configure", "primitive", "web", "ocf:test:Dummy", "params", "a=1")
	session("cib new test", "configure primitive mail ocf:test:Dummy", "resource param web set a 2")
	if got := c.must("configure", "show"); strings.Contains(got, "mail") || !strings.Contains(got, "a=1") {
		t.Errorf("the cluster before the commit:\n%s", got)
	}
	if got := session("cib use test", "cib diff"); got != "~ primitive web: params a: 1 -> 2\n+ primitive mail\n" {
		t.Errorf("cib diff = %q", got)
	}
	c.must("configure", "tag", "t:", "web")
	session("cib list", "cib commit test")
	if got := c.must("configure", "show"); !strings.Contains(got, "mail") || !strings.Contains(got, "a=2") || !strings.Contains(got, "tag t") {
		t.Errorf("the cluster after the commit:\n%s", got)
	}
	if got := session("cib commit test"); got != "Nothing to change.\n" {
		t.Errorf("again: %q", got)
	}
	// The same value changed on both sides is a conflict.
	session("cib use test", "resource param web set a 3")
	c.must("resource", "param", "web", "set", "a", "4")
	for _, test := range []struct{ line, want string }{
		{"cib commit test", "somebody else has changed resource web"},
		{"cib new test", "there is a shadow test already"},
		{"cib use nosuch", "there is no shadow nosuch; there are test"},
		{"cib delete nosuch", "no shadow nosuch"},
		{"cib new ../x", "cannot be the name"},
		{"cib commit", "no shadow is in use"},
		{"cib cibstatus node n1 unclean", "not for pretending"},
	} {
		if code, _, err := c.typed(home, test.line); code == 0 || !strings.Contains(err, test.want) {
			t.Errorf("%s: exit %d, %q; want %q", test.line, code, err, test.want)
		}
	}
	if code, _, err := c.typed(home, "cib use test", "cib delete test"); code == 0 || !strings.Contains(err, "is in use") {
		t.Errorf("delete of the one in use: %q", err)
	}
	if code, _, err := c.typed(home, "cib use test", "cluster status"); code == 0 || !strings.Contains(err, "the shadow test is in use") {
		t.Errorf("a live command on a shadow: %q", err)
	}
	session("cib reset test")
	if got := session("cib use test", "cib diff"); got != "" {
		t.Errorf("after reset: %q", got)
	}
	session("cib delete test")
	if got := session("cib list"); got != "" {
		t.Errorf("list = %q", got)
	}
	// One without a name ends with the session.
	session("cib new", "configure primitive x ocf:test:Dummy", "cib use")
	if got := session("cib list"); got != "" {
		t.Errorf("the temporary one is left: %q", got)
	}
	// The documentation's example: changes begun on the cluster are committed to a shadow.
	session("configure", "primitive begun ocf:test:Dummy", "cib new test-2", "commit")
	if got := c.must("configure", "show"); strings.Contains(got, "begun") {
		t.Errorf("the cluster has what was committed to the shadow:\n%s", got)
	}
	if got := session("cib use test-2", "cib diff"); got != "+ primitive begun\n" {
		t.Errorf("the shadow has %q", got)
	}
	file := filepath.Join(t.TempDir(), "other.xml")
	if err := os.WriteFile(file, []byte(testCIB), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := session("cib import "+file, "configure show d1"); !strings.Contains(got, "primitive d1") {
		t.Errorf("import: %q", got)
	}
}

// TestCibstatus pretends states in a file.
func TestCibstatus(t *testing.T) {
	t.Parallel()
	o := newOffline(t)
	for _, line := range []string{"node n1 online", "node n2 online", "quorum true"} {
		o.must(append([]string{"cib", "cibstatus"}, strings.Fields(line)...)...)
	}
	if got := o.must("cib", "cibstatus", "run"); !strings.Contains(got, "Start      d1") {
		t.Errorf("run:\n%s", got)
	}
	o.must("cib", "cibstatus", "simulate")
	if got := o.must("cib", "cibstatus", "run"); got != "Nothing would be done.\n" {
		t.Errorf("after simulate:\n%s", got)
	}
	o.must("cib", "cibstatus", "op", "promote", "s", "ok", "n1")
	if got := o.must("resource", "locate", "c"); got != "resource c is running on: n1 Promoted\nresource c is running on: n2\n" {
		t.Errorf("where the clone runs:\n%s", got)
	}
	where := strings.TrimSpace(o.must("resource", "locate", "d1"))
	node := where[len(where)-2:]
	o.must("cib", "cibstatus", "op", "monitor:10", "d1", "not_running", node)
	if got := o.must("cib", "cibstatus", "run"); !strings.Contains(got, "Recover    d1") {
		t.Errorf("after a failed monitor:\n%s", got)
	}
	o.must("cib", "cibstatus", "node", node, "offline")
	if got := o.must("cib", "cibstatus", "run"); !strings.Contains(got, "Start      d1") {
		t.Errorf("with %s offline:\n%s", node, got)
	}
	o.must("cib", "cibstatus", "ticket", "T", "grant")
	if got := o.must("cib", "cibstatus", "show"); !strings.Contains(got, `<ticket_state id="T" granted="true"`) {
		t.Errorf("show:\n%s", got)
	}
	for _, test := range []struct{ args, want string }{
		{"node n9 online", "node n9 is not in the cluster"}, {"node n1 sideways", "none of online"}, {"op monitor d1 fine", "is no result"},
		{"op monitor g 0", "operations run on primitives"}, {"quorum perhaps", "neither yes nor no"}, {"ticket T steal", "none of grant"},
		{"load shadow:none", "HOME is not set"}, {"load /nonexistent", "no such file"},
	} {
		o.refusedOffline(test.want, append([]string{"cib", "cibstatus"}, strings.Fields(test.args)...)...)
	}
}

func TestTrace(t *testing.T) {
	t.Parallel()
	o := newOffline(t)
	o.must("configure", "monitor", "d1", "10s:20s")
	before := o.must("configure", "show", "d1")
	o.must("resource", "trace", "d1")
	got := o.must("configure", "show", "d1")
	if n := strings.Count(got, "trace_ra=1"); n != 3 {
		t.Errorf("%d operations are traced, want start, stop and monitor:\n%s", n, got)
	}
	o.must("resource", "untrace", "d1")
	if got := o.must("configure", "show", "d1"); got != before {
		t.Errorf("after untrace:\n%s\nwant\n%s", got, before)
	}
	o.must("resource", "trace", "c", "probe", "/var/log/trace")
	if got := o.must("configure", "show", "s"); !strings.Contains(got, "trace_ra=1") || !strings.Contains(got, `trace_dir="/var/log/trace"`) || !strings.Contains(got, "op monitor") {
		t.Errorf("trace of a clone:\n%s", got)
	}
	o.must("resource", "untrace", "c", "probe")
	o.refusedOffline("resource not found", "resource", "trace", "nosuch")
	o.refusedOffline("its path begins with /", "resource", "trace", "d1", "monitor", "10s", "here")
}

func TestReplaced(t *testing.T) {
	t.Parallel()
	o := newOffline(t)
	for _, test := range []struct{ args, want string }{
		{"corosync show", "crm export toml"}, {"corosync add-node x", "crm cluster token create"}, {"cluster run ls", "use ssh"},
		{"cluster geo-init", "site ticket"}, {"resource secret d1 unstash p", "has no parameter p"}, {"resource secret g set p v", "only primitives"},
		{"cluster rename a/b", "cannot be a name"},
	} {
		o.refusedOffline(test.want, strings.Fields(test.args)...)
	}
	o.must("cluster", "rename", "web")
	if got := o.must("configure", "get-property", "cluster-name"); got != "web\n" {
		t.Errorf("cluster-name = %q", got)
	}
	for _, level := range []string{"corosync", "cib", "cluster"} {
		if got := o.must(level, "help"); !strings.Contains(got, "help COMMAND") {
			t.Errorf("%s help:\n%s", level, got)
		}
	}
}

// TestResourceSecret stores a parameter apart from the document.
func TestResourceSecret(t *testing.T) {
	t.Parallel()
	c := newCluster(t).online()
	c.must("configure", "primitive", "ipmi", "ocf:test:Dummy", "params", "password=hunter2")
	for _, test := range []struct{ args, want string }{
		{"show password", "crm resource secret ipmi stash password"}, {"stash nosuch", "no parameter nosuch"}, {"unstash password", "cannot be read back"},
		{"frob password", "none of set"}, {"stash password", "the key of node n1 is not known"},
	} {
		_, out, err := c.crm(append([]string{"resource", "secret", "ipmi"}, strings.Fields(test.args)...)...)
		if !strings.Contains(err, test.want) {
			t.Errorf("%s: %q %q, want %q", test.args, out, err, test.want)
		}
	}
	c.must("resource", "param", "ipmi", "set", "password", "ref:store:other")
	if got := c.must("resource", "secret", "ipmi", "show", "password"); got != "ref:store:other\n" {
		t.Errorf("show = %q", got)
	}
	c.refused("there is no such secret", "resource", "secret", "ipmi", "check", "password")
	c.must("resource", "secret", "ipmi", "delete", "password")
	if got := c.must("configure", "show", "ipmi"); strings.Contains(got, "password") {
		t.Errorf("after delete: %s", fmt.Sprint(got))
	}
}
