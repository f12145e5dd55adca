package cmd

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/quorate/quorate/"

// listed is a package as the go command lists it.
type listed struct {
	ImportPath string
	Name       string
	Doc        string
	Imports    []string
	Deps       []string
}

func list(t *testing.T) []listed {
	t.Helper()
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("the go command is not there")
	}
	cmd := exec.Command("go", "list", "-json=ImportPath,Name,Doc,Imports,Deps", "../...")
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v: %s", err, errs.String())
	}
	var all []listed
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

// in reports whether a package is one of those, or below one that ends with a slash.
func in(path string, set ...string) bool {
	return slices.ContainsFunc(set, func(s string) bool { return path == s || strings.HasSuffix(s, "/") && strings.HasPrefix(path, s) })
}

// pure packages decide: the same input gives the same output, so they have no way to the world.
var pure = []string{"membership", "membership/", "crm/rule", "crm/rule/", "crm/cib", "crm/cib/", "crm/policy", "crm/policy/", "crm/transition", "crm/simulate", "crm/status",
	"crm/verify", "crm/acl", "crm/store/command", "crm/store/replica", "crm/controller", "crm/attribute", "crm/node", "fencing", "agents", "agents/executor", "transport"}

// rules say what a package must not import itself, and why.
var rules = []struct {
	from, but []string
	to        []string
	why       string
}{
	{pure, nil, []string{"net", "net/http", "os", "os/exec", "os/signal", "sync", "sync/atomic", "crypto/rand", "math/rand", "github.com/hashicorp/go-hclog", "log", "log/slog"},
		"a pure package has no clock, I/O, lock, logger or chance of its own"},
	{pure, []string{"crm/policy/generate"}, []string{"math/rand/v2"}, "a pure package has no chance of its own; the generator of documents takes a seed"},
	{[]string{"crm/", "membership", "membership/", "fencing", "fencing/", "agents", "agents/", "transport", "transport/", "cmd/"}, []string{"agents/subprocess", "crm/lab", "crm/shell"}, []string{"os/exec"},
		"programs are started by agents/subprocess, the lab, and the shell's editor, pager and dot"},
	{[]string{"crm/rule", "crm/rule/"}, nil, []string{module + "crm/cib", module + "crm/policy"}, "rules are below the document"},
	{[]string{"crm/cib", "crm/cib/"}, nil, []string{module + "crm/policy", module + "crm/store/command", module + "membership"}, "the document knows nothing of those who use it"},
	{[]string{"membership", "membership/"}, nil, []string{module + "crm/cib", module + "crm/store/command"}, "membership and the document do not know each other"},
	{[]string{"crm/", "membership", "membership/", "fencing", "agents", "agents/", "transport", "transport/", "cmd/"}, []string{"crm/store/replica", "crm/store/raftlog", "crm/store/raftlog/simdisk", "crm/node", "crm/daemon", "crm/simtest"},
		[]string{"go.etcd.io/raft/v3", "go.etcd.io/raft/v3/raftpb"}, "raft is driven by crm/store/replica alone; the others named here carry its messages"},
	{[]string{"transport/", "agents/", "fencing/device", "crm/store/raftlog", "crm/audit"}, []string{"agents/runner"}, []string{module + "crm/daemon", module + "crm/node", module + "crm/controller", module + "crm/shell"},
		"what does I/O is wired by crm/daemon, and knows nothing of it"},
	{[]string{"crm/"}, []string{"crm/daemon", "crm/lab", "crm/simtest"}, []string{module + "crm/daemon"}, "crm/daemon alone knows all"},
}

// binaries say what a program must not be linked with, and why.
var binaries = []struct {
	binary string
	to     []string
	why    string
}{
	{"cmd/crm", []string{"go.etcd.io/raft/v3", "go.etcd.io/bbolt", module + "crm/controller", module + "crm/node", module + "crm/store/replica", module + "crm/store/raftlog", module + "crm/daemon",
		module + "transport/datagram", module + "transport/stream", module + "agents/subprocess"}, "the client side has nothing of the daemon in it"},
	{"cmd/crm", []string{"net/http", "crypto/tls", "crypto/x509"}, "crm starts anew for each command, and these cost a process more than what it does"},
	{"cmd/quorated", []string{module + "crm/shell", module + "crm/compat", module + "crm/lab"}, "the daemon has nothing of the shell or the lab in it"},
}

func TestImports(t *testing.T) {
	for _, p := range list(t) {
		path := strings.TrimPrefix(p.ImportPath, module)
		for _, r := range rules {
			if !in(path, r.from...) || in(path, r.but...) {
				continue
			}
			for _, to := range p.Imports {
				if in(to, r.to...) {
					t.Errorf("%s imports %s: %s", path, to, r.why)
				}
			}
		}
		for _, b := range binaries {
			if path != b.binary {
				continue
			}
			for _, to := range p.Deps {
				if in(to, b.to...) {
					t.Errorf("%s is linked with %s: %s", path, to, b.why)
				}
			}
		}
	}
}

// Every package says what it is for, in a comment that begins as godoc wants it.
func TestPackageDocs(t *testing.T) {
	for _, p := range list(t) {
		begin := "Package " + p.Name + " "
		if p.Name == "main" {
			begin = "Command " + p.ImportPath[strings.LastIndexByte(p.ImportPath, '/')+1:] + " "
		}
		if !strings.HasPrefix(p.Doc, begin) {
			t.Errorf("%s: the package's comment begins with %q, want %q", p.ImportPath, p.Doc, begin)
		}
	}
}
