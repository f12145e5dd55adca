package shell

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/quorate/quorate/crm/cib"
)

// example fills a recipe in with its examples.
func example(r *recipe) *filled {
	list, err := withPulled([]string{r.name})
	if err != nil {
		panic(err)
	}
	f := &filled{name: "x", recipes: list, values: map[string]string{"id": "x"}}
	for _, p := range f.params() {
		if p.name != "id" {
			f.values[p.name] = p.example
		}
	}
	return f
}

// TestRecipes fills each recipe in with its examples: the statements are accepted without errors, twice gives the same,
// and what is required is asked for.
func TestRecipes(t *testing.T) {
	t.Parallel()
	for i := range recipes {
		r := &recipes[i]
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			if i > 0 && recipes[i-1].name >= r.name {
				t.Error("not in order of name")
			}
			o := newOffline(t)
			o.env["HOME"] = t.TempDir()
			o.must("configure", "primitive", "site", "ocf:test:Dummy")
			o.must("configure", "node", "alpha")
			args := []string{r.name, "id=x"}
			for k, v := range example(r).values {
				if v != "" && k != "id" {
					args = append(args, r.name+":"+k+"="+v)
				}
			}
			shown := o.must(append([]string{"script", "verify"}, args...)...)
			if !strings.Contains(shown, "primitive ") {
				t.Errorf("verify:\n%s", shown)
			}
			o.must(append([]string{"-F", "script", "run"}, args...)...) // the agents are not installed here
			once := o.must("configure", "show")
			o.must(append([]string{"-F", "script", "run"}, args...)...) // the agents are not installed here
			if twice := o.must("configure", "show"); twice != once {
				t.Errorf("run twice:\n%s\nonce:\n%s", twice, once)
			}
			again, err := readFilled("x", example(r).text())
			if err != nil || again.text() != example(r).text() {
				t.Errorf("the file is not read as it was written: %v", err)
			}
			f := example(r)
			for _, p := range f.params() {
				if p.required && p.name != "id" {
					delete(f.values, p.name)
					_, err := f.statements(&cib.Document{})
					if err == nil || !strings.Contains(err.Error(), "required parameter "+p.name) {
						t.Errorf("without %s: %v", p.name, err)
					}
				}
			}
		})
	}
}

// TestRecipes_Agents compares the parameters with what the agents on this machine say of themselves.
func TestRecipes_Agents(t *testing.T) {
	if _, err := os.Stat("/usr/lib/ocf/resource.d/heartbeat/IPaddr2"); err != nil {
		t.Skip("the package resource-agents is not installed")
	}
	for i := range recipes {
		r := &recipes[i]
		t.Run(r.name, func(t *testing.T) {
			o := newOffline(t)
			delete(o.env, "OCF_ROOT")
			o.env["HOME"] = t.TempDir()
			o.must("configure", "primitive", "site", "ocf:heartbeat:Dummy")
			args := []string{"script", "run", r.name, "id=x"}
			for k, v := range example(r).values {
				if v != "" && k != "id" {
					args = append(args, k+"="+v)
				}
			}
			code, _, err := o.crm("", args...)
			for _, line := range strings.Split(err, "\n") {
				if strings.Contains(line, "has no parameter") || strings.Contains(line, "needs the parameter") || strings.Contains(line, "is shorter than") {
					t.Error(line)
				}
			}
			if code != 0 && !strings.Contains(err, "there is no agent") && !strings.Contains(err, "node alpha") {
				t.Errorf("exit %d: %s", code, err)
			}
		})
	}
}

