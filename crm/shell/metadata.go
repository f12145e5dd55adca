package shell

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"

	"github.com/quorate/quorate/agents"
	"github.com/quorate/quorate/crm/api/editor"
	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/cib/cibtoml"
	"github.com/quorate/quorate/crm/verify"
)

// Where OCF and fence agents are installed; the environment may name another OCF root, as agents expect it.
const (
	ocfRoot   = "/usr/lib/ocf"
	fenceDirs = "/usr/sbin"
)

func (s *Shell) ocfRoot() string {
	if root := s.cfg.Getenv("OCF_ROOT"); root != "" {
		return root
	}
	return ocfRoot
}

// metadata returns what an agent (CLASS:[PROVIDER:]TYPE) says of itself. A running daemon is asked; on a file
// the agents of this machine are.
func (s *Shell) metadata(ctx context.Context, name string) (*agents.Metadata, error) {
	if s.agents == nil {
		s.agents = make(map[string]metadataResult)
	}
	if r, ok := s.agents[name]; ok {
		return r.meta, r.err
	}
	meta, err := s.fetchMetadata(ctx, name)
	if errors.Is(err, verify.ErrNoAgent) {
		err = &verify.NoAgentError{Near: s.nearestAgent(ctx, name)}
	}
	s.agents[name] = metadataResult{meta, err}
	return meta, err
}

type metadataResult struct {
	meta *agents.Metadata
	err  error
}

func (s *Shell) fetchMetadata(ctx context.Context, name string) (*agents.Metadata, error) {
	text, err := s.metadataText(ctx, name)
	if err != nil {
		return nil, err
	}
	return agents.ParseMetadata(text)
}

// tomlOptions make parameters that agents' metadata marks private secrets, besides those whose names say so.
func (s *Shell) tomlOptions(ctx context.Context) cibtoml.Options {
	return cibtoml.Options{Secret: func(r *cib.Resource, parameter string) bool {
		if cib.SecretName(parameter) {
			return true
		}
		agent := verify.AgentName(r)
		if agent == "" {
			return false
		}
		meta, err := s.metadata(ctx, agent)
		return err == nil && verify.Private(meta, parameter)
	}}
}

// metadataText returns the metadata of an agent as XML.
func (s *Shell) metadataText(ctx context.Context, name string) ([]byte, error) {
	ref, err := agents.ParseRef(name)
	if err != nil {
		return nil, fmt.Errorf("%w: %v", verify.ErrNoAgent, err)
	}
	if b, ok := s.source().(*editor.Live); ok {
		text, err := b.Client.Metadata(ctx, name)
		if err == nil {
			return text, nil
		}
		// The daemon may not be able to ask the agent; or there is none, while there are others of its class.
		if list, e := s.listAgents(ctx, ref.Class); e == nil && len(list) > 0 && !slices.Contains(list, name) {
			return nil, verify.ErrNoAgent
		}
		return nil, fmt.Errorf("%w: %v", verify.ErrNoMetadata, err)
	}
	var file string
	switch ref.Class {
	case "ocf":
		dir := filepath.Join(s.ocfRoot(), "resource.d", ref.Provider)
		if st, err := os.Stat(dir); err != nil || !st.IsDir() {
			if len(subdirectories(filepath.Join(s.ocfRoot(), "resource.d"))) > 0 {
				return nil, verify.ErrNoAgent
			}
			return nil, fmt.Errorf("%w: no OCF agents are installed here", verify.ErrNoMetadata)
		}
		file = filepath.Join(dir, ref.Type)
		if _, err := os.Stat(file); errors.Is(err, fs.ErrNotExist) {
			return nil, verify.ErrNoAgent
		}
	case "stonith":
		if strings.HasPrefix(ref.Type, "fence_") && slices.ContainsFunc(executables(fenceDirs), func(n string) bool { return strings.HasPrefix(n, "fence_") }) {
			return nil, presence(fenceDirs, ref.Type)
		}
		return nil, verify.ErrNoMetadata
	case "lsb":
		return nil, presence("/etc/init.d", ref.Type)
	case "systemd":
		return nil, presence("/lib/systemd/system", ref.Type+".service", "/etc/systemd/system/"+ref.Type+".service", instanceOf(ref.Type))
	default:
		return nil, verify.ErrNoMetadata
	}
	return runMetadata(ctx, s.ocfRoot(), file)
}

