package runner

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/quorate/quorate/agents"
	"github.com/quorate/quorate/agents/sealed"
	"github.com/quorate/quorate/agents/subprocess"
)

// ErrSecret is in the chain of every error about a secret that cannot be had.
var ErrSecret = errors.New("secret not available")

// SecretPrefix begins a parameter value that refers to a secret: ref:KIND:NAME.
const SecretPrefix = "ref:"

// SecretsConfig says where secrets may come from. What is not listed is refused.
type SecretsConfig struct {
	// Directories whose files ref:file:PATH may name; files and directories must belong to root (without root:
	// or to this user), and nobody else may read or write the files.
	Directories []string
	// Environment names the variables of this process that ref:env:NAME may name; a trailing * stands for
	// any rest.
	Environment []string
	// Credentials is the directory of ref:credential:NAME, normally $CREDENTIALS_DIRECTORY, which systemd
	// sets; "" = none.
	Credentials string
	// Exec has the programs of ref:exec:NAME with their arguments, by name. They print the secret on standard output, and
	// must belong to root (without root: or to this user) and be writable by nobody else.
	Exec map[string][]string
	// Launcher runs them; nil = there are none.
	Launcher *subprocess.Launcher
	// Key opens the secrets of ref:store:NAME; nil = there are none.
	Key *sealed.Key
}

// execTimeout bounds a program that gives a secret. An operation that waits for one has its own time after that.
const execTimeout = 20 * time.Second

// Secrets resolves references at the moment of use. Its methods may be called by several goroutines.
type Secrets struct {
	cfg   SecretsConfig
	owner subprocess.Owner
	env   func(string) (string, bool)
}

// NewSecrets checks the configuration. Directories need not exist yet.
func NewSecrets(cfg SecretsConfig) (*Secrets, error) {
	for _, d := range append(slices.Clone(cfg.Directories), cfg.Credentials) {
		if d != "" && (!filepath.IsAbs(d) || filepath.Clean(d) != d || d == "/") {
			return nil, fmt.Errorf("directory of secrets %q: must be an absolute path in its shortest form, not /", d)
		}
	}
	for name, command := range cfg.Exec {
		if err := agents.ValidateName("secret helper", name); err != nil {
			return nil, err
		}
		if len(command) == 0 || !filepath.IsAbs(command[0]) || filepath.Clean(command[0]) != command[0] {
			return nil, fmt.Errorf("secret helper %s: the program must be named by an absolute path in its shortest form", name)
		}
	}
	return &Secrets{cfg: cfg, owner: subprocess.CurrentOwner(), env: os.LookupEnv}, nil
}

// SealKey is the public key to which stored secrets are sealed; nil = there is none.
func (s *Secrets) SealKey() []byte {
	if s == nil || s.cfg.Key == nil {
		return nil
	}
	return s.cfg.Key.Public()
}

// Resolve separates parameters from secrets and resolves the latter; stored has the sealed ones by name. One that
// cannot be resolved is an error for the whole: an agent never runs with an empty secret, or with the reference as
// its value.
func (s *Secrets) Resolve(ctx context.Context, params map[string]string, stored map[string][]byte) (plain map[string]string, secrets map[string]agents.Secret, err error) {
	plain = make(map[string]string, len(params))
	for _, name := range slices.Sorted(maps.Keys(params)) {
		ref, found := strings.CutPrefix(params[name], SecretPrefix)
		if !found {
			plain[name] = params[name]
			continue
		}
		if s == nil {
			return nil, nil, fmt.Errorf("parameter %s: %w: no source of secrets is configured", name, ErrSecret)
		}
		value, err := s.one(ctx, ref, stored)
		if err != nil {
			return nil, nil, fmt.Errorf("parameter %s: %w: %w", name, ErrSecret, err)
		}
		if secrets == nil {
			secrets = map[string]agents.Secret{}
		}
		secrets[name] = agents.NewSecret(value)
	}
	return plain, secrets, nil
}