// TestTemplate types the session of the crm shell's documentation.
func TestTemplate(t *testing.T) {
	t.Parallel()
	o := newOffline(t)
	home := t.TempDir()
	o.env["HOME"] = home
	o.env["EDITOR"] = `f() { sed -i 's/^%% ip$/%% ip 192.168.1.101/; s/^%% id.*/%% id websvc/; s|^%% configfile|%% configfile /etc/apache2/httpd.conf|' "$1"; }; f`
	code, out, err := o.crm(strings.Join([]string{"configure", "template", "new web apache", "list configs", "show", ""}, "\n"))
	if code == 0 || !strings.Contains(err, "required parameter ip not set") || !strings.Contains(err, "required parameter configfile not set") || !strings.Contains(err, `"template edit web"`) {
		t.Errorf("show before edit: exit %d\n%s", code, err)
	}
	if want := "INFO: pulling in template virtual-ip\nINFO: pulling in template apache\nweb\n"; out != want {
		t.Errorf("new: %q, want %q", out, want)
	}
	code, out, err = o.crm(strings.Join([]string{"configure", "template", "load web", "edit", "show", "apply", "cd ..", "show changed",
		"location websvc-pref websvc 100: n1", "rename virtual-ip intranet-ip", "commit", "show websvc websvc-pref intranet-ip"}, "\n"))
	if code != 0 {
		t.Fatalf("exit %d: %s", code, err)
	}
	for _, want := range []string{
		"primitive apache apache \\\n\tparams configfile=\"/etc/apache2/httpd.conf\"", "group websvc virtual-ip apache",
		"group websvc intranet-ip apache", "location websvc-pref websvc 100: n1", "primitive intranet-ip IPaddr2 \\\n\tparams ip=192.168.1.101",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing in\n%s", want, out)
		}
	}
	// A second one finds the names taken.
	o.must("template", "new", "two", "apache", "params", "ip=192.168.1.102", "configfile=/b")
	o.must("template", "apply", "two")
	if got := o.must("configure", "show"); !strings.Contains(got, "group two virtual-ip two-apache") {
		t.Errorf("the second:\n%s", got)
	}
	for _, test := range []struct{ args, want string }{
		{"new x apche", `did you mean "apache"`}, {"new web apache", "already"}, {"new x virtual-ip params pi=1", "it has ip, netmask, nic"},
		{"show nosuch", "there are two, web"}, {"show", "no filled-in template is in use"}, {"new ../x virtual-ip", "cannot be a name"},
		{"new y virtual-ip params ip=a\"b", ""}, {"show y", "must not hold quotes"}, {"delete nosuch", "no filled-in template nosuch"},
	} {
		code, _, err := o.crm("", append([]string{"template"}, strings.Fields(test.args)...)...)
		if (code == 0) != (test.want == "") || !strings.Contains(err, test.want) {
			t.Errorf("template %s: exit %d, %q; want %q", test.args, code, err, test.want)
		}
	}
	o.must("template", "delete", "two")
	if got := o.must("template", "list", "configs"); got != "web\ny\n" {
		t.Errorf("list configs = %q", got)
	}
	if err := os.WriteFile(filepath.Join(home, ".local/state/quorate/templates/bad"), []byte("%% ip 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	o.refusedOffline("bad:1: the line", "template", "show", "bad")
}

func TestScript(t *testing.T) {
	t.Parallel()
	o := newOffline(t)
	if got := o.must("script", "list", "names"); !strings.Contains(got, "virtual-ip\n") {
		t.Errorf("list names:\n%s", got)
	}
	if got := o.must("script", "list"); !strings.Contains(got, "Database:\n\nmysql ") {
		t.Errorf("list:\n%s", got)
	}
	if got := o.must("script", "show", "virtual-ip"); !strings.Contains(got, "ip*  the address") {
		t.Errorf("show:\n%s", got)
	}
	before := o.must("configure", "show")
	o.must("script", "run", "virtual-ip", "id=vip", "ip=10.0.0.1", "dry_run=yes")
	if got := o.must("configure", "show"); got != before {
		t.Error("dry_run changed the configuration")
	}
	if got := o.must("script", "json", `["run", "virtual-ip", {"virtual-ip": {"id": "vip", "ip": "10.0.0.1"}}]`); !strings.HasSuffix(got, "\"end\"\n") {
		t.Errorf("json: %q", got)
	}
	if got := o.must("configure", "show", "vip"); !strings.Contains(got, "ip=10.0.0.1") {
		t.Errorf("after run: %s", got)
	}
	for _, test := range []struct{ args, want string }{
		{"run virtual-ip", "required parameter ip not set"}, {"run nosuch", "there is no template nosuch"}, {"verify virtual-ip ip", "the form is NAME=VALUE"},
		{"json nonsense", "an array of command"}, {`json ["steal"]`, "none of list, show"}, {"run virtual-ip ip=1.1.1.1 dry_run=perhaps", "neither yes nor no"},
	} {
		o.refusedOffline(test.want, append([]string{"script"}, strings.Fields(test.args)...)...)
	}
}

func TestAssist(t *testing.T) {
	t.Parallel()
	o := newOffline(t)
	o.must("configure", "load", "update", write(t, "x.crm", `primitive v1 ocf:test:VM params config=a shared=1 op start timeout=90s interval=0 op monitor interval=10s
primitive v2 ocf:test:VM params config=b shared=1 op start timeout=90s interval=0 op monitor interval=20s
`))
	o.must("configure", "assist", "template", "v1", "v2")
	got := o.must("configure", "show", "template-VM", "v1", "v2")
	for _, want := range []string{"rsc_template template-VM ocf:test:VM \\\n\tparams shared=1 \\\n\top start", "primitive v1 @template-VM \\\n\tparams config=a \\\n\top monitor interval=10s", "primitive v2 @template-VM \\\n\tparams config=b"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is missing in\n%s", want, got)
		}
	}
	o.refusedOffline("has the template", "assist", "template", "v1", "v2")
	o.must("configure", "primitive", "other", "ocf:test:Other")
	o.refusedOffline("different agents", "assist", "template", "d1", "other")
	o.must("configure", "assist", "weak-bond", "d1", "d2")
	if got := o.must("configure", "show"); !strings.Contains(got, "colocation place-d1-d2 inf: ( d1 d2 ) place-d1-d2-dummy") {
		t.Errorf("weak-bond:\n%s", got)
	}
	o.refusedOffline("resource not found", "assist", "weak-bond", "d1", "nosuch")
}
