package daemon

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/BurntSushi/toml"

	"github.com/quorate/quorate/agents/lsb"
	"github.com/quorate/quorate/crm/cib"
)

// Paths are the folders of one node. One setting, the root, moves all of them, so that several nodes and
// tests live on one machine.
type Paths struct {
	Root string // "" = the system's own folders
	Etc  string // configuration, certificates and keys
	Var  string // raft log, snapshots, audit log, inputs of decisions
	Run  string // API socket
}

// PathsOf returns the folders under root: ROOT/etc, ROOT/var and ROOT/run, or the system's own when root is
// empty.
func PathsOf(root string) Paths {
	if root == "" {
		return Paths{Etc: "/etc/quorate", Var: "/var/lib/quorate", Run: "/run/quorate"}
	}
	return Paths{Root: root, Etc: filepath.Join(root, "etc"), Var: filepath.Join(root, "var"), Run: filepath.Join(root, "run")}
}

// Socket is the path of the API socket.
func (p Paths) Socket() string { return filepath.Join(p.Run, "api.sock") }

// agentState is where agents keep what is true until the next boot, in place of /run/resource-agents: nodes with folders
// of their own are machines of their own, which must not take each other's state files for theirs. "" = the agents'
// default.
func (p Paths) agentState() string {
	if p.Root == "" {
		return ""
	}
	return filepath.Join(p.Run, "agents")
}

// ConfigFile is the path of quorated.toml.
func (p Paths) ConfigFile() string { return filepath.Join(p.Etc, "quorated.toml") }

// Config is quorated.toml: what one node needs to know before it has the document. Everything else is in the
// document.
type Config struct {
	// User runs the node process; "" = "quorate" when the daemon is root, else the daemon's own user.
	User string `toml:"user"`
	// ReadGroup may look at the cluster; "" = "quorate-read" if there is such a group.
	ReadGroup string `toml:"read-group"`
	// AgentDirs are searched for OCF agents (PROVIDER/TYPE) before /usr/lib/ocf/resource.d.
	AgentDirs []string `toml:"agent-dirs"`
	// FenceDirs are searched for fence agents before /usr/sbin.
	FenceDirs []string `toml:"fence-dirs"`
	// InitDir has the init scripts of class lsb; "" = /etc/init.d.
	InitDir string `toml:"init-dir"`
	// ToolDir has crm under the names of the tools that agents call; "" = /usr/sbin.
	ToolDir string `toml:"tool-dir"`
	// Bind maps a link's name to the address to listen on, where it differs from the node's address on it
	// (behind address translation).
	Bind map[string]string `toml:"bind"`
	// SecretHelpers are the programs of ref:exec:NAME, with their arguments, by name.
	SecretHelpers map[string][]string `toml:"secret-helpers"`
	// LogLevel is error, warn, info (default), debug or trace.
	LogLevel string `toml:"log-level"`
}

// keys of the configuration file, for the nearest valid name.
var configKeys = []string{"user", "read-group", "agent-dirs", "fence-dirs", "init-dir", "tool-dir", "bind", "secret-helpers", "log-level"}

// LoadConfig reads quorated.toml. A missing file gives the defaults. The file must belong to root or the
// daemon's own user and must not be writable by others; an unknown key, a wrong type or a relative path is an
// error that names file and line.
func LoadConfig(name string) (*Config, error) {
	c := &Config{}
	info, err := os.Stat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return c, c.validate(name)
	}
	if err != nil {
		return nil, err
	}
	if err := checkOwned(name, info); err != nil {
		return nil, err
	}
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	meta, err := toml.Decode(string(data), c)
	if err != nil {
		var pe toml.ParseError
		if errors.As(err, &pe) {
			return nil, fmt.Errorf("%s:%d:%d: %s", name, pe.Position.Line, pe.Position.Col, pe.Message)
		}
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if unknown := meta.Undecoded(); len(unknown) > 0 {
		key := unknown[0].String()
		return nil, fmt.Errorf("%s:%d: unknown setting %q%s", name, lineOf(string(data), unknown[0]), key, nearest(key, configKeys))
	}
	return c, c.validate(name)
}

func (c *Config) validate(name string) error {
	for key, list := range map[string][]string{"agent-dirs": c.AgentDirs, "fence-dirs": c.FenceDirs} {
		for _, dir := range list {
			if !filepath.IsAbs(dir) {
				return fmt.Errorf("%s: %s: %q must be an absolute path", name, key, dir)
			}
		}
	}
	if c.ToolDir == "" {
		c.ToolDir = "/usr/sbin"
	}
	if c.InitDir == "" {
		c.InitDir = lsb.DefaultDirectory
	}
	if !filepath.IsAbs(c.InitDir) {
		return fmt.Errorf("%s: init-dir: %q must be an absolute path", name, c.InitDir)
	}
	if !filepath.IsAbs(c.ToolDir) {
		return fmt.Errorf("%s: tool-dir: %q must be an absolute path", name, c.ToolDir)
	}
	if c.LogLevel == "" {
		c.LogLevel = "info"
	}
	if !slices.Contains([]string{"error", "warn", "info", "debug", "trace"}, c.LogLevel) {
		return fmt.Errorf("%s: log-level: %q must be error, warn, info, debug or trace", name, c.LogLevel)
	}
	return nil
}

// checkOwned refuses a file that somebody else than root or the daemon's user could have written.
func checkOwned(name string, info fs.FileInfo) error {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return fmt.Errorf("%s: cannot tell its owner", name)
	}
	if st.Uid != 0 && int(st.Uid) != os.Geteuid() {
		return fmt.Errorf("%s belongs to uid %d: it must belong to root (or to uid %d, which runs the daemon); use chown", name, st.Uid, os.Geteuid())
	}
	if info.Mode().Perm()&0o022 != 0 {
		return fmt.Errorf("%s has mode %04o: others can write it; use chmod go-w", name, info.Mode().Perm())
	}
	return nil
}

// lineOf finds the line on which a key is set.
func lineOf(text string, key toml.Key) int {
	last := key[len(key)-1]
	for i, line := range strings.Split(text, "\n") {
		name, _, found := strings.Cut(line, "=")
		if found && strings.Trim(strings.TrimSpace(name), `"'`) == last {
			return i + 1
		}
	}
	return 1
}

// nearest names the valid key that is most like the given one, or all of them when none is near.
func nearest(key string, valid []string) string {
	if best := cib.Nearest(key, valid); best != "" {
		return fmt.Sprintf("; did you mean %q?", best)
	}
	return "; valid are " + strings.Join(valid, ", ")
}
