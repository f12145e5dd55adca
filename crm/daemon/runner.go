package daemon

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"syscall"

	"github.com/hashicorp/go-hclog"

	"github.com/quorate/quorate/agents"
	"github.com/quorate/quorate/agents/lsb"
	"github.com/quorate/quorate/agents/ocf"
	"github.com/quorate/quorate/agents/runner"
	"github.com/quorate/quorate/agents/sealed"
	"github.com/quorate/quorate/agents/service"
	"github.com/quorate/quorate/agents/subprocess"
	"github.com/quorate/quorate/agents/systemd"
	"github.com/quorate/quorate/crm/audit"
	"github.com/quorate/quorate/crm/version"
	"github.com/quorate/quorate/fencing/device"
)

// Folders of the two processes below Paths.Var: each belongs to its own user.
func (p Paths) runnerDir() string { return filepath.Join(p.Var, "runner") }
func (p Paths) nodeDir() string   { return filepath.Join(p.Var, "node") }

// exitConfig ends a node process that starting again would not help.
const exitConfig = 78

// Options of a daemon.
type Options struct {
	Root string // "" = the system's own folders
}

// RunRunner is the daemon's privileged parent: it opens the API socket, starts the node process as an
// unprivileged user and runs agents for it. It returns when the node process has ended in order. What starting again
// would not help is a *ConfigError.
func RunRunner(ctx context.Context, o Options) (err error) {
	serving := false
	defer func() {
		if err != nil && (!serving || errors.Is(err, runner.ErrNodeRefused)) {
			err = &ConfigError{err}
		}
	}()
	// Before anything is opened: whatever this process inherited is not for agents.
	if err := subprocess.Seal(); err != nil {
		return err
	}
	p := PathsOf(o.Root)
	cfg, err := LoadConfig(p.ConfigFile())
	if err != nil {
		return err
	}
	log := newLogger("runner", cfg)
	cred, err := nodeUser(cfg)
	if err != nil {
		return err
	}
	if err := makeFolders(p, cred); err != nil {
		return err
	}
	if err := checkDisk(p.Var, freeSpace); err != nil {
		return err
	}
	// This process waits for its children. More processors would only have more threads woken each time.
	runtime.GOMAXPROCS(1)
	launcher, err := subprocess.New(subprocess.Config{Journal: filepath.Join(p.runnerDir(), "runs")})
	if err != nil {
		return err
	}
	defer launcher.Close()
	auditLog, err := openAudit(p)
	if errors.Is(err, audit.ErrLocked) {
		return fmt.Errorf("quorated runs already with the state in %s: use it, or stop it first with \"crm cluster stop\"", p.Var)
	}
	if err != nil {
		return err
	}
	defer auditLog.Close()
	run, err := newRunner(p, cfg, launcher, auditLog, log)
	if err != nil {
		return err
	}
	defer run.Close()
	if err := run.Recover(launcher); err != nil {
		return err
	}
	// Everybody may connect: who may do what is decided for each request by the kernel's word on who asks.
	socket, err := runner.ListenAPI(p.Socket(), 0o666)
	if err != nil {
		return err
	}
	defer socket.Close()
	if _, err := auditLog.Append("daemon-start", map[string]any{"version": version.Version, "pid": os.Getpid()}, true); err != nil {
		return err
	}

	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var group sync.WaitGroup
	defer group.Wait()
	defer cancel()
	group.Go(func() {
		if err := launcher.Run(ctx); err != nil {
			log.Error("launcher", "error", err)
		}
	})
	group.Go(func() {
		if err := auditLog.Run(ctx); err != nil {
			log.Error("audit log", "error", err)
		}
	})
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	defer signal.Stop(signals)
	self, err := os.Executable()
	if err != nil {
		return err
	}
	sup := &runner.Supervisor{Launcher: launcher, Runner: run, Logger: log.Named("supervisor"), Process: runner.Process{
		Path: self, Args: nodeArgs(o), User: cred, API: socket.File, Final: []int{exitConfig},
		Env: nodeEnvironment(o),
	}}
	serving = true
	if err := notify("READY=1"); err != nil {
		log.Warn("ready", "error", err)
	}
	err = sup.Run(ctx, signals)
	if err := notify("STOPPING=1"); err != nil {
		log.Warn("stopping", "error", err)
	}
	if _, aerr := auditLog.Append("daemon-stop", map[string]any{"pid": os.Getpid()}, true); aerr != nil {
		log.Error("audit log", "error", aerr)
	}
	return err
}

