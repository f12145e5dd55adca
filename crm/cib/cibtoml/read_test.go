package cibtoml

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/cib/cibxml"
)

// TestSample reads the usual short form and compares its meaning, as XML, with a golden file.
func TestSample(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile(filepath.Join("testdata", "sample.toml"))
	if err != nil {
		t.Fatal(err)
	}
	doc, err := Read(data, Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range cib.Check(doc) {
		t.Errorf("unexpected problem: %v", p)
	}
	got := cibxml.WriteConfiguration(&doc.Config, cibxml.Options{})
	golden := filepath.Join("testdata", "sample.xml")
	if *rewrite {
		if err := os.WriteFile(golden, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Errorf("Read() =\n%s\nwant\n%s", got, want)
	}
	roundTrip(t, doc)
	if pos := doc.Config.Resources[0].Pos; pos.Line != 33 {
		t.Errorf("position of the group = %v", pos)
	}
}

func TestRead_Errors(t *testing.T) {
	t.Parallel()
	const prim = "[primitives.a]\nagent = \"lsb:x\"\n"
	for _, c := range []struct{ name, text, want string }{
		{"syntax", "[cluster", "line 1"},
		{"twice", "[cluster]\nname = \"a\"\nname = \"b\"", "line 3"},
		{"unknown table", "[resources.x]", "line 1, column 1: resources: unknown key"},
		{"near table", "[primitive.x]", "primitive: unknown key; did you mean primitives?"},
		{"unknown property", "[cluster]\nfencing-enable = true", "line 2, column 1: cluster.fencing-enable: unknown key; did you mean fencing-enabled?"},
		{"old property", "[cluster]\nstonith-enabled = true", "the name is now fencing-enabled"},
		{"bad property", "[cluster]\n\n  fencing-enabled = \"maybe\"", "line 3, column 3: cluster.fencing-enabled: fencing-enabled=\"maybe\": expected true or false"},
		{"cluster-name", "[cluster]\ncluster-name = \"x\"", "the name of the cluster is written as name"},
		{"name type", "[cluster]\nname = 1", "cluster.name: expected a text, found a whole number"},
		{"float", prim + "params = { x = 1.5 }", "line 3, column 12: primitives.a.params.x: a number with a fraction would not be kept as it is written; put it in quotes"},
		{"date", prim + "params = { x = 2026-01-01 }", "a date would not be kept"},
		{"array value", prim + "params = { x = [1] }", "expected a text, a whole number, true or false, found an array"},
		{"params type", prim + "params = 1", "primitives.a.params: expected an array of tables, found a whole number"},
		{"table type", "primitives = 1", "expected a table of tables"},
		{"entry type", "[primitives]\na = 1", "primitives.a: expected a table, found a whole number"},
		{"no agent", "[primitives.a]", "no agent is given"},
		{"bad agent", "[primitives.a]\nagent = \"IPaddr2\"", "\"IPaddr2\" is no agent; write class:type"},
		{"ocf agent", "[primitives.a]\nagent = \"ocf:IPaddr2\"", "is no agent"},
		{"agent twice", "[primitives.a]\nagent = \"lsb:x\"\nclass = \"lsb\"", "both agent and class"},
		{"fencing class", "[fencing.a]\nagent = \"lsb:x\"", "needs an agent of class stonith"},
		{"primitive stonith", "[primitives.a]\nagent = \"stonith:x\"", "move it to [fencing.a]"},
		{"meta name", prim + "meta = { taget-role = \"Stopped\" }", "primitives.a.meta.taget-role: unknown name; did you mean target-role?"},
		{"own meta name", prim + "meta = { my-very-own-thing = 1 }", "for a name of your own use the long form"},
		{"old meta", prim + "meta = { master-max = 1 }", "the name is now promoted-max"},
		{"meta value", prim + "meta = { priority = \"high\" }", "expected a whole number, INFINITY or -INFINITY"},
		{"op attribute", prim + "op.monitor = { timout = \"1s\" }", "primitives.a.op.monitor.timout: unknown key; did you mean timeout?"},
		{"op value", prim + "op.monitor = { timeout = \"soon\" }", "expected a duration"},
		{"op interval", prim + "op.monitor = { interval = \"soon\" }", "expected a number with s, ms, us, m or h"},
		{"op type", prim + "op.monitor = 1", "expected a table, found a whole number"},
		{"empty key", prim + "params.\"\" = [{}, \"\"]", "line 3, column 8: a key is empty; write a name"},
		{"op empty", prim + "op.monitor = []", "the array is empty"},
		{"secret", prim + "params = { password = \"x\" }", "a password or key must not stand in the configuration; put the value into a file"},
		{"secret in op", prim + "op.monitor = { params = { login_passwd = \"x\" } }", "must not stand in the configuration"},
		{"secret in long form", prim + "params = [{ values = { password = \"x\" } }]", "must not stand in the configuration"},
		{"secret in pairs", prim + "params = [{ pairs = [{ name = \"password\", value = \"x\" }] }]", "must not stand in the configuration"},
		{"reference as text", prim + "params = { password = \"ref:file:/x\" }", "is a reference; write it as a table"},
		{"bad reference", prim + "params = { password = { path = \"/x\" } }", "a table here is a reference to a secret"},
		{"members missing", "[groups.g]\nmembers = [\"vipp\"]\n[primitives.vip]\nagent=\"lsb:x\"", "line 1, column 1: groups.g: the member \"vipp\" does not exist; did you mean vip?"},
		{"member twice", prim + "[groups.g]\nmembers = [\"a\"]\n[groups.h]\nmembers = [\"a\"]", "the member a is in groups.g already"},
		{"own member", "[groups.g]\nmembers = [\"h\"]\n[groups.h]\nmembers = [\"g\"]", "is a member of itself"},
		{"same id", prim + "[groups.a]\nmembers = []", "the id is taken by primitives.a"},
		{"members type", "[groups.g]\nmembers = \"a\"", "expected an array of texts"},
		{"member types", "[groups.g]\nmembers = [1]", "expected texts in the array"},
		{"location score", "[[locations]]\nresource = \"a\"\nscore = \"lots\"", "line 3, column 1: locations[0].score: score \"lots\""},
		{"location role", "[[locations]]\nresource = \"a\"\nrole = \"Chief\"", "role \"Chief\": expected Stopped"},
		{"constraint key", "[[orders]]\nfirst = \"a\"\nnext = \"b\"", "orders[0].next: unknown key"},
		{"constraints type", "[locations]\nresource = \"a\"", "expected an array of tables, found a table"},
		{"condition", "[[locations]]\nresource = \"a\"\nrules = [{ conditions = [{ value = 1 }] }]", "a condition needs one of the keys"},
		{"link address", "[nodes.a]\nlinks = { lan = 1 }", "nodes.a.links.lan: expected a text"},
		{"witness", "[nodes.a]\nwitness = \"yes\"", "expected true or false, found a text"},
		{"priority", "[links.a]\npriority = 5000", "5000 is out of range; expected -1000 to 1000"},
		{"port", "[ports]\nstream = 0", "0 is out of range; expected 1 to 65535"},
		{"profile", "[timing]\nprofile = \"slow\"", "unknown profile \"slow\"; use default or fast"},
		{"targets", "[fencing.a]\nagent = \"stonith:x\"\ntargets = [\"a b\"]", "is no name of a node"},
		{"targets twice", "[fencing.a]\nagent = \"stonith:x\"\ntargets = [\"a\"]\nparams = { pcmk_host_list = \"a\" }", "both targets and the parameter"},
		{"ids", "[cluster]\nids = { x = \"y\" }", "there is no property of this name"},
		{"set ids", prim + "params = [{ ids = { x = \"y\" } }]", "there is no value called \"x\""},
		{"extra twice", "[cluster]\nbatch-limit = 1\nextra = { batch-limit = 2 }", "batch-limit is given in the table too"},
		{"UTF-8", "[cluster]\nname = \"\xff\"", "UTF-8"},
		{"deep arrays", "a = " + strings.Repeat("[", 100000), "nested more than 32 deep"},
		{"deep key", strings.Repeat("a.", 100000) + "a = 1", "nested more than 32 deep"},
		{"deep tables", "a = " + strings.Repeat("{a=", 1000), "nested more than 32 deep"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			doc, err := Read([]byte(c.text), Options{})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("Read() = %v, %v, want an error with %q", doc, err, c.want)
			}
			var list Errors
			if !errors.As(err, &list) || len(list) == 0 {
				t.Errorf("error %v is no Errors", err)
			}
		})
	}
}