// noAgent is the error about an agent that does not exist, with the nearest that does.
func (s *Shell) noAgent(ctx context.Context, name string) error {
	class, _, _ := strings.Cut(name, ":")
	text := "there is no agent " + name + ";"
	if near := s.nearestAgent(ctx, name); near != "" {
		text += fmt.Sprintf(" did you mean %q?", near)
	}
	return fmt.Errorf("%s \"crm ra list %s\" lists those of this node", text, class)
}

// nearestAgent returns the agent whose type is most like that of name, of the same provider if there is one; "" = none.
func (s *Shell) nearestAgent(ctx context.Context, name string) string {
	class, _, _ := strings.Cut(name, ":")
	list, err := s.listAgents(ctx, class)
	if err != nil {
		return ""
	}
	end := strings.LastIndex(name, ":") + 1
	for _, prefix := range []string{name[:end], class + ":"} {
		var types []string
		full := make(map[string]string)
		for _, a := range list {
			if strings.HasPrefix(a, prefix) {
				t := a[strings.LastIndex(a, ":")+1:]
				types, full[t] = append(types, t), a
			}
		}
		if near := cib.Nearest(name[end:], types); near != "" {
			return full[near]
		}
	}
	return ""
}

// presence looks for a file in a folder, or one of others: agents of these classes do not describe themselves.
func presence(dir, name string, others ...string) error {
	if _, err := os.Stat(dir); err != nil {
		return verify.ErrNoMetadata
	}
	for _, f := range append([]string{filepath.Join(dir, name)}, others...) {
		if _, err := os.Stat(f); f != "" && err == nil {
			return verify.ErrNoMetadata
		}
	}
	return verify.ErrNoAgent
}

// instanceOf returns the file of the template that a systemd unit such as getty@tty1 is made from; "" = none.
func instanceOf(unit string) string {
	name, _, ok := strings.Cut(unit, "@")
	if !ok {
		return ""
	}
	return "/lib/systemd/system/" + name + "@.service"
}

// listAgents lists the agents of a class ("ocf", "ocf:heartbeat", "stonith").
func (s *Shell) listAgents(ctx context.Context, class string) ([]string, error) {
	if b, ok := s.source().(*editor.Live); ok {
		kind, provider, _ := strings.Cut(class, ":")
		list, err := b.Client.Agents(ctx, kind)
		if provider != "" {
			list = slices.DeleteFunc(list, func(a string) bool { return !strings.HasPrefix(a, class+":") })
		}
		return list, explain(err)
	}
	kind, provider, _ := strings.Cut(class, ":")
	var out []string
	switch kind {
	case "ocf":
		for _, p := range subdirectories(filepath.Join(s.ocfRoot(), "resource.d")) {
			if provider != "" && p != provider {
				continue
			}
			for _, name := range executables(filepath.Join(s.ocfRoot(), "resource.d", p)) {
				out = append(out, "ocf:"+p+":"+name)
			}
		}
	case "stonith":
		for _, name := range executables(fenceDirs) {
			if strings.HasPrefix(name, "fence_") {
				out = append(out, "stonith:"+name)
			}
		}
	case "lsb":
		for _, name := range executables("/etc/init.d") {
			out = append(out, "lsb:"+name)
		}
	case "systemd", "service":
		for _, dir := range []string{"/lib/systemd/system", "/etc/systemd/system"} {
			entries, _ := os.ReadDir(dir)
			for _, e := range entries {
				if unit, ok := strings.CutSuffix(e.Name(), ".service"); ok {
					out = append(out, kind+":"+unit)
				}
			}
		}
	default:
		return nil, fmt.Errorf("%q is no class of agents: ocf, stonith, systemd, service, lsb", class)
	}
	sort.Strings(out)
	return out, nil
}

func subdirectories(dir string) []string {
	entries, _ := os.ReadDir(dir)
	var out []string
	for _, e := range entries {
		if e.IsDir() && !strings.HasPrefix(e.Name(), ".") {
			out = append(out, e.Name())
		}
	}
	return out
}

func executables(dir string) []string {
	entries, _ := os.ReadDir(dir)
	var out []string
	for _, e := range entries {
		st, err := os.Stat(filepath.Join(dir, e.Name()))
		if err == nil && st.Mode().IsRegular() && st.Mode()&0o111 != 0 && !strings.HasPrefix(e.Name(), ".") {
			out = append(out, e.Name())
		}
	}
	return out
}