func nodeArgs(o Options) []string {
	args := []string{"node"}
	if o.Root != "" {
		args = append(args, "--root", o.Root)
	}
	return args
}

// nodeEnvironment is all that the node process sees of the environment.
func nodeEnvironment(o Options) []string {
	env := []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8"}
	if o.Root != "" {
		env = append(env, "QUORATE_ROOT="+o.Root)
	}
	for _, name := range []string{"GOMAXPROCS", "GOTRACEBACK"} {
		if v, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+v)
		}
	}
	return env
}

// nodeUser is the user that the node process runs as; nil = as this process, which is so without root.
func nodeUser(cfg *Config) (*subprocess.Credential, error) {
	name := cfg.User
	if os.Geteuid() != 0 {
		if self, err := user.Current(); name != "" && (err != nil || self.Username != name) {
			return nil, fmt.Errorf("the node process cannot run as %s: quorated was not started by root", name)
		}
		return nil, nil
	}
	optional := name == ""
	if optional {
		name = "quorate"
	}
	u, err := user.Lookup(name)
	if err != nil {
		var unknown user.UnknownUserError
		if optional && errors.As(err, &unknown) {
			return nil, fmt.Errorf("there is no user %q for the node process: make it with systemd-sysusers (or useradd --system quorate), or name another one in quorated.toml (user = \"...\")", name)
		}
		return nil, err
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return nil, err
	}
	if uid == 0 {
		return nil, nil // named by the administrator, who was told by the name that it is root
	}
	return &subprocess.Credential{UID: uint32(uid), GID: uint32(gid), Groups: []uint32{}}, nil
}

// makeFolders makes the folders of both processes and refuses what others could change.
func makeFolders(p Paths, cred *subprocess.Credential) error {
	type folder struct {
		path string
		mode fs.FileMode
		node bool
	}
	folders := []folder{{p.Etc, 0o755, false}, {p.Var, 0o755, false}, {p.Run, 0o755, false}, {p.runnerDir(), 0o700, false}, {p.nodeDir(), 0o700, true}}
	if dir := p.agentState(); dir != "" {
		folders = append(folders, folder{dir, 0o755, false})
	}
	for _, f := range folders {
		if err := os.MkdirAll(filepath.Dir(f.path), 0o755); err != nil {
			return err
		}
		err := os.Mkdir(f.path, f.mode)
		switch {
		case err == nil:
			if err := os.Chmod(f.path, f.mode); err != nil { // whatever the umask was
				return err
			}
			if f.node && cred != nil {
				if err := os.Chown(f.path, int(cred.UID), int(cred.GID)); err != nil {
					return err
				}
			}
		case !errors.Is(err, fs.ErrExist):
			return err
		}
		info, err := os.Lstat(f.path)
		if err != nil {
			return err
		}
		if !info.IsDir() {
			return fmt.Errorf("%s is not a folder", f.path)
		}
		if f.node && cred != nil {
			if st, ok := info.Sys().(*syscall.Stat_t); !ok || st.Uid != cred.UID {
				return fmt.Errorf("%s must belong to uid %d, which runs the node process; use chown", f.path, cred.UID)
			}
			if info.Mode().Perm()&0o022 != 0 {
				return fmt.Errorf("%s has mode %04o: others can write it; use chmod go-w", f.path, info.Mode().Perm())
			}
			continue
		}
		// Who owns a folder can put another one in the place of what is in it.
		if err := checkOwned(f.path, info); err != nil {
			return err
		}
	}
	return nil
}