// TestRead_AllErrors shows that every mistake is named at once, in the order of the text.
func TestRead_AllErrors(t *testing.T) {
	t.Parallel()
	_, err := Read([]byte("[[orders]]\nfrist = \"a\"\n[cluster]\nx = 1\n[nodes.a]\nscore = \"y\"\n"), Options{})
	var list Errors
	if !errors.As(err, &list) {
		t.Fatal(err)
	}
	var lines []int
	for _, p := range list {
		lines = append(lines, p.Pos.Line)
	}
	if fmt.Sprint(lines) != "[2 4 6]" {
		t.Errorf("errors in lines %v: %v", lines, list)
	}
}

func TestRead_Secrets(t *testing.T) {
	t.Parallel()
	const text = "[primitives.a]\nagent = \"lsb:x\"\ninsecure-plain = [\"password\"]\nparams = { password = \"x\", token = { env = \"T\" } }\n"
	doc, err := Read([]byte(text), Options{})
	if err != nil {
		t.Fatal(err)
	}
	pairs := doc.Config.Resources[0].Params[0].Pairs
	if pairs[0].Value != "x" || pairs[1].Value != "ref:env:T" {
		t.Errorf("pairs = %v", pairs)
	}
	if out, err := Write(doc, Options{}); err != nil || string(out) != text {
		t.Errorf("Write() = %q, %v, want %q", out, err, text)
	}
	const literal = "[primitives.a]\nagent = \"lsb:x\"\nparams = { pin = 1, password = \"x\" }\n"
	if _, err := Read([]byte(literal), Options{AllowPlain: true}); err != nil {
		t.Errorf("AllowPlain: %v", err)
	}
	secret := func(r *cib.Resource, name string) bool { return r.ID == "a" && r.Type == "x" && name == "pin" }
	if _, err := Read([]byte(literal), Options{Secret: secret}); err == nil || !strings.Contains(err.Error(), "params.pin") || strings.Contains(err.Error(), "params.password") {
		t.Errorf("Secret: %v", err)
	}
	// What is written in the open is named, so that it can be read again.
	const insisted = "[primitives.a]\nagent = \"lsb:x\"\ninsecure-plain = [\"pin\"]\nparams = { pin = 1, password = \"x\" }\n"
	if doc, err = Read([]byte(insisted), Options{Secret: secret}); err != nil {
		t.Fatal(err)
	}
	if out, err := Write(doc, Options{Secret: secret}); err != nil || string(out) != insisted {
		t.Errorf("Write() = %q, %v, want %q", out, err, insisted)
	}
	// What is made from a template has the template's agent, wherever that stands.
	const made = "[primitives.a]\ntemplate = \"t\"\nparams = { pin = 1 }\n\n[templates.t]\nagent = \"lsb:x\"\n"
	if _, err := Read([]byte(made), Options{Secret: secret}); err == nil || !strings.Contains(err.Error(), "params.pin") {
		t.Errorf("made from a template: %v", err)
	}
	named := strings.Replace(made, "params", "insecure-plain = [\"pin\"]\nparams", 1)
	if doc, err = Read([]byte(named), Options{Secret: secret}); err != nil {
		t.Fatal(err)
	}
	out, err := Write(doc, Options{Secret: secret})
	if err != nil || !strings.Contains(string(out), "insecure-plain = [\"pin\"]") {
		t.Errorf("Write() = %q, %v, want insecure-plain", out, err)
	}
	if _, err := Read(out, Options{Secret: secret}); err != nil {
		t.Errorf("what was written: %v", err)
	}
}