// one resolves KIND:NAME.
func (s *Secrets) one(ctx context.Context, ref string, stored map[string][]byte) (string, error) {
	kind, name, found := strings.Cut(ref, ":")
	if !found || name == "" {
		return "", fmt.Errorf("reference %q: expected ref:KIND:NAME", agents.CleanLine(SecretPrefix+ref, agents.MaxNameLength))
	}
	var value string
	var err error
	switch kind {
	case "file":
		value, err = s.file(name)
	case "credential":
		value, err = s.credential(name)
	case "env":
		value, err = s.variable(name)
	case "exec":
		value, err = s.helper(ctx, name)
	case "store":
		value, err = s.stored(name, stored)
	default:
		return "", fmt.Errorf("kind %q is not known here: expected file, credential, env, exec or store", agents.CleanLine(kind, agents.MaxNameLength))
	}
	if err != nil {
		return "", err
	}
	if value == "" {
		return "", fmt.Errorf("%s %s is empty", kind, agents.CleanLine(name, agents.MaxReason))
	}
	if i := strings.IndexByte(value, 0); i >= 0 {
		return "", fmt.Errorf("%s %s has a NUL byte at %d", kind, agents.CleanLine(name, agents.MaxReason), i+1)
	}
	return value, nil
}

// stored opens a secret that was sealed for this node.
func (s *Secrets) stored(name string, stored map[string][]byte) (string, error) {
	if err := agents.ValidateName("secret", name); err != nil {
		return "", err
	}
	data, found := stored[name]
	switch {
	case s.cfg.Key == nil:
		return "", errors.New("this runner has no key for stored secrets")
	case !found:
		return "", fmt.Errorf("secret %s is not stored for this node: set it with \"crm secret set %s\"", name, name)
	}
	value, err := s.cfg.Key.Open(name, data)
	if err != nil {
		return "", fmt.Errorf("secret %s: %w", name, err)
	}
	return string(value), nil
}

// helper runs the program that gives a secret. What it writes to standard error may hold the secret and is not shown.
func (s *Secrets) helper(ctx context.Context, name string) (string, error) {
	command := s.cfg.Exec[name]
	if command == nil || s.cfg.Launcher == nil {
		return "", fmt.Errorf("helper %s is not named in quorated.toml, under [secret-helpers]", agents.CleanLine(name, agents.MaxNameLength))
	}
	dir, err := subprocess.NewDirectory(filepath.Dir(command[0]), s.owner, nil)
	if err != nil {
		return "", err
	}
	program, err := dir.Find(filepath.Base(command[0]))
	if err != nil {
		return "", fmt.Errorf("helper %s: %w", name, err)
	}
	o, err := s.cfg.Launcher.Exec(ctx, subprocess.Spec{Path: program.Path, Args: command[1:], Timeout: execTimeout, Head: agents.MaxValue + 2,
		Env: agents.FlattenEnvironment(agents.BaseEnvironment(agents.Host{})), Label: "secret helper " + name})
	switch {
	case err != nil:
		return "", fmt.Errorf("helper %s: %w", name, err)
	case o.TimedOut:
		return "", fmt.Errorf("helper %s gave no secret within %v", name, execTimeout)
	case o.Exit != 0:
		return "", fmt.Errorf("helper %s ended with code %d", name, o.Exit)
	case o.Stdout.Total > agents.MaxValue+1:
		return "", fmt.Errorf("helper %s: more than %d bytes", name, agents.MaxValue)
	}
	return strings.TrimSuffix(strings.TrimSuffix(string(o.Stdout.Head), "\n"), "\r"), nil
}