func newRunner(p Paths, cfg *Config, launcher *subprocess.Launcher, log *audit.Log, hc hclog.Logger) (*runner.Runner, error) {
	owner := subprocess.Owner{UID: os.Geteuid()}
	hostname, err := os.Hostname()
	if err != nil {
		return nil, err
	}
	host := agents.Host{OCFRoot: "/usr/lib/ocf", ToolDir: cfg.ToolDir, Root: p.Root, StateDir: p.agentState(), Node: hostname}
	dirs := func(list []string) ([]*subprocess.Directory, error) {
		var out []*subprocess.Directory
		for _, name := range list {
			d, err := subprocess.NewDirectory(name, owner, nil)
			if err != nil {
				return nil, err
			}
			out = append(out, d)
		}
		return out, nil
	}
	agentDirs, err := dirs(append(cfg.AgentDirs, "/usr/lib/ocf/resource.d"))
	if err != nil {
		return nil, err
	}
	fenceDirs, err := dirs(append(cfg.FenceDirs, device.DefaultDirectory))
	if err != nil {
		return nil, err
	}
	ocfAgent, err := ocf.New(ocf.Config{Launcher: launcher, Directories: agentDirs, Host: host})
	if err != nil {
		return nil, err
	}
	fenceAgent, err := device.New(device.Config{Launcher: launcher, Directories: fenceDirs, Host: host})
	if err != nil {
		return nil, err
	}
	initDir, err := subprocess.NewDirectory(cfg.InitDir, owner, nil)
	if err != nil {
		return nil, err
	}
	scripts, err := lsb.New(lsb.Config{Launcher: launcher, Directory: initDir, Host: host})
	if err != nil {
		return nil, err
	}
	units := systemd.New(systemd.Config{})
	sealKey, err := openSealKey(p)
	if err != nil {
		return nil, err
	}
	secrets, err := runner.NewSecrets(runner.SecretsConfig{Directories: []string{filepath.Join(p.Etc, "secrets")},
		Credentials: os.Getenv("CREDENTIALS_DIRECTORY"), Environment: []string{"QUORATE_SECRET_*"},
		Exec: cfg.SecretHelpers, Launcher: launcher, Key: sealKey})
	if err != nil {
		return nil, err
	}
	return runner.New(runner.Config{Classes: map[string]agents.Agent{agents.ClassOCF: ocfAgent, agents.ClassFence: fenceAgent,
		agents.ClassLSB: scripts, agents.ClassSystemd: units, agents.ClassService: service.New(units, scripts)},
		Secrets: secrets, Audit: log, Logger: hc})
}

// openAudit opens the audit log; its signing key is made at the first start.
func openAudit(p Paths) (*audit.Log, error) {
	name := filepath.Join(p.runnerDir(), "audit.key")
	seed, err := runnerKey(name, func() ([]byte, error) {
		seed := make([]byte, ed25519.SeedSize)
		_, err := rand.Read(seed)
		return seed, err
	})
	if err != nil {
		return nil, err
	}
	if len(seed) != ed25519.SeedSize {
		return nil, fmt.Errorf("%s has %d bytes, must have %d: put it back from a backup, or remove it for a new one", name, len(seed), ed25519.SeedSize)
	}
	hostname, err := os.Hostname()
	if err != nil {
		return nil, err
	}
	return audit.Open(audit.Config{Dir: filepath.Join(p.runnerDir(), "audit"), Node: hostname, Key: ed25519.NewKeyFromSeed(seed)})
}

// openSealKey opens the key of stored secrets, which is made at the first start.
func openSealKey(p Paths) (*sealed.Key, error) {
	name := filepath.Join(p.runnerDir(), "secrets.key")
	raw, err := runnerKey(name, func() ([]byte, error) {
		key, err := sealed.NewKey()
		if err != nil {
			return nil, err
		}
		return key.Bytes()
	})
	if err != nil {
		return nil, err
	}
	key, err := sealed.ParseKey(raw)
	if err != nil {
		return nil, fmt.Errorf("%s: %w: put it back from a backup, or remove it for a new one and set the stored secrets again", name, err)
	}
	return key, nil
}

// runnerKey reads a key file of the runner, or makes it.
func runnerKey(name string, draw func() ([]byte, error)) ([]byte, error) {
	info, err := os.Lstat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		key, err := draw()
		if err != nil {
			return nil, err
		}
		f, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY|syscall.O_NOFOLLOW, 0o600)
		if err != nil {
			return nil, err
		}
		_, err = f.Write(key)
		return key, errors.Join(err, f.Sync(), f.Close())
	case err != nil:
		return nil, err
	}
	if err := checkOwned(name, info); err != nil {
		return nil, err
	}
	if info.Mode().Perm()&0o077 != 0 || !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s has mode %v: it must be a file that nobody else can read; use chmod 600, and think of who may have read the key", name, info.Mode())
	}
	return os.ReadFile(name)
}

func newLogger(name string, cfg *Config) hclog.Logger {
	return hclog.New(&hclog.LoggerOptions{Name: name, Level: hclog.LevelFromString(cfg.LogLevel), Output: os.Stderr,
		TimeFormat: "2006-01-02T15:04:05.000Z07:00"})
}