func TestWrite_Refuses(t *testing.T) {
	t.Parallel()
	prim := func(id string) *cib.Resource { return &cib.Resource{ID: id, Class: "lsb", Type: "x"} }
	for _, c := range []struct {
		name   string
		config cib.Configuration
		want   string
	}{
		{"same resource", cib.Configuration{Resources: []*cib.Resource{prim("a"), prim("a")}}, "two objects are called resource a"},
		{"same node", cib.Configuration{Nodes: []cib.Node{{Name: "a"}, {Name: "a"}}}, "two objects are called node a"},
		{"members of a primitive", cib.Configuration{Resources: []*cib.Resource{{ID: "a", Class: "lsb", Type: "x", Members: []*cib.Resource{prim("b")}}}}, "primitive a has members"},
		{"no container", cib.Configuration{Resources: []*cib.Resource{{ID: "a", Kind: cib.Bundle}}}, "bundle a has no container"},
		{"unknown reference", cib.Configuration{Resources: []*cib.Resource{{ID: "a", Class: "lsb", Type: "x", Params: []cib.AttributeSet{{ID: "p", Pairs: []cib.NVPair{{Name: "x", Value: "ref:magic:x"}}}}}}}, "is no reference to a secret that is known"},
		{"attribute twice", cib.Configuration{Nodes: []cib.Node{{Name: "a", Extra: []cib.Attr{{Name: "x"}, {Name: "x"}}}}}, "attribute \"x\" is given twice"},
		{"link twice", cib.Configuration{Nodes: []cib.Node{{Name: "a", Links: []cib.NodeLink{{Link: "x"}, {Link: "x"}}}}}, "link \"x\" is given twice"},
	} {
		if out, err := Write(&cib.Document{Config: c.config}, Options{}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: Write() = %q, %v, want %q", c.name, out, err, c.want)
		}
	}
}