func (s *Secrets) variable(name string) (string, error) {
	for _, pattern := range s.cfg.Environment {
		prefix, open := strings.CutSuffix(pattern, "*")
		if name == pattern || open && strings.HasPrefix(name, prefix) {
			value, found := s.env(name)
			if !found {
				return "", fmt.Errorf("variable %s is not set for quorated", agents.CleanLine(name, agents.MaxNameLength))
			}
			return value, nil
		}
	}
	return "", fmt.Errorf("variable %s is not listed as a secret in quorated.toml", agents.CleanLine(name, agents.MaxNameLength))
}

func (s *Secrets) credential(name string) (string, error) {
	if s.cfg.Credentials == "" {
		return "", errors.New("the service manager gave quorated no credentials")
	}
	if err := agents.ValidateName("credential", name); err != nil {
		return "", err
	}
	return s.read(s.cfg.Credentials, name)
}

func (s *Secrets) file(path string) (string, error) {
	if !filepath.IsAbs(path) || filepath.Clean(path) != path || strings.IndexByte(path, 0) >= 0 {
		return "", fmt.Errorf("file %q: must be an absolute path in its shortest form", agents.CleanLine(path, agents.MaxReason))
	}
	for _, d := range s.cfg.Directories {
		if name, inside := strings.CutPrefix(path, d+"/"); inside {
			return s.read(d, name)
		}
	}
	return "", fmt.Errorf("file %s does not lie in a directory of secrets (%s)", agents.CleanLine(path, agents.MaxReason), strings.Join(s.cfg.Directories, ", "))
}

// read opens a file below a directory, following no symbolic links, and checks it and the way to it.
func (s *Secrets) read(dir, name string) (string, error) {
	if err := s.owner.CheckAbove(dir); err != nil {
		return "", err
	}
	fd, err := unix.Open(dir, unix.O_DIRECTORY|unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", fmt.Errorf("%s: %w", dir, err)
	}
	here := dir
	elements := strings.Split(name, "/")
	for i, e := range elements {
		flags := unix.O_RDONLY | unix.O_CLOEXEC | unix.O_NOFOLLOW | unix.O_NONBLOCK
		if i < len(elements)-1 {
			flags |= unix.O_DIRECTORY
		}
		next, err := unix.Openat(fd, e, flags, 0)
		unix.Close(fd)
		here = filepath.Join(here, e)
		if errors.Is(err, unix.ELOOP) {
			return "", fmt.Errorf("%s: a symbolic link is not followed to a secret", here)
		}
		if err != nil {
			return "", fmt.Errorf("%s: %w", here, err)
		}
		fd = next
		if i < len(elements)-1 {
			var st unix.Stat_t
			if err := unix.Fstat(fd, &st); err != nil {
				unix.Close(fd)
				return "", fmt.Errorf("%s: %w", here, err)
			}
			if st.Uid != 0 && int(st.Uid) != s.owner.UID || st.Mode&0o022 != 0 {
				unix.Close(fd)
				return "", fmt.Errorf("%s: owner %d or mode %04o lets others change it", here, st.Uid, st.Mode&0o7777)
			}
		}
	}
	f := os.NewFile(uintptr(fd), here)
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case !ok || !info.Mode().IsRegular():
		return "", fmt.Errorf("%s: not a regular file", here)
	case st.Uid != 0 && int(st.Uid) != s.owner.UID:
		return "", fmt.Errorf("%s: owned by user %d, must be root's", here, st.Uid)
	case info.Mode().Perm()&0o077 != 0:
		return "", fmt.Errorf("%s: mode %04o lets others read it: run chmod 600", here, info.Mode().Perm())
	}
	text, err := io.ReadAll(io.LimitReader(f, agents.MaxValue+2))
	if err != nil {
		return "", fmt.Errorf("%s: %w", here, err)
	}
	value := strings.TrimSuffix(strings.TrimSuffix(string(text), "\n"), "\r")
	if len(value) > agents.MaxValue {
		return "", fmt.Errorf("%s: more than %d bytes", here, agents.MaxValue)
	}
	return value, nil
}