func TestSecretName(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]bool{
		"password": true, "passwd": true, "Login-Passwd": true, "snmp_priv_passwd": true, "api_token": true, "token": true, "private_key": true, "secret": true, "client_secret_v2": true,
		"passwd_script": false, "password_file": false, "identity_file": false, "keyfile": false, "key_path": false, "user": false, "tokens_max": false, "keyboard": false, "token_timeout": false,
	} {
		if got := cib.SecretName(name); got != want {
			t.Errorf("SecretName(%q) = %v, want %v", name, got, want)
		}
	}
}

// FuzzRead feeds foreign bytes. Whatever is read must come back from its own text.
func FuzzRead(f *testing.F) {
	for _, name := range []string{"sample.toml", "everything.toml"} {
		if data, err := os.ReadFile(filepath.Join("testdata", name)); err == nil {
			f.Add(data)
		}
	}
	f.Add([]byte("a.\"b c\".'d' = [1, { x = '''y''' }, \"\"\"z\"\"\"\"] # c\n[[t]]\n[t.u]\r\nv = 0x1F"))
	f.Add([]byte("[cluster]\nextra = { \"\\u0041\" = -0, b = \"\" }\n[primitives.\"\"]\nagent = 'lsb:x'\nparams = [{ pairs = [{ name = 'a' }, { name = 'a', value = \"\\n\" }] }]"))
	f.Fuzz(func(t *testing.T, data []byte) {
		doc, err := Read(data, Options{})
		if err != nil {
			if strings.Contains(err.Error(), "of a form that is not understood") {
				t.Fatalf("scan and library disagree: %q", data)
			}
			return
		}
		text, err := Write(doc, Options{})
		if err != nil {
			return
		}
		again, err := Read(text, Options{})
		if err != nil {
			t.Fatalf("Read(Write(doc)): %v\n%s", err, text)
		}
		if want, got := sameForm(doc), sameForm(again); !reflect.DeepEqual(got, want) {
			t.Fatalf("Read(Write(doc)) differs: %s\n%s", difference(reflect.ValueOf(*want), reflect.ValueOf(*got), "config"), text)
		}
	})
}

// large returns a text of the size that the speed is promised for.
func large(resources, constraints, nodes int) []byte {
	var b strings.Builder
	b.WriteString("[cluster]\nname = \"big\"\n")
	for i := range nodes {
		fmt.Fprintf(&b, "[nodes.node%d]\nlinks = { lan = \"10.0.0.%d\" }\n", i, i+1)
	}
	for i := range resources {
		fmt.Fprintf(&b, "[primitives.r%d]\nagent = \"ocf:heartbeat:IPaddr2\"\nparams = { ip = \"10.1.%d.%d\", cidr_netmask = 24 }\nop.monitor = { interval = \"10s\", timeout = \"20s\" }\n", i, i/250, i%250)
	}
	for i := range constraints {
		switch i % 3 {
		case 0:
			fmt.Fprintf(&b, "[[locations]]\nid = \"l%d\"\nresource = \"r%d\"\nnode = \"node%d\"\nscore = 50\n", i, i%resources, i%nodes)
		case 1:
			fmt.Fprintf(&b, "[[colocations]]\nid = \"c%d\"\nresource = \"r%d\"\nwith = \"r%d\"\nscore = 10\n", i, i%resources, (i+1)%resources)
		default:
			fmt.Fprintf(&b, "[[orders]]\nid = \"o%d\"\nfirst = \"r%d\"\nthen = \"r%d\"\nkind = \"Optional\"\n", i, i%resources, (i+1)%resources)
		}
	}
	return []byte(b.String())
}

func BenchmarkReadCheck(b *testing.B) {
	for _, size := range []struct{ resources, constraints, nodes int }{{100, 200, 3}, {5000, 10000, 16}} {
		b.Run(fmt.Sprintf("nodes=%d/resources=%d/constraints=%d", size.nodes, size.resources, size.constraints), func(b *testing.B) {
			data := large(size.resources, size.constraints, size.nodes)
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for b.Loop() {
				doc, err := Read(data, Options{})
				if err != nil {
					b.Fatal(err)
				}
				if problems := cib.Check(doc); cib.HasErrors(problems) {
					b.Fatal(problems)
				}
			}
		})
	}
}

// TestReference reads the whole example of the reference, so that it stays right.
func TestReference(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile(filepath.Join("..", "..", "..", "docs", "reference-toml.md"))
	if err != nil {
		t.Fatal(err)
	}
	blocks := strings.Split(string(data), "```")
	if len(blocks) < 4 {
		t.Fatal("the reference has no examples")
	}
	example := func(i int) string { return strings.TrimPrefix(blocks[i], "toml\n") }
	doc, err := Read([]byte(example(1)), Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range cib.Check(doc) {
		t.Errorf("unexpected problem: %v", p)
	}
	const prim = "[primitives.a]\nagent = \"lsb:x\"\n"
	if _, err := Read([]byte(prim+example(3)), Options{}); err != nil {
		t.Errorf("operations: %v", err)
	}
	if _, err := Read([]byte(prim+example(5)), Options{}); err != nil {
		t.Errorf("sets: %v", err)
	}
	conditions := strings.Join(strings.Split(strings.TrimSpace(example(7)), "\n"), ",\n")
	if doc, err = Read([]byte("[[locations]]\nresource = \"a\"\nrules = [{ conditions = [\n"+conditions+"\n] }]"), Options{}); err != nil {
		t.Fatalf("rules: %v", err)
	}
	if n := len(doc.Config.Constraints[0].Rules[0].Conditions); n != 7 {
		t.Errorf("%d conditions", n)
	}
}
